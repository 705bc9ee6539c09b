"""Text has one form, whatever the letters and spaces that it was written with."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.normalize import clean_text, is_error, padded


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("ＡＢＣ　１２３", "abc 123"),
        ("㈜한빛", "(주)한빛"),
        ("(주)한빛 전자", "(주)한빛 전자"),
        ("ㄱㄴ ㅋㅋ", "ㄱㄴ ㅋㅋ"),
        (unicodedata.normalize("NFD", "식비"), "식비"),
        ("STRASSE Straße", "strasse strasse"),
        ("a\tb\r\nc\x00d\x07", "a b c d"),
        ("zero\u200bwidth\ufeff \u00a0no\u00adbreak", "zerowidth nobreak"),
        ("\u20661\u2069\u061c ☎\ufe0f", "1 ☎"),
        ("홍\u3164길동\uffa0", "홍 길동"),
        ("cafe\u200b\u0301 ᄀ\u200bᅡ", "café 가"),
        ("ǰ", "ǰ"),
        ("  5½ kg ", "5 1⁄2 kg"),
        ("ﬁn № ①", "fin no 1"),
    ],
)
def test_text_has_one_form(raw, clean):
    assert clean_text(raw, "fold") == clean


def test_case_may_be_kept():
    assert clean_text(" ＶＩＡ  Rail ", "keep") == "VIA Rail"


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text):
    once = clean_text(text, "keep")
    assert clean_text(once, "keep") == once


def test_spreadsheet_errors():
    assert all(map(is_error, ["#N/A", "#REF!", " #VALUE! ", "#DIV/0!", "#NAME?", "#NUM!"]))
    assert all(map(is_error, ["#DATA!", "#NV", "#WERT!", "#¡REF!", "#¿NOMBRE?", "Err:502"]))
    assert not any(map(is_error, ["", "N/A", "#", "#1", "#N/A 2", "#n/a", "#REF"]))


@pytest.mark.parametrize(
    ("code", "padded_code"),
    [("101", "0101"), (" ２０１０ ", "2010"), ("12345", "12345"), ("A1", "A1"), ("***", "***")],
)
def test_codes_of_digits_get_leading_zeros(code, padded_code):
    assert padded(code, 4) == padded_code


@pytest.mark.parametrize(
    "cell", ["0100", " 0100 ", "'0100", "'0100'", '="0100"', '= "0100" ', "０１００", '="100"']
)
def test_signs_of_a_spreadsheet_that_mark_a_text_are_no_part_of_a_code(cell):
    assert padded(cell, 4) == "0100"


def test_other_quotes_are_part_of_a_code():
    codes = ["L'Oréal", "=1+1", 'a="b"', "it's"]
    assert [padded(code, 0) for code in codes] == codes
