"""Read plain numbers in date columns of workbooks that do not count days as Excel usually does.

Excel shows day 44197 as 2021-01-01. A workbook that was made on an old Mac may count from 1904, and
one of OpenDocument from any day. Dates with a format of dates need nothing: their reader knows.
"""

from collections.abc import Iterable
from datetime import date, timedelta

from stages.lib.ledger.book_records import old_records

DAY_ZERO = date(1899, 12, 30)
DAY_ZERO_1904 = date(1904, 1, 1)
# Days that a count may mean, as `parse_date` has them.
_FIRST, _LAST = date(1954, 10, 3), date(2099, 12, 31)
_DATEMODE = 0x0022


def day_zero_xls(stream: bytes) -> date:
    """Return the day from which an .xls workbook counts days; `stream` is as of `old_stream`."""
    modes = [body[:1] for kind, body in old_records(stream) if kind == _DATEMODE]
    return DAY_ZERO_1904 if b"\x01" in modes else DAY_ZERO


def _count(cell: object) -> float | None:
    """Return the number in a cell, None if there is none."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return cell
    if isinstance(cell, str) and len(cell.strip()) == 5 and cell.strip().isdecimal():
        return int(cell)
    return None


def show_days(rows: list[list], places: Iterable[int], day_zero: date) -> int:
    """Replace the numbers in some columns of `rows` by the days that they count, and return how
    many there were.

    A column that also has whole numbers of six digits stays as it is: there, five digits may be a
    date without its leading zero.

    Parameters
    ----------
    rows : list of list
        Cells; changed in place.
    places : iterable of int
        Columns of dates.
    day_zero : date
    """
    if day_zero == DAY_ZERO:
        return 0
    first, last = (_FIRST - day_zero).days, (_LAST - day_zero).days
    total = 0
    for place in places:
        counts = [_count(row[place]) if place < len(row) else None for row in rows]
        if any(c is not None and 100_000 <= c < 1_000_000 for c in counts):
            continue
        for row, count in zip(rows, counts, strict=True):
            if count is not None and first <= count < last + 1:
                row[place] = day_zero + timedelta(days=int(count))
                total += 1
    return total
