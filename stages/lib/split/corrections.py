"""Corrections become training rows, after the split was dealt.

So validation and test rows are the same with them and without, and no correction tells the model
what a validation or test row is: such a correction is held back from the training.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import (
    AMOUNT,
    AMOUNT_BUCKET,
    DATE,
    GROUP,
    LABEL,
    ORIGIN,
    ROW_ID,
)
from stages.lib.review.corrections import PATH
from stages.lib.review.keys import canonical_text
from stages.lib.split.sides import TRAIN, Dealt
from stages.lib.tables import open_table, read_group

# Amounts that differ by less are equal: a sheet shows them rounded.
CENT = 0.005
IN_LEDGER, IDENTICAL, VENDOR, LATER = (
    "in the ledger already",
    "identical to a validation or test row",
    "of a vendor of validation or test",
    "not before the validation rows",
)


class Added(NamedTuple):
    """What becomes of the corrections.

    Attributes
    ----------
    rows : Table or None
        Training rows, with the columns of the base table; None: there are no corrections.
    counts : dict of str to int
        ``added``, and how many are not, by reason.
    remarks : list of str
        Corrections that the ledger contradicts.
    """

    rows: pa.Table | None
    counts: dict[str, int]
    remarks: list[str]


class _Known(NamedTuple):
    """A row of the base table that the model sees as it sees a correction."""

    row_id: int
    amount: float | None
    account: str


class _Equal(NamedTuple):
    """Such rows by date, and whether one is a validation or test row."""

    by_date: dict[date | None, list[_Known]]
    judged: bool


def _canonical(table: pa.Table, fields: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the visible fields of each row as a spreadsheet leaves them."""
    columns = []
    for name in fields:
        # Distinct cells are few, and canonical forms slow.
        cells = table[name].combine_chunks().dictionary_encode()
        texts = [canonical_text(text) for text in cells.dictionary.to_pylist()]
        columns.append([texts[place] for place in cells.indices.to_pylist()])
    return list(zip(*columns, strict=True))


def _groups(
    base: Path, names: list[str], side: np.ndarray
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Yield the row groups of the base table, each with the sides of its rows."""
    start = 0
    with open_table(base) as file:
        count = file.num_row_groups
    for group in range(count):
        table = read_group(base, group, names)
        yield table, side[start : start + len(table)]
        start += len(table)


def find_equal(
    base: Path, side: np.ndarray, wanted: set[tuple[str, ...]], fields: list[str]
) -> dict[tuple[str, ...], _Equal]:
    """Return the rows of the base table whose visible fields are wanted, by these fields."""
    found: dict[tuple[str, ...], _Equal] = {}
    names = [*dict.fromkeys([*fields, ROW_ID, DATE, AMOUNT, LABEL])]
    for table, sides in _groups(base, names, side):
        seen = _canonical(table, fields)
        places = [place for place, row in enumerate(seen) if row in wanted]
        rows = table.take(pa.array(places, pa.int64())).to_pylist()
        for place, row in zip(places, rows, strict=True):
            equal = found.setdefault(seen[place], _Equal(defaultdict(list), False))
            known = _Known(row[ROW_ID], row[AMOUNT], row[LABEL])
            equal.by_date[row[DATE]].append(known)
            if sides[place] > TRAIN:
                found[seen[place]] = equal._replace(judged=True)
    return found


def _same_rows(equal: _Equal, day: date | None, amount: float | None) -> list[_Known]:
    """Return the rows of the same date and amount; what a sheet lost is equal to all."""
    days = equal.by_date if day is None else [day, None]
    return [
        row
        for key in days
        for row in equal.by_date.get(key, ())
        if amount is None or row.amount is None or abs(amount - row.amount) < CENT
    ]


def add_corrections(
    said: pa.Table,
    base: Path,
    dealt: Dealt,
    fields: list[str],
    vendor: str | None,
    strategy: str,
) -> Added:
    """Return the training rows that corrections become.

    A correction whose row is in the ledger counts once: the ledger's row does, also where it has
    another account. Held back are corrections that show the model a validation or test row, or,
    by the strategy, one of their vendors or days.

    Parameters
    ----------
    said : Table
        As `usable_corrections` returns it.
    base : Path
        The base table.
    dealt : Dealt
    fields : list of str
        The visible fields.
    vendor : str or None
        The visible field with the vendor; None: the model does not see it.
    strategy : str
        ``split.strategy``.
    """
    if not said.num_rows:
        return Added(None, {}, [])
    seen = _canonical(said, fields)
    equal = find_equal(base, dealt.side, set(seen), fields)
    judged = _judged(base, dealt.side, strategy)
    counts = Counter(dict.fromkeys(("added", IN_LEDGER, IDENTICAL, VENDOR, LATER), 0))
    used, kept, remarks = set(), [], []
    for place, row in enumerate(said.to_pylist()):
        like = equal.get(seen[place], _Equal({}, False))
        same = [one for one in _same_rows(like, row[DATE], row[AMOUNT]) if one.row_id not in used]
        if same:
            # One row of the ledger is the return of one correction, best of one that agrees.
            best = min(same, key=lambda one: (one.account != row[LABEL], one.row_id))
            used.add(best.row_id)
            if best.account != row[LABEL]:
                remarks.append(
                    f"{PATH}, key {row['key']}: the correction says {row[LABEL]}, the ledger "
                    f"{best.account} (row_id {best.row_id}), which counts"
                )
            counts[IN_LEDGER] += 1
        elif reason := _held_back(row, like, vendor, strategy, judged):
            counts[reason] += 1
        else:
            counts["added"] += 1
            kept.append(place)
    return Added(_base_rows(said, kept, base, fields, vendor), dict(counts), remarks)


def _held_back(
    row: dict, like: _Equal, vendor: str | None, strategy: str, judged: set[str] | date | None
) -> str:
    """Return why a correction must not train, "" if it may."""
    if like.judged:
        return IDENTICAL
    if strategy == "group" and vendor and row[vendor] in judged:
        return VENDOR
    if strategy == "time" and (row[DATE] is None or row[DATE] >= judged):
        return LATER
    return ""


def _judged(base: Path, side: np.ndarray, strategy: str) -> set[str] | date | None:
    """Return what validation and test keep from the training: their vendors, or their days from
    the first on."""
    if strategy == "stratified":
        return None
    vendors, days = set(), []
    for table, sides in _groups(base, [GROUP, DATE], side):
        later = table.filter(pa.array(sides > TRAIN))
        vendors.update(later[GROUP].unique().to_pylist())
        days.append(pc.min(later[DATE]).as_py())
    return vendors - {""} if strategy == "group" else min(filter(None, days))


def _base_rows(
    said: pa.Table, kept: list[int], base: Path, fields: list[str], vendor: str | None
) -> pa.Table:
    """Return corrections with the columns of the base table, numbered after its last row."""
    with open_table(base) as file:
        schema = file.schema_arrow
        group = read_group(base, file.num_row_groups - 1, [ROW_ID])[ROW_ID]
    rows, count = said.take(pa.array(kept, pa.int64())), len(kept)
    first = group[-1].as_py() + 1
    made = {
        ROW_ID: pa.array(np.arange(first, first + count)),
        ORIGIN[0]: pa.array([str(PATH)] * count, pa.string()),
        ORIGIN[1]: pa.array([""] * count, pa.string()),
        # The row of the file: its header is the first.
        ORIGIN[2]: pa.array([place + 2 for place in kept], pa.int32()),
        GROUP: rows[vendor] if vendor else pa.array([""] * count, pa.string()),
        AMOUNT_BUCKET: pa.array([""] * count, pa.string()),
        **{name: rows[name] for name in (*fields, DATE, AMOUNT, LABEL)},
    }
    columns = []
    for field in schema:
        column = made[field.name]
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if pa.types.is_dictionary(field.type):
            column = column.dictionary_encode()
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)
