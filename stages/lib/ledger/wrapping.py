"""Join texts that go on in the next rows."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.filling import find_changes
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.reasons import BLANK, REPEATED_HEADER, SUBTOTAL
from stages.lib.ledger.totals import is_bare_total
from stages.lib.params.ingest import MAY_WRAP, IngestParams


class Wrapped(NamedTuple):
    """Rows that look as if they had the rest of a text.

    Attributes
    ----------
    rows : int
    names : tuple of str
        The columns that they fill.
    line : int
        The number of the first one in its sheet.
    text : str
        What it says.
    """

    rows: int = 0
    names: tuple[str, ...] = ()
    line: int = 0
    text: str = ""

    def plus(self, other: "Wrapped") -> "Wrapped":
        """Return what was seen in this part of a sheet and in a later one."""
        first, names = (self if self.rows else other), {*self.names, *other.names}
        return Wrapped(self.rows + other.rows, tuple(sorted(names)), first.line, first.text)


def find_rests(
    rows: list[list],
    columns: dict[str, pa.Array],
    filled: dict[str, np.ndarray],
    layout: Layout,
    names: list[str],
    reasons: np.ndarray,
    among: np.ndarray,
    params: IngestParams,
) -> np.ndarray:
    """Return which rows `among` some can only have the rest of a text: they fill some of the
    columns `names` and nothing else, but for the document number of the row above.

    Parameters
    ----------
    rows : list of list
        Raw cells.
    columns, filled : dict
        The columns of the ledger, and which of their cells are filled.
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).

    Returns
    -------
    np.ndarray of bool, shape (rows,)
    """
    numbers = [n for n in filled if params.columns[n].role == "id"]
    found = among & np.any([filled[name] for name in names], axis=0)
    for name in filled:
        if name not in (*names, *numbers):
            found = found & ~filled[name]
    for name in numbers:
        found = found & ~(filled[name] & find_changes(columns[name], reasons))
    known = set(layout.places.values())
    for i in np.flatnonzero(found):
        others = (cell for place, cell in enumerate(rows[i]) if place not in known)
        texts = [columns[name][i].as_py() for name in names if filled[name][i]]
        found[i] = not any(cell_text(cell).strip() for cell in others) and not all(
            is_bare_total(text, params) for text in texts
        )
    return found


def find_heads(rests: np.ndarray, reasons: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return the row to whose text each rest belongs, -1 for none.

    It is the transaction right above, or that of the rest right above. Only a page break may be
    between them: a repeated header, with blank rows and totals around it.

    Parameters
    ----------
    rests : np.ndarray of bool, shape (rows,)
        Which rows have the rest of a text.
    reasons : np.ndarray of str, shape (rows,)
        Why each other row is not a transaction ("" if it is one).
    lost : np.ndarray of bool, shape (rows,)
        Whether a line before the row could not be read.
    """
    places = np.arange(len(rests))
    gap = np.isin(reasons, (BLANK, SUBTOTAL, REPEATED_HEADER)) & ~rests
    before = np.r_[-1, np.maximum.accumulate(np.where(gap, -1, places))[:-1]]
    headers, losses = (np.r_[0, np.cumsum(x)] for x in (reasons == REPEATED_HEADER, lost))
    is_apart = (before < places - 1) & (headers[places] == headers[before + 1])
    is_apart |= losses[places + 1] > losses[before + 1]
    parted = np.maximum.accumulate(np.where(rests & is_apart, places, -1))
    row = np.maximum.accumulate(np.where(rests | gap, -1, places))
    return np.where(rests & (row > parted) & (reasons[row] == ""), row, -1)


def join_rests(column: pa.Array, filled: np.ndarray, heads: np.ndarray) -> pa.Array:
    """Return `column` with the rests of texts added to the rows where they begin.

    Parameters
    ----------
    column : pa.Array
        Strings.
    filled : np.ndarray of bool, shape (rows,)
        Which cells are filled.
    heads : np.ndarray of int, shape (rows,)
        The row to whose text each row belongs, -1 for none.
    """
    rests = np.flatnonzero(filled & (heads >= 0))
    if not rests.size:
        return column
    texts = defaultdict(list)
    for rest in rests:
        texts[heads[rest]].append(column[rest].as_py().strip())
    cells = column.to_pylist()
    for row, more in texts.items():
        cells[row] = " ".join([*filter(None, [cells[row].strip()]), *more])
    return pa.array(cells, pa.string())


def look_for_rests(
    rows: list[list],
    lines: list[int],
    columns: dict[str, pa.Array],
    filled: dict[str, np.ndarray],
    layout: Layout,
    reasons: np.ndarray,
    params: IngestParams,
) -> Wrapped:
    """Return what was refused and looks as if it had the rest of a text, right below a transaction
    or another such row.

    Parameters
    ----------
    lines : list of int
        The number of each row in its sheet.
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).
    """
    roles, fill_down = params.roles, params.fill_down
    names = [n for n, r in roles.items() if r == "text" or (r in MAY_WRAP and n not in fill_down)]
    refused = np.zeros(len(reasons), bool)
    for i in np.flatnonzero(reasons != ""):
        refused[i] = reasons[i].startswith(("no ", "too few"))
    if not names or not refused.any():
        return Wrapped()
    rests = find_rests(rows, columns, filled, layout, names, reasons, refused, params)
    rests &= find_heads(rests, reasons, np.zeros(len(rests), bool)) >= 0
    if not rests.any():
        return Wrapped()
    used = tuple(sorted(name for name in names if (filled[name] & rests).any()))
    first = int(np.flatnonzero(rests)[0])
    text = " | ".join(columns[name][first].as_py() for name in used if filled[name][first])
    return Wrapped(int(rests.sum()), used, lines[first], text)
