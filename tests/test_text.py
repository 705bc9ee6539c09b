"""What ledger cells say: text, amounts, dates."""

import unicodedata
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages.lib.ledger.text import (
    amount_marks,
    clean_text,
    is_error,
    map_values,
    parse_amount,
    parse_date,
)

MARKS = amount_marks(("cad", "usd", "원"), ("cr",))


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


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1,234.50", 1234.5, None),
        ("1.234,50", None, 1234.5),
        ("1 234,50", None, 1234.5),
        ("1'234.50", 1234.5, None),
        ("12,50", None, 12.5),
        ("12.50", 12.5, None),
        ("1,00,000.00", 100000.0, None),
        ("1,2,3", None, None),
        ("(1,234)", -1234.0, -1.234),
        ("5-", -5.0, -5.0),
        ("−5", -5.0, -5.0),
        ("- 5", -5.0, -5.0),
        ("+7", 7.0, 7.0),
        ("--5", None, None),
        ("△1,000", -1000.0, -1.0),
        ("£12", 12.0, 12.0),
        ("$-5", -5.0, -5.0),
        ("-$5", -5.0, -5.0),
        ("($5)", -5.0, -5.0),
        ("CA$ 5", 5.0, 5.0),
        ("-5 US$", -5.0, -5.0),
        ("(5CA$)", -5.0, -5.0),
        ("CR$5", -5.0, -5.0),
        ("5 CR$", -5.0, -5.0),
        ("₩12,000", 12000.0, 12.0),
        ("12,000원", 12000.0, 12.0),
        ("CAD 12", 12.0, 12.0),
        ("12 cad", 12.0, 12.0),
        ("12 XYZ", None, None),
        ("１，２３４．５０", 1234.5, None),
        ("￦12,000", 12000.0, 12.0),
        ("\\12,000", 12000.0, 12.0),
        ("-＼12,000", -12000.0, -12.0),
        ("1\u00a0234", 1234.0, 1234.0),
        ("1\u202f234,50", None, 1234.5),
        ("1’234.50", 1234.5, None),
        ("1´234.50", 1234.5, None),
        ("1,23,456.78", 123456.78, None),
        ("1,234 567", None, None),
        ("1,23,456,789", None, None),
        ("1,2345", None, 1.2345),
        ("0,125", None, 0.125),
        ("1,234.50-", -1234.5, None),
        ("–5", -5.0, -5.0),
        ("▽1,000", -1000.0, -1.0),
        ("▲5", -5.0, -5.0),
        ("(△5)", -5.0, -5.0),
        ("-(5)", None, None),
        ("5.-", 5.0, None),
        ("1'200.—", 1200.0, None),
        ("5,–", None, 5.0),
        ("CR 5", -5.0, -5.0),
        ("5CR.", -5.0, -5.0),
        ("-5 CR", None, None),
        ("CR 5 CR", None, None),
        ("5 CRAB", None, None),
        ("5²", None, None),
        ("\ufeff5\u200b", 5.0, 5.0),
        ("#N/A", None, None),
        ("１２３", 123.0, 123.0),
        ("5 CR", -5.0, -5.0),
        ("", None, None),
        ("n/a", None, None),
        ("NaN", None, None),
        ("1e5", None, None),
        ("-", 0.0, 0.0),
        (".", None, None),
        ("1,00,000/-", 100000.0, None),
        ("1,00,000.50/-", 100000.5, None),
        ("5/=", 5.0, None),
        ("5/-2", None, None),
    ],
)
def test_amounts(text, point, comma):
    assert parse_amount(text, "point", *MARKS) == point
    assert parse_amount(text, "comma", *MARKS) == comma


@given(st.decimals(-(10**9), 10**9, places=2))
def test_an_amount_written_in_either_style_is_read_back(amount):
    english = f"{amount:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert parse_amount(english, "point", *MARKS) == float(amount)
    assert parse_amount(german, "comma", *MARKS) == float(amount)


APRIL = "2020-04-16"


@pytest.mark.parametrize(
    ("text", "ymd", "dmy", "mdy"),
    [
        ("2020-04-16", APRIL, APRIL, APRIL),
        ("2020/4/16", APRIL, APRIL, APRIL),
        ("2020. 4. 16.", APRIL, APRIL, APRIL),
        ("20200416", APRIL, APRIL, APRIL),
        ("2020년 4월 16일", APRIL, APRIL, APRIL),
        ("2020년04월16일 오전 10:11", APRIL, APRIL, APRIL),
        ("2020/4/16(목)", APRIL, APRIL, APRIL),
        ("２０２０－０４－１６", APRIL, APRIL, APRIL),
        ("2020-04-16 13:45:00", APRIL, APRIL, APRIL),
        ("2020-04-16T13:45:00Z", APRIL, APRIL, APRIL),
        ("43937", APRIL, APRIL, APRIL),
        ("43937.5", APRIL, APRIL, APRIL),
        ("16-Apr-2020", APRIL, APRIL, APRIL),
        ("16 avr. 2020", APRIL, APRIL, APRIL),
        ("16. April 2020", APRIL, APRIL, APRIL),
        ("Apr 16, 2020", APRIL, APRIL, APRIL),
        ("16/04/2020", None, APRIL, None),
        ("04/16/2020", None, None, APRIL),
        ("16/04/2020 1:45 PM", None, APRIL, None),
        ("16.04.20", "2016-04-20", APRIL, None),
        ("20.04.16", APRIL, "2016-04-20", None),
        ("200416", APRIL, "2016-04-20", None),
        ("16042020", None, APRIL, None),
        ("05/06/2020", None, "2020-06-05", "2020-05-06"),
        ("20200416101112", APRIL, APRIL, APRIL),
        ("20200416T1011", APRIL, APRIL, APRIL),
        ("20200416 251112", None, None, None),
        ("2020–04–16", APRIL, APRIL, APRIL),
        ("'2020-04-16", APRIL, APRIL, APRIL),
        ("'20.4.16", APRIL, "2016-04-20", None),
        ("Thu, 16 Apr 2020", APRIL, APRIL, APRIL),
        ("Thursday, April 16, 2020", APRIL, APRIL, APRIL),
        ("Do., 16.04.2020", None, APRIL, None),
        ("2020년 4월 16일 목요일", APRIL, APRIL, APRIL),
        ("2020年4月16日（木）", APRIL, APRIL, APRIL),
        ("2020年4月16日 木曜日", APRIL, APRIL, APRIL),
        ("20년 4월 16일", APRIL, APRIL, APRIL),
        ("'20年4月16日", APRIL, APRIL, APRIL),
        ("2020-04-16 10:11 (목)", APRIL, APRIL, APRIL),
        ("2020-04-16 13:45:00.123+09:00", APRIL, APRIL, APRIL),
        ("2020-04-16 10:00 - 2020-04-17", None, None, None),
        ("16APR20", APRIL, APRIL, APRIL),
        ("16-Sept-2020", "2020-09-16", "2020-09-16", "2020-09-16"),
        ("16 März 2020", "2020-03-16", "2020-03-16", "2020-03-16"),
        ("16 jui 2020", None, None, None),
        ("16 marble 2020", None, None, None),
        ("3 sets 2020", None, None, None),
        ("Apr 2020", None, None, None),
        ("73100", None, None, None),
        ("#VALUE!", None, None, None),
        ("2020-02-30", None, None, None),
        ("0020-04-16", None, None, None),
        ("16/04/0020", None, None, None),
        ("00200416", None, None, None),
        ("16 Apr 0020", None, None, None),
        ("99999", None, None, None),
        ("1-1-1", None, None, None),
        ("令和2年4月16日", APRIL, APRIL, APRIL),
        ("㋿２年４月１６日", APRIL, APRIL, APRIL),
        ("令和 2年 4月 16日", APRIL, APRIL, APRIL),
        ("R2.4.16", APRIL, APRIL, APRIL),
        ("R02/04/16", APRIL, APRIL, APRIL),
        ("令和元年5月1日", "2019-05-01", "2019-05-01", "2019-05-01"),
        ("平成31年4月30日", "2019-04-30", "2019-04-30", "2019-04-30"),
        ("昭和64年1月7日", "1989-01-07", "1989-01-07", "1989-01-07"),
        ("民國109年4月16日", APRIL, APRIL, APRIL),
        ("平成31年", None, None, None),
        ("R2", None, None, None),
        ("S 4/6/20", None, None, None),
        ("yesterday", None, None, None),
        ("", None, None, None),
    ],
)
def test_dates(text, ymd, dmy, mdy):
    found = [parse_date(text, order) for order in ("ymd", "dmy", "mdy")]
    assert [day and day.isoformat() for day in found] == [ymd, dmy, mdy]


def test_every_english_month_is_read_in_full_and_by_three_letters():
    for number in range(1, 13):
        day = date(2020, number, 9)
        for form in ("%d %B %Y", "%d-%b-%y", "%b %d, %Y", "%Y %b %d"):
            assert parse_date(day.strftime(form), "ymd") == day


def test_spreadsheet_errors():
    assert all(map(is_error, ["#N/A", "#REF!", " #VALUE! ", "#DIV/0!", "#NAME?", "#NUM!"]))
    assert all(map(is_error, ["#DATA!", "#NV", "#WERT!", "#¡REF!", "#¿NOMBRE?", "Err:502"]))
    assert not any(map(is_error, ["", "N/A", "#", "#1", "#N/A 2", "#n/a", "#REF"]))


def test_two_digit_years_turn_at_69():
    assert parse_date("1/2/68", "dmy").year == 2068
    assert parse_date("1/2/69", "dmy").year == 1969


def test_map_values_keeps_order_and_empties():
    column = pa.array(["b", "", "a", "b"])
    assert map_values(column, str.upper, pa.string()).to_pylist() == ["B", "", "A", "B"]
    assert map_values(column, len, pa.int64()).to_pylist() == [1, None, 1, 1]
