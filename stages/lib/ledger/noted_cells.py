"""Count cells that a user should know of, and keep examples of them as the file has them."""

from collections import Counter
from typing import NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.clean_columns import UNREAD_AMOUNT, UNREAD_DATE, Column
from stages.lib.ledger.formats import Place
from stages.lib.ledger.privacy import mask_personal
from stages.lib.params.ingest import MaskKind

# Why rows are refused or cells noted, and the column that it is about ("" for all of them).
Reason = tuple[str, str]

REPEATED = "repeats an earlier row"
_ALL_KINDS = get_args(MaskKind)  # also those that `ingest` was told not to mask
_CELLS = 50
_CHARS = 40


class Example(NamedTuple):
    """The first row of a reason, and some of the different cells, that of this row first."""

    row: str
    cells: list[str]

    def __str__(self) -> str:
        return self.row + (f": {shortened(self.cells[0])!r}" if self.cells else "")


class Unread(NamedTuple):
    """Of a column of a file: its filled cells, those with digits that cannot be read, and the first
    of these."""

    filled: int = 0
    unread: int = 0
    example: Example | None = None

    def plus(self, other: "Unread") -> "Unread":
        """Return the sum of this and `other`, which has later rows."""
        example = self.example or other.example
        return Unread(self.filled + other.filled, self.unread + other.unread, example)


class Noted(NamedTuple):
    """What was noted in some rows.

    Attributes
    ----------
    examples : dict of (reason, column) to Example
        Of refused rows and of `counts`.
    counts : Counter
        Noted cells that refuse no row, by (reason, column).
    unread : dict of (file, column) to Unread
        Of columns whose cells are emptied if they cannot be read.
    """

    examples: dict[Reason, Example]
    counts: Counter[Reason]
    unread: dict[Place, Unread]


def shortened(cell: str) -> str:
    """Return `cell` in a form that fits into a line, and may be shown."""
    cell = mask_personal(" ".join(cell.split()), _ALL_KINDS)[0]
    return cell if len(cell) <= _CHARS else cell[: _CHARS - 1] + "…"


def note_cells(
    raw: pa.Table, columns: dict[str, Column], reason: np.ndarray, place: np.ndarray
) -> Noted:
    """Return what a user should know of the cells of one group.

    Parameters
    ----------
    raw : Table
    columns : dict of str to Column
        The same rows, clean.
    reason, place : ndarray of str, (rows,)
        As `first_reasons` returns them.
    """
    examples, counts, unread = {}, Counter(), {}
    for why, name in {*zip(reason[reason != ""], place[reason != ""], strict=True)}:
        chosen = (reason == why) & (place == name)
        examples[why, name] = find_example(raw, name, chosen)
    for name, column in columns.items():
        for why, rows in column.noted:
            chosen = rows.to_numpy(zero_copy_only=False)
            if why in (UNREAD_AMOUNT, UNREAD_DATE):
                unread |= count_unread(raw, name, rows)
            if chosen.any():
                counts[why, name] = int(chosen.sum())
                examples[why, name] = find_example(raw, name, chosen)
    return Noted(examples, counts, unread)


def note_rows(noted: Noted, raw: pa.Table, reason: str, chosen: np.ndarray) -> None:
    """Add rows that refuse nothing to `noted`, in place; `chosen` is bool (rows,)."""
    if chosen.any():
        noted.counts[reason, ""] = int(chosen.sum())
        noted.examples[reason, ""] = find_example(raw, "", chosen)


def find_example(raw: pa.Table, column: str, chosen: np.ndarray) -> Example:
    """Return the first row of `chosen`, bool (rows,), and what its column has."""
    at = np.flatnonzero(chosen)[:1_000]
    first = raw.slice(at[0], 1)
    row = f"{first['source_file'][0]} row {first['source_row'][0].as_py():,}"
    cells = pc.unique(raw[column].take(pa.array(at))).to_pylist() if column else []
    return Example(row, cells[:_CELLS])


def count_unread(raw: pa.Table, column: str, unread: pa.Array) -> dict[Place, Unread]:
    """Return how many cells of each file cannot be read, though they have digits."""
    cells = pc.utf8_trim_whitespace(raw[column])
    filled = pc.not_equal(cells, "")
    strange = pc.and_(unread, pc.match_substring_regex(cells, r"\d"))
    files = raw["source_file"].cast(pa.string())
    counts = {(file, column): Unread(n) for file, n in _count(files, filled).items()}
    for file, number in _count(files, strange).items():
        here = pc.and_(strange, pc.equal(files, file)).to_numpy()
        example = find_example(raw, column, here)
        counts[file, column] = Unread(counts[file, column].filled, number, example)
    return counts


def _count(files: pa.ChunkedArray, chosen: pa.ChunkedArray) -> dict[str, int]:
    counts = pc.value_counts(files.filter(chosen)).to_pylist()
    return {one["values"]: one["counts"] for one in counts}
