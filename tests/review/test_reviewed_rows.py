"""What a person said of a row is taken for that row alone, or named."""

import datetime

import pytest
from reviewed_sheets import FIELDS, as_text, coded, finder, sheet_rows

from stages.lib.review.columns import keys_of_titles
from stages.lib.review.returned import Sheet, find_titles
from stages.lib.review.reviewed_rows import (
    Style,
    checked_precision,
    find_style,
    read_number,
    take_rows,
)

DAY = datetime.date(2024, 3, 25)


def sheet(rows, delimiter="", **style) -> Sheet:
    header, *cells = sheet_rows(rows)
    if style:
        cells = [[as_text(cell, **style) for cell in row] for row in cells]
    _, place = find_titles([header], keys_of_titles(FIELDS))
    return Sheet("back", place, list(enumerate(cells, start=2)), delimiter)


def take(*rows, **options):
    return take_rows(sheet(list(rows), **options), FIELDS, finder())


def accounts(taken) -> list[tuple]:
    return [(place, row.account, row.kind) for place, row in taken.corrections]


def test_rows_that_nobody_touched_are_not_taken():
    taken = take(coded(1), coded(2, "0102"), coded(3, "0101"), coded(4, " "), coded(5, None))
    assert accounts(taken) == [
        ("back, row 3", "0102", "corrected"),
        ("back, row 4", "0101", "confirmed"),
    ]
    assert (taken.problems, taken.remarks, taken.untouched) == ([], [], 3)


@pytest.mark.parametrize(
    ("said", "account"),
    [
        ("101", "0101"),
        (101, "0101"),
        (101.0, "0101"),
        ("Travel", "0102"),
        ("0102 · Travel", "0102"),
        ("0102 Travel", "0102"),
        (datetime.date(2024, 3, 1), "3-1"),
        ("01.03.2024", "3-1"),
        ("2024-03-01", "3-1"),
    ],
)
def test_accounts_are_read_as_people_write_them(said, account):
    taken = take(coded(7, said))
    assert [row.account for _, row in taken.corrections] == [account]
    assert len(taken.remarks) == (account == "3-1")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("ok", "'ok': no account of the chart has this code or name; expected an account"),
        (0.5, "'0.5': no account"),
        (True, "'TRUE': no account"),
        ("0900", "account 0900 is closed"),
        (datetime.date(2024, 2, 3), "'2024-02-03': .* may have been any of 2-3, 3-2"),
        (datetime.date(2024, 9, 9), "'2024-09-09': no account of the chart has this code or name;"),
    ],
)
def test_what_means_no_account_is_named_and_not_taken(said, problem):
    import re

    taken = take(coded(7, said))
    assert taken.corrections == []
    assert len(taken.problems) == 1
    assert re.match(f"back, row 2: .*{problem}", taken.problems[0])


def test_a_correction_never_reaches_another_row():
    other = coded(2)
    moved = coded(1, "0102", **{name: other[name] for name in ("seen_vendor", "seen_memo")})
    taken = take(
        moved,
        coded(1, "0102", key=other["key"]),
        coded(1, "0102", seen_vendor="????"),
        coded(1, "0102", source_row=9),
        coded(1, "0102", key=""),
    )
    assert taken.corrections == []
    assert [line.partition(":")[0] for line in taken.problems] == [
        f"back, row {n}" for n in range(2, 7)
    ]
    assert "is not that of its source_ and seen_ cells; expected" in taken.problems[0]
    assert "was not coded" in taken.problems[4]


def test_leading_zeros_that_a_spreadsheet_dropped_come_back():
    taken = take(coded(1, "0102", seen_centre=42.0, seen_date=datetime.datetime(2024, 3, 25)))
    (_, row), = taken.corrections  # fmt: skip
    assert row.fields == {"vendor": "acme ltd", "memo": "bolts 1", "centre": "0042"}
    assert (row.day, row.amount, row.proposed) == (DAY, 1234.5, "0101")


@pytest.mark.parametrize(
    ("delimiter", "style"),
    [
        ("semicolon", {"comma": True, "day": "%d.%m.%Y"}),
        ("comma", {"day": "%m/%d/%Y"}),
        ("comma", {"day": "%d/%m/%Y"}),
        ("tab", {"day": "%Y. %m. %d"}),
        ("", {}),
    ],
)
def test_dates_and_amounts_are_read_as_the_sheet_writes_them(delimiter, style):
    taken = take(coded(1, "0102"), coded(2, "0102"), delimiter=delimiter, **style)
    assert {(row.day, row.amount) for _, row in taken.corrections} == {(DAY, 1234.5)}
    assert taken.remarks == []


def test_what_cannot_be_told_is_left_empty_and_named():
    early = datetime.date(2024, 3, 4)
    taken = take(coded(1, "0102", seen_date=early), delimiter="comma", day="%d/%m/%Y")
    (_, row), = taken.corrections  # fmt: skip
    assert (row.day, row.amount) == (None, 1234.5)
    assert taken.remarks == ["back, row 2: seen_date '04/03/2024' cannot be read and is left empty"]
    assert find_style(sheet([coded(1, seen_date="")])) == Style("point", "ymd")


@pytest.mark.parametrize(
    ("cell", "decimal", "number"),
    [("1.234,50", "comma", 1234.5), ("1,234.50", "point", 1234.5), (3, "comma", 3.0),
     (float("nan"), "point", None), ("", "point", None), ("x", "point", None)],
)  # fmt: skip
def test_amounts(cell, decimal, number):
    assert read_number(cell, Style(decimal, "ymd")) == number


def test_the_same_row_with_two_accounts_is_not_taken():
    taken = take(coded(1, "0102"), coded(2, "0102"), coded(1, "3-1"), coded(2, "0102"))
    assert accounts(taken) == [
        ("back, row 3", "0102", "corrected"),
        ("back, row 5", "0102", "corrected"),
    ]
    assert taken.problems == [
        "back, row 2: this row is there several times, with the accounts 0102, 3-1; expected one"
    ]


def test_random_checks_are_counted():
    check = "random check, although the coder is sure"
    rows = [
        coded(1, "0101", reason=check),
        coded(2, "0102", reason=f"amount above 5; {check}"),
        coded(3, reason=check),
        coded(4, "0102"),
    ]
    taken = take(*rows)
    assert taken.checks == {"confirmed": 1, "corrected": 1, "untouched": 1}
    assert checked_precision(taken.checks) == "random checks: 1 of 2 right (50.0%); 1 not looked at"
    assert checked_precision({"untouched": 2}) == "random checks: none of 2 looked at"
    assert checked_precision({}) == ""


def test_short_rows_are_rows_with_empty_cells():
    short = sheet([coded(1, "0102")])
    short.rows[0] = (2, short.rows[0][1][:3])
    taken = take_rows(short, FIELDS, finder())
    assert (taken.corrections, taken.problems, taken.untouched) == ([], [], 0)
