"""Cells that a spreadsheet rewrote are restored where the key proves it, and nowhere else."""

import datetime

import pytest

from stages.lib.review.keys import row_key
from stages.lib.review.restoring import plain_text, read_row_number, restore_fields

FIELDS = ["acme ltd", "0042", "2024-03-25", "1.5", "=sum"]
KEY = row_key("march.csv", "", 7, FIELDS)


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        (1, 42.0),
        (1, "42"),
        (2, datetime.date(2024, 3, 25)),
        (2, datetime.datetime(2024, 3, 25)),
        (2, "25.03.2024"),
        (2, "3/25/2024"),
        (3, 1.5),
        (3, "1,5"),
        (4, "'=sum"),
        (0, "ACME  Ltd"),
    ],
)
def test_what_a_spreadsheet_rewrote_is_restored(place, cell):
    cells = [*FIELDS]
    cells[place] = cell
    key, texts = restore_fields(KEY, "march.csv", "", "7", cells)
    assert key == KEY
    assert [text.casefold() for text in texts] == FIELDS


@pytest.mark.parametrize("change", [("acme inc", 0), ("????", 0), ("43", 1), ("", 1)])
def test_what_is_something_else_is_not(change):
    cells = [*FIELDS]
    cells[change[1]] = change[0]
    assert restore_fields(KEY, "march.csv", "", 7, cells) is None
    assert restore_fields(KEY, "april.csv", "", 7, FIELDS) is None
    assert restore_fields(KEY, "march.csv", "", 8, FIELDS) is None
    assert restore_fields(KEY, "march.csv", "", "seven", FIELDS) is None
    assert restore_fields("0" * 16, "march.csv", "", 7, FIELDS) is None


def test_a_key_that_became_a_number_is_recognized(monkeypatch):
    monkeypatch.setattr("stages.lib.review.restoring.row_key", lambda *_: "12345e6789012345"[:8])
    for cell in ("1.23E+10", "1,2345E+10"):
        assert restore_fields(cell, "f", "", 1, ["a"]) is None  # 12345e67 is another number
    monkeypatch.setattr("stages.lib.review.restoring.row_key", lambda *_: "1234567890123456")
    for cell in ("1.23E+15", "1,23457E+15", 1234567890123456):
        assert restore_fields(cell, "f", "", 1, ["a"]) == ("1234567890123456", ["a"])
    assert restore_fields("1.29E+15", "f", "", 1, ["a"]) is None


@pytest.mark.parametrize(
    ("cell", "number"),
    [(12, 12), (12.0, 12), ("12", 12), ("1,234", 1234), ("1.234", 1234), ("1 234", 1234),
     ("12,00", 12), ("12.0", 12), ("", None), ("x", None), ("-3", None)],
)  # fmt: skip
def test_the_number_of_a_row(cell, number):
    assert read_row_number(cell) == number


def test_the_apostrophe_before_a_formula_is_no_text():
    assert [plain_text(cell) for cell in ("'=1", "'a", "''=1", 3.0, None)] == [
        *("=1", "'a", "''=1", "3", ""),
    ]
