"""Find the rows of a ledger that are equal to an earlier one, and say which of them are real.

A person can buy the same thing twice on one day. So rows that one sheet lists twice are two
transactions, unless they have a document number. Exports overlap, so a row that two sheets list is
one transaction: of rows without a number, as many are kept as the sheet with the most of them has.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import MASKED, ORIGIN
from stages.lib.contracts.roles import column_roles
from stages.lib.ledger.cells import writable_cells
from stages.lib.tables import number_groups, row_digests

# What a row is: the first of its kind, a repetition that is kept, or one that is refused.
FIRST, KEPT, REFUSED = range(3)


def tell_lines_apart(
    columns: dict[str, pa.Array], ids: list[str], rows: list[list], places: set[int], key: bytes
) -> pa.Array:
    """Return `MASKED` of rows of one sheet, with a digest where only other columns tell them apart.

    So the lines of one document stay apart that differ only in a column which is not listed, such
    as its tax. Rows that are not equal to another one of the sheet get no digest: another export
    may have other such columns.

    Parameters
    ----------
    columns : dict of str to pa.Array
        The columns that are listed, and `MASKED`.
    ids : list of str
        Columns of the role id. Rows that have none are counted instead: see `find_repeated`.
    rows : list of list
        All cells of each row.
    places : set of int
        The places of the listed columns among them.
    key : bytes
        Of the digests, 64 bytes at most.
    """
    listed = pa.table({name: cells.cast(pa.binary()) for name, cells in columns.items()})
    joined = pc.binary_join_element_wise(*listed.columns, pa.scalar(b"\0", pa.binary()))
    kind = joined.combine_chunks().dictionary_encode().indices.to_numpy()
    alike = np.bincount(kind)[kind] > 1 if len(kind) else np.zeros(0, bool)
    filled = np.zeros(len(kind), bool)
    for name in ids:
        filled |= pc.not_equal(pc.utf8_trim_whitespace(columns[name]), "").to_numpy(False)
    others, found = defaultdict(set), {}
    for row in np.flatnonzero(alike & filled):
        cells = enumerate(writable_cells(rows[row]))
        found[row] = "\x1f".join(cell for place, cell in cells if place not in places)
        others[kind[row]].add(found[row])
    chosen = [row for row in found if len(others[kind[row]]) > 1]
    masked = columns[MASKED].to_pylist()
    parts = pa.table({"others": [found[r] for r in chosen], "masked": [masked[r] for r in chosen]})
    if chosen:
        for row, digest in zip(chosen, row_digests(parts, parts.column_names, key), strict=True):
            masked[row] = digest.tobytes().hex()
    return pa.array(masked, pa.string())


class Listed(NamedTuple):
    """Which rows of a group are equal, and where each is listed.

    Attributes
    ----------
    digests : ndarray of uint64, (rows, 2)
        Equal for rows that are equal in every column of the ledger.
    sheets : list of (file, sheet)
    sheet : ndarray of int32, (rows,)
        The position in `sheets`; -1 for a row with a document number.
    """

    digests: np.ndarray
    sheets: list[tuple[str, str]]
    sheet: np.ndarray


def list_rows(raw: pa.Table) -> Listed:
    """Return which rows of a group are equal, and where each is listed."""
    roles = column_roles(raw.schema)
    files, names = (raw[name].combine_chunks() for name in ORIGIN[:2])
    width = max(1, len(names.dictionary))
    code = files.indices.to_numpy().astype(np.int64) * width + names.indices.to_numpy()
    found, sheet = np.unique(code, return_inverse=True)
    sheets = [
        (files.dictionary[file].as_py(), names.dictionary[name].as_py())
        for file, name in (divmod(number, width) for number in found.tolist())
    ]
    sheet = sheet.astype(np.int32)
    for name in (name for name, role in roles.items() if role == "id"):
        filled = pc.not_equal(pc.utf8_trim_whitespace(raw[name]), "")
        sheet[filled.to_numpy()] = -1
    return Listed(row_digests(raw, [*roles, MASKED]), sheets, sheet)


def find_repeated(groups: list[Listed], rule: str) -> list[np.ndarray]:
    """Return for each group whether its rows repeat an earlier row of any group.

    Parameters
    ----------
    groups : list of Listed
        Together, all rows of the ledger.
    rule : {"reject", "reject_all", "keep"}
        Refuse repetitions that are not likely to be real, all of them, or none.

    Returns
    -------
    list of ndarray of uint8, (rows,) each
        FIRST, KEPT or REFUSED.
    """
    ends = np.cumsum([len(group.digests) for group in groups])
    kind = np.full(ends[-1], FIRST, np.uint8)
    if rule != "keep":
        first = number_groups(np.concatenate([group.digests for group in groups]))
        repeated = first != np.arange(len(first))
        kind[repeated] = REFUSED
        if rule == "reject" and repeated.any():
            sheet = _number_sheets(groups)
            alike = np.flatnonzero(np.isin(first, first[repeated]) & (sheet >= 0))
            real = _most_of_one_sheet(first[alike], sheet[alike])
            kind[alike[real & repeated[alike]]] = KEPT
    return np.split(kind, ends[:-1])


def _number_sheets(groups: list[Listed]) -> np.ndarray:
    """Return the number of each row's sheet over all groups; -1 as in `Listed`."""
    numbers: dict[tuple[str, str], int] = {}
    for group in groups:
        for name in group.sheets:
            numbers.setdefault(name, len(numbers))
    # The last one is for -1.
    return np.concatenate(
        [np.array([*map(numbers.get, group.sheets), -1])[group.sheet] for group in groups]
    )


def _most_of_one_sheet(first: np.ndarray, sheet: np.ndarray) -> np.ndarray:
    """Return which rows are kept: of each kind as many as the sheet with the most of them has.

    Parameters
    ----------
    first, sheet : ndarray of int64, (rows,)
        The kind of each row, and its sheet.
    """
    # The second row of a sheet is kept if no earlier sheet has a second one.
    turn = _turns(np.stack([first, sheet]))
    return _turns(np.stack([first, turn])) == 0


def _turns(keys: np.ndarray) -> np.ndarray:
    """Return how many earlier rows have the same two keys, int64 (rows,)."""
    order = np.lexsort(keys)
    ordered = keys[:, order]
    starts = np.ones(len(order), bool)
    starts[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    places = np.arange(len(order))
    turns = np.empty(len(order), np.int64)
    turns[order] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return turns
