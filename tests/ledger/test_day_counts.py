"""Numbers in date columns are the days that their workbook counts."""

import struct
from datetime import date

import pytest

from stages.lib.ledger.day_counts import DAY_ZERO, DAY_ZERO_1904, day_zero_xls, show_days


def test_numbers_of_a_workbook_that_counts_from_1904_are_its_days():
    rows = [["Date", 42475, 1.0], [42475.0, 42475.0], [42476.75, "x"], ["42477"], [], [None, "y"]]
    assert show_days(rows, [0], DAY_ZERO_1904) == 3
    days = [date(2020, 4, 16), date(2020, 4, 17), date(2020, 4, 18)]
    assert rows == [
        ["Date", 42475, 1.0], [days[0], 42475.0], [days[1], "x"], [days[2]], [], [None, "y"]
    ]  # fmt: skip


def test_numbers_of_other_workbooks_stay():
    rows = [[42475.0]]
    assert show_days(rows, [0], DAY_ZERO) == 0
    assert rows == [[42475.0]]


@pytest.mark.parametrize("cell", [True, 20200416.0, "2020", "42475a", 999, date(2020, 4, 16), -1.0])
def test_what_is_no_count_of_days_stays(cell):
    rows = [[cell]]
    assert show_days(rows, [0], DAY_ZERO_1904) == 0
    assert rows == [[cell]]


def test_dates_of_six_digits_say_that_five_digits_lack_a_zero():
    rows = [[40124.0, 42475.0], [160420.0, 42476.0]]
    assert show_days(rows, [0, 1], DAY_ZERO_1904) == 2
    assert [row[0] for row in rows] == [40124.0, 160420.0]


def test_an_opendocument_sheet_may_count_from_any_day():
    rows = [[43937.0]]
    assert show_days(rows, [0], date(1900, 1, 1)) == 1
    assert rows == [[date(2020, 4, 18)]]


@pytest.mark.parametrize(("mode", "day"), [(b"\1\0", DAY_ZERO_1904), (b"\0\0", DAY_ZERO)])
def test_an_old_workbook_says_where_its_days_begin(mode, day):
    records = [(0x0809, bytes(16)), (0x0022, mode), (0x000A, b""), (0x0022, b"\1\0")]
    stream = b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in records)
    assert day_zero_xls(stream) == day
