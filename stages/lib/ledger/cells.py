"""Rows of cells as files have them, and cells as text.

A cell becomes text that means the same: 2401.0 of a workbook is '2401', a date is its ISO form.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple


class Records(NamedTuple):
    """Rows of one sheet, in their order.

    Attributes
    ----------
    rows : list of list
        Cells: texts, or what `cell_text` takes.
    lines : list of int
        The number of each row in its sheet (1-based); of a text file, the line where it begins.
    broken : sequence of (int, str)
        Lines of a text file that cannot be read as rows: number and text.
    is_text : bool
        The rows are from a text file, so each should have as many cells as the header.
    has_bad_bytes : bool
        Some cells have bytes that the encoding of the file does not know, as surrogates (PEP 383).
    unwanted : dict of int to str
        Lines to leave out, with the reason.
    """

    rows: list[list]
    lines: list[int]
    broken: Sequence[tuple[int, str]] = ()
    is_text: bool = False
    has_bad_bytes: bool = False
    unwanted: Mapping[int, str] = MappingProxyType({})


def cell_text(cell: object) -> str:
    """Return a cell as text; None and NaN are empty."""
    kind = type(cell)
    if kind is str:
        return cell.replace("\0", "") if "\0" in cell else cell
    if kind is float:
        if cell.is_integer():
            return str(int(cell))
        if 1e-4 <= abs(cell) < 1e15:
            return repr(cell)
        return "" if math.isnan(cell) else format(Decimal(repr(cell)), "f")
    if cell is None:
        return ""
    if kind is bool:
        return "TRUE" if cell else "FALSE"
    if kind is Decimal:
        return format(cell, "f")
    if kind is datetime:
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    return str(cell)


def amount_text(cell: object) -> str:
    """Return a cell of amounts as text. A typed fraction gets the exponent E0: its decimal sign is
    the point, even in a ledger whose texts write a comma."""
    text = cell_text(cell)
    return text + "E0" if isinstance(cell, float | Decimal) and "." in text else text


def is_encodable(text: str) -> bool:
    """Return whether `text` has no surrogates, which stand for bytes without a character."""
    try:
        text.encode("utf-8")
        return True
    except UnicodeEncodeError:
        return False


def writable_cells(row: list) -> list[str]:
    """Return the cells of a row as text that can be written; a surrogate becomes ``\\udcff``."""
    cells = [cell_text(cell) for cell in row]
    if is_encodable("".join(cells)):
        return cells
    return [cell.encode("utf-8", "backslashreplace").decode("utf-8") for cell in cells]
