"""Fill empty cells from above, up to where something else begins."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.reasons import HIDDEN_ROW, NOT_TRANSACTIONS, SUBTOTAL
from stages.lib.params.ingest import OF_LABELS, IngestParams

# What is counted by column: cells that were filled from above, cells that were not because another
# voucher begins, cells that were filled in a row that seems to begin something else, and rows that
# only name an account which no row below takes.
FILLED, ENDED, CROSSED, NAMED = "filled", "ended", "crossed", "named"


def is_filled(column: pa.Array) -> np.ndarray:
    """Return which cells have more than white space."""
    return pc.not_equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)


def find_changes(column: pa.Array, reasons: np.ndarray) -> np.ndarray:
    """Return which rows have another value than the last filled cell above them.

    Rows that say nothing about the data, such as totals, are passed over; refused rows are not.

    Parameters
    ----------
    column : pa.Array
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).
    """
    changed = np.zeros(len(column), bool)
    rows = np.flatnonzero(is_filled(column) & ~np.isin(reasons, NOT_TRANSACTIONS))
    if rows.size:
        cells = pc.utf8_trim_whitespace(column.take(pa.array(rows)))
        codes = cells.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        changed[rows[np.r_[True, codes[1:] != codes[:-1]]]] = True
    return changed


def find_sources(filled: np.ndarray, reasons: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the row from which each cell is taken, its own one if it is filled, -1 for none.

    A row that was refused may have begun another section: what is above it is forgotten.

    Parameters
    ----------
    filled : np.ndarray of bool, shape (rows,)
        Which cells are filled.
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).
    ends : np.ndarray of bool, shape (rows,)
        Where what is above is forgotten, too.
    """
    good = reasons == ""
    # A filter may hide the first row of a section, which names it.
    gives = filled & (good | (reasons == HIDDEN_ROW))
    forgets = ends | (filled & ~good & ~np.isin(reasons, NOT_TRANSACTIONS))
    rows = np.arange(len(filled))
    last = np.maximum.accumulate(np.where(gives | forgets, rows, -1))
    sources = np.where((last >= 0) & gives[last], last, -1)
    return np.where(good, sources, rows)


class Filled(NamedTuple):
    """Columns that were filled from above.

    Attributes
    ----------
    columns : dict of str to pa.Array
        Strings.
    counts : Counter of (str, str)
        By column, and `FILLED`, `ENDED` or `CROSSED`.
    gives : np.ndarray of bool, shape (rows,)
        Rows from which another row takes a cell.
    """

    columns: dict[str, pa.Array]
    counts: Counter
    gives: np.ndarray


def fill_columns(
    columns: dict[str, pa.Array],
    reasons: np.ndarray,
    lost: np.ndarray,
    places: dict[str, int],
    params: IngestParams,
) -> Filled:
    """Return `columns` with the empty cells of transactions filled from above.

    Parameters
    ----------
    columns : dict of str to pa.Array
        Strings.
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).
    lost : np.ndarray of bool, shape (rows,)
        Whether a line before the row could not be read.
    places : dict of str to int
        The place of each column in the sheet.
    """
    if not params.fill_down:
        return Filled(dict(columns), Counter(), np.zeros(len(reasons), bool))
    filled = {name: is_filled(column) for name, column in columns.items()}
    counts, found, gives = Counter(), dict(columns), np.zeros(len(reasons), bool)
    voucher = params.voucher_column
    begins = None
    if voucher in columns and filled[voucher].any():
        begins = find_changes(columns[voucher], reasons)
    for name in params.fill_down:
        ends = lost | _other_account(name, columns, filled, reasons, params)
        sources = find_sources(filled[name], reasons, ends)
        if begins is not None and _is_of_voucher(name, filled[name], reasons, begins, params):
            without = sources
            sources = find_sources(filled[name], reasons, ends | begins)
            counts[name, ENDED] = int(((sources < 0) & (without >= 0)).sum())
        taken = columns[name].take(pa.array(sources, mask=sources < 0))
        found[name] = taken.fill_null("")
        from_above = (reasons == "") & (sources >= 0) & ~filled[name]
        if begins is None and params.voucher == "auto":
            counts[name, CROSSED] = int(
                (from_above & _own_left(name, filled, places, params)).sum()
            )
        gives[sources[from_above]] = True
        counts[name, FILLED] = int(from_above.sum())
    return Filled(found, +counts, gives)


def _own_left(
    name: str, filled: dict[str, np.ndarray], places: dict[str, int], params: IngestParams
) -> np.ndarray:
    """Return which rows fill a column on the left of `name` that is else filled from above. In a
    table of groups, what is on the left changes last; so such a row begins something else."""
    found = np.zeros(len(filled[name]), bool)
    if params.columns[name].role in OF_LABELS:
        return found
    for other in params.fill_down:
        is_left = places.get(other, -1) < places.get(name, -1)
        if is_left and params.columns[other].role not in OF_LABELS:
            found |= filled[other]
    return found


def _is_of_voucher(
    name: str, filled: np.ndarray, reasons: np.ndarray, begins: np.ndarray, params: IngestParams
) -> bool:
    """Return whether a column is filled within vouchers only.

    Reports name an account once for many vouchers. So accounts go on beyond a voucher, unless nine
    of ten vouchers begin with one and most empty cells are within vouchers.
    """
    role = params.columns[name].role
    if role == "id":
        return False
    if role not in OF_LABELS:
        return True
    good = reasons == ""
    own, lacking = (good & begins & filled).sum(), (good & begins & ~filled).sum()
    return own >= 9 * lacking and (good & ~begins & ~filled).sum() > lacking


def _other_account(
    name: str,
    columns: dict[str, pa.Array],
    filled: dict[str, np.ndarray],
    reasons: np.ndarray,
    params: IngestParams,
) -> np.ndarray:
    """Return the rows where another account begins, to which what `name` has above is foreign: a
    parent begins another sub-account, the total of a sub-account ends it, an account has its own
    name."""
    found, parts = np.zeros(len(reasons), bool), params.label_parts
    if params.columns[name].role == "label_name":
        for part in parts:
            found |= find_changes(columns[part], reasons) & (reasons == "")
    elif name in parts and len(parts) > 1:
        place = parts.index(name)
        for part in parts[:place]:
            found |= filled[part] & (reasons == "")
        for part in parts[: place + 1]:
            found |= filled[part] & (reasons == SUBTOTAL)
    return found


def count_named(
    filled: dict[str, np.ndarray], reasons: np.ndarray, params: IngestParams
) -> Counter:
    """Return how many refused rows have nothing but an account in columns that are not filled from
    above, by column and `NAMED`.

    Parameters
    ----------
    filled : dict of str to np.ndarray of bool, shape (rows,)
        Which cells of each column were filled from the beginning.
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).
    """
    alone = (reasons != "") & ~np.isin(reasons, NOT_TRANSACTIONS)
    alone &= np.any([filled[name] for name in params.label_parts], axis=0)
    if not alone.any():
        return Counter()
    for name, cells in filled.items():
        if params.columns[name].role not in OF_LABELS:
            alone &= ~cells
    naming = [n for n in filled if params.columns[n].role in OF_LABELS if n not in params.fill_down]
    return +Counter({(name, NAMED): int((alone & filled[name]).sum()) for name in naming})
