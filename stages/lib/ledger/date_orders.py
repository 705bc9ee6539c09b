"""Find columns of dates that a file writes in another order than the parameters say.

A cell such as 03/04/2024 is a day in two orders. All cells of a file's column together tell which.
"""

from collections.abc import Callable
from datetime import date
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.dates import parse_date
from stages.lib.ledger.format_findings import Finding
from stages.lib.ledger.formats import Format, Order, Place, format_of
from stages.lib.ledger.likelier_orders import CHANCE, EARLY, NO_OTHERS, Others, speaks_for
from stages.lib.ledger.zero_dates import is_zero_date
from stages.lib.params.preprocess import PreprocessParams

ORDERS: tuple[Order, ...] = ("ymd", "dmy", "mdy")
# Different cells of a file that are looked at: more than there are days in a century.
_CELLS = 50_000
_TIME = r"(?:T|\s+)(?:(?:오전|오후)\s*)?\d{1,2}:\d{2}.*$"
_COMPACT_TIME = r"^(\d{8})[T ]?\d{4}(?:\d{2})?(?:\.\d+)?Z?$"

# The different cells of a column of a file in the order of the rows, without the time of day: the
# number of rows, and the first row.
Cells = dict[str, tuple[int, int]]


def seen_dates(raw: pa.Table, name: str) -> dict[Place, Cells]:
    """Return the cells that each file has in the date column `name`, but for dates of zeros."""
    cells = raw[name].combine_chunks().dictionary_encode()
    texts = pc.utf8_trim_whitespace(cells.dictionary)
    texts = pc.replace_substring_regex(texts, _TIME, "")
    texts = pc.replace_substring_regex(texts, _COMPACT_TIME, r"\1")
    texts = pc.if_else(is_zero_date(texts), "", texts).dictionary_encode()
    files = raw["source_file"].combine_chunks()
    rows = pa.table(
        {
            "file": files.indices,
            "cell": texts.indices.take(cells.indices),
            "row": raw["source_row"],
        }
    )
    rows = rows.append_column("at", pa.array(np.arange(len(rows))))
    found = rows.group_by(["file", "cell"]).aggregate([("at", "count"), ("at", "min")])
    found = found.sort_by("at_min").slice(0, _CELLS)
    first = raw["source_row"].take(found["at_min"]).to_pylist()
    seen: dict[Place, Cells] = {}
    for one, row in zip(found.to_pylist(), first, strict=True):
        if text := texts.dictionary[one["cell"]].as_py():
            place = files.dictionary[one["file"]].as_py(), name
            seen.setdefault(place, {})[text] = one["at_count"], row
    return seen


def merge_dates(seen: dict[Place, Cells], more: dict[Place, Cells]) -> None:
    """Add the cells of later rows to `seen`."""
    for place, cells in more.items():
        known = seen.setdefault(place, {})
        for text, (count, row) in cells.items():
            if text in known or len(known) < _CELLS:
                before, first = known.get(text, (0, row))
                known[text] = before + count, first


class View(NamedTuple):
    """The cells of one column of one file, read in each order.

    Attributes
    ----------
    texts : list of str
        Those that mean another day in another order, or no day.
    days : dict of Order to list of date or None
        Of each of `texts`.
    typed : dict of date to str
        All other days, each with its cell.
    cells : Cells
    """

    texts: list[str]
    days: dict[Order, list[date | None]]
    typed: dict[date, str]
    cells: Cells

    def rows(self, texts: list[str]) -> int:
        """Return the number of rows that have one of `texts`."""
        return sum(self.cells[text][0] for text in texts)


def _in_all_orders(text: str) -> tuple[date | None, ...]:
    return tuple(parse_date(text, order) for order in ORDERS)


def view_cells(cells: Cells, read: Callable[[str], tuple] = _in_all_orders) -> View:
    """Return the cells of one column of one file, read in each order."""
    texts, typed, read_texts = [], {}, []
    for text in cells:
        days = read(text)
        if len({*days}) > 1:
            texts.append(text)
            read_texts.append(days)
        elif days[0]:
            typed.setdefault(days[0], text)
    by_order = list(zip(*read_texts, strict=True)) or [()] * len(ORDERS)
    return View(texts, dict(zip(ORDERS, map(list, by_order), strict=True)), typed, cells)


def find_date_orders(
    seen: dict[Place, Cells], params: PreprocessParams
) -> tuple[list[Finding], set[Place]]:
    """Return what is wrong or in doubt with the dates of each file and column, and all files and
    columns that have dates whose day depends on the order."""
    read = cache(_in_all_orders)
    views = {place: view_cells(cells, read) for place, cells in seen.items()}
    formats = {place: format_of(*place, params) for place in views}
    days = {place: _days(view, formats[place].date_order) for place, view in views.items()}
    by_column: dict[str, Others] = {}
    for (_, column), mine in days.items():
        by_column[column] = by_column.get(column, NO_OTHERS).plus(mine)
    found = []
    for place, view in views.items():
        how = formats[place]
        finding = _unread(place, view, how)
        if finding is None and "date_order" not in how.by_entry:
            finding = _doubtful(place, view, how, by_column[place[1]].minus(days[place]))
        order = finding.cure.get("date_order", how.date_order) if finding else how.date_order
        swapped = _swapped(place, view, order, how)
        found += filter(None, [finding, swapped])
    return found, {place for place, view in views.items() if view.texts}


# Cells that only another order reads


def _unread(place: Place, view: View, how: Format) -> Finding | None:
    order, total = how.date_order, len(view.texts)
    unread = [t for t, day in zip(view.texts, view.days[order], strict=True) if day is None]
    if not unread:
        return None
    read = {o: {t for t, day in zip(view.texts, view.days[o], strict=True) if day} for o in ORDERS}
    merit = {o: (len(read[o].intersection(unread)), len(read[o])) for o in ORDERS if o != order}
    better = [o for o in merit if merit[o] == max(merit.values())]
    most, mine = merit[better[0]][1], len(read[order])
    text = next(t for t in unread if t in read[better[0]])
    row = view.cells[text][1]
    problem = (
        f"{place[1]} {text!r} is no day in order {order}, but it is one in {' and '.join(better)}"
    )
    if most < total and (most < 0.9 * total or mine > 0.7 * total):
        only = next((t for t in view.texts if t not in read[better[0]]), "")
        problem += (
            f", and {only!r} in row {view.cells[only][1]:,} is not: the file has dates in several "
            "orders, so those that are days in more than one may be wrong"
        )
        return Finding("two-date-orders", place, row, problem, {}, False)
    both = zip(view.texts, view.days[order], view.days[better[0]], strict=True)
    wrong = view.rows([t for t, day, right in both if day and day != right])
    rows = view.rows(unread)
    is_sure = len(unread) >= 3 and (wrong > 0 or 2 * rows > view.rows([*view.cells]))
    problem += (
        f"; that order reads {most:,} of the {total:,} different dates there, {order} {mine:,}; "
        f"rows not read: {rows:,}" + (f", rows with a wrong day: {wrong:,}" if wrong else "")
    )
    return Finding("other-date-order", place, row, problem, {"date_order": better[0]}, is_sure)


# Cells that two orders read


def _days(view: View, order: Order) -> set[date]:
    return {day for day in view.days[order] if day}.union(view.typed)


def _doubtful(place: Place, view: View, how: Format, others: Others) -> Finding | None:
    order, texts = how.date_order, view.texts
    for other in ORDERS:
        if other == order or not texts or None in view.days[other]:
            continue
        if why := speaks_for(view.days[order], view.days[other], others):
            problem = (
                f"{place[1]}: order {order} reads all {len(texts):,} different dates, but so does "
                f"{other}, and {why.format(order=order, other=other)} (the first is {texts[0]!r})"
            )
            cure = {"date_order": other}
            return Finding("dates-in-doubt", place, view.cells[texts[0]][1], problem, cure, False)
    return None


# Typed days that a spreadsheet swapped


def swap_day(day: date) -> date | None:
    """Return `day` with day and month exchanged, None if that is no day."""
    return date(day.year, day.day, day.month) if day.day <= 12 else None


def is_typed(text: str) -> bool:
    """Return whether a cell is the same day in all orders, as those that a workbook typed are."""
    return len({*_in_all_orders(text)}) == 1


def _swapped(place: Place, view: View, order: Order, how: Format) -> Finding | None:
    """Find typed days that all end at 12 beside written ones that all begin at 13.

    A spreadsheet of another locale makes dates of the texts that are days in its own order, and
    leaves the others as they are.
    """
    if how.typed_dates:
        return None
    written = {day: t for day, t in zip(view.days[order], view.texts, strict=True) if day}
    late = [day for day in written if day.day > 12]
    chance = EARLY ** len(view.typed) * (1 - EARLY) ** len(late)
    if len(view.typed) < 2 or len(late) < max(2, 0.95 * len(written)) or chance > CHANCE:
        return None
    if max(day.day for day in view.typed) > 12:
        return None
    # The first days of a month may be typed, and the later ones written.
    months = {(day.year, day.month) for day in written}
    as_is = sum((day.year, day.month) in months for day in view.typed)
    if as_is > 2 * sum((day.year, day.day) in months for day in view.typed):
        return None
    typed, text = next(iter(view.typed.values())), written[late[0]]
    problem = (
        f"{place[1]}: all {len(view.typed):,} typed days are the 12th of a month or earlier (the "
        f"first is {typed!r}), and {len(late):,} of {len(written):,} written ones are later (the "
        f"first is {text!r} in row {view.cells[text][1]:,}): a spreadsheet has swapped day and "
        "month where it could"
    )
    row = view.cells[typed][1]
    return Finding("swapped-dates", place, row, problem, {"typed_dates": "swapped"}, True)
