"""Accounts in several spellings are found, and different accounts stay different."""

from collections import Counter

import pyarrow as pa
import pytest
from raw_tables import preprocess_params
from ruamel.yaml import YAML

from stages.lib.ledger.account_spellings import (
    count_forms,
    find_spellings,
    merge_lines,
    pattern_for,
)


def merges(*codes: str) -> dict[str, str]:
    """The first code has the most rows, the last one the fewest."""
    return find_spellings({code: len(codes) - i for i, code in enumerate(codes)})


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("Meals", "MEALS"),
        ("Straße", "STRASSE"),
        ("Meals.", "Meals"),
        ("Office Supplies", "OfficeSupplies"),
        ("Travel - local", "travel (local)"),
        ("여비교통비", "여비 교통비"),
        ("6110-10", "6110.10"),
        ("4100a", "4100 A"),
    ],
)
def test_case_spaces_and_punctuation_make_no_account(code, other):
    assert merges(code, other) == {other: code}
    assert merges(other, code) == {code: other}


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("7 %", "19 %"),
        ("4100", "41000"),
        ("1.2", "12"),
        ("1-2", "12"),
        ("4 100", "41 00"),
        ("4100", "4010"),
        ("A+", "A"),
        ("R&D", "RD"),
        ("7", "7 %"),
        ("Meals", "Meal"),
        (".", "-"),
    ],
)
def test_other_letters_digits_and_signs_make_another_account(code, other):
    assert merges(code, other) == {}


def test_zeros_that_a_number_lost_come_back():
    assert merges("6110.1", "6110.10", "6110.25") == {"6110.1": "6110.10"}
    assert merges("6110.25", "6200", "6200.00") == {"6200": "6200.00"}
    assert merges("100", "0100", "4100") == {"100": "0100"}


def test_a_chart_that_counts_to_ten_has_lost_no_zeros():
    assert merges(*(f"1.{i}" for i in range(1, 13))) == {}
    assert merges(*(str(i) for i in range(1, 30))) == {}
    assert merges("6110", "6200", "6110.10", "6200.25", "6300") == {}


def test_many_spellings_become_the_most_frequent_one():
    assert merges("Meals", "MEALS", "Rent", "rent", "meals.") == {
        "MEALS": "Meals",
        "meals.": "Meals",
        "rent": "Rent",
    }


def test_the_lines_to_copy_are_yaml_that_says_the_same():
    texts = [
        "NO",
        "0100",
        "7 %",
        "a: b",
        "- x",
        "#a",
        "여비 교통비",
        "1e3",
        "{a}",
        "null",
        "it's",
        "Ä.",
    ]
    merge = {text: text + "!" for text in texts}
    lines = merge_lines(merge)
    assert lines.startswith("    merge:\n      NO: NO!\n")
    assert YAML(typ="safe").load(lines) == {"merge": merge}


def test_forms_hide_what_a_code_says():
    cells = pa.array(["6110-20", " 6110-30", "홍길동", "A1", "", "A1"])
    assert count_forms(cells, preprocess_params().labels) == Counter(
        {"9999-99": 2, "A9": 2, "AAA": 1, "": 1}
    )
    assert count_forms(pa.array([], pa.string()), preprocess_params().labels) == Counter()


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["9999-99"], "[0-9]{4}|[0-9]{4}-[0-9]{2}"),
        (["9999.9", "A-9"], r"[0-9]{4}|[0-9]{4}\.[0-9]|\w-[0-9]"),
        (["AAAAA AAAAA"], ".+"),
        (["9999-99", "AAA"], ".+"),
    ],
)
def test_a_wider_pattern_fits_the_forms(forms, expected):
    assert pattern_for(forms, "[0-9]{4}") == expected
