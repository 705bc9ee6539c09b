"""Tell the transactions among the rows of a sheet from all other rows."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.cells import (
    Records,
    amount_text,
    cell_text,
    is_encodable,
    writable_cells,
)
from stages.lib.ledger.headers import Layout, header_key
from stages.lib.ledger.totals import find_totals
from stages.lib.params.ingest import IngestParams, Reading

# Rows that are not transactions: they are counted and kept, but say nothing about the data.
NOT_TRANSACTIONS = ("blank row", "subtotal", "repeated header", "above the header")
# What follows such a row would be read from the wrong columns.
MOVED_HEADER = "header of other columns"


class _Texts(dict):
    """Texts of the floats of a column, each made once: `cell_text` takes most of the time."""

    def __init__(self, convert: Callable[[float], str]) -> None:
        self.convert = convert

    def __missing__(self, cell: float) -> str:
        text = self[cell] = self.convert(cell)
        return text


def _text_column(cells: list, role: str) -> pa.Array:
    convert = amount_text if role == "amount" else cell_text
    floats = _Texts(convert)
    texts = [
        cell if (kind := type(cell)) is str else floats[cell] if kind is float else convert(cell)
        for cell in cells
    ]
    column = pa.array(texts, pa.string())
    if pc.any(pc.match_substring(column, "\0")).as_py():
        column = pc.replace_substring(column, "\0", "")
    # Some programs write codes like this, so that Excel does not read them as numbers: ="0101".
    if pc.any(pc.starts_with(column, '="')).as_py():
        column = pc.replace_substring_regex(column, r'^="([^"]*)"$', r"\1")
    return column


def read_columns(rows: list[list], layout: Layout, roles: dict[str, str]) -> dict[str, pa.Array]:
    """Return the columns of the ledger as strings; a cell that the row or sheet lacks is empty.

    Parameters
    ----------
    roles : dict of str to str
        The role of each column.
    """
    width = max(layout.places.values(), default=-1) + 1
    nothing = [""] * width
    rows = [row if len(row) >= width else [*row, *nothing][:width] for row in rows]
    by_place = list(zip(*rows, strict=False)) or [()] * width
    return {
        name: _text_column(
            by_place[layout.places[name]] if name in layout.places else [""] * len(rows), role
        )
        for name, role in roles.items()
    }


def whole_codes(column: pa.Array, pattern: str) -> pa.Array:
    """Return the codes of `column` with '2401.0' as '2401' where only that fits `pattern`: so
    programs write a column of whole numbers that has gaps."""
    cut = pc.ends_with(column, ".0")
    if not pc.any(cut).as_py():
        return column
    whole = pc.replace_substring_regex(column, r"\.0$", "")
    fits, before = (pc.match_substring_regex(c, rf"^(?:{pattern})$") for c in (whole, column))
    return pc.if_else(pc.and_(cut, pc.and_not(fits, before)), whole, column)


def is_filled(column: pa.Array) -> np.ndarray:
    """Return which cells have more than white space."""
    return pc.not_equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)


def fill_from_above(cells: list[str], reasons: np.ndarray, after_lost: np.ndarray) -> list[str]:
    """Return `cells` with the empty ones of transactions filled from above.

    A row that was refused and a line that could not be read may have begun another section: what
    is above it is forgotten.

    Parameters
    ----------
    cells : list of str
    reasons : np.ndarray of str, shape (rows,)
        Why each row is not a transaction ("" if it is one).
    after_lost : np.ndarray of bool, shape (rows,)
        Whether a line before the row could not be read.
    """
    above, filled = "", []
    for cell, reason, lost in zip(cells, reasons, after_lost, strict=True):
        if lost or (reason and reason not in NOT_TRANSACTIONS and cell.strip()):
            above = ""
        if not reason and cell.strip():
            above = cell
        filled.append(cell if reason else above)
    return filled


def _where(test: Callable[[list], bool], rows: list[list], among: np.ndarray) -> np.ndarray:
    """Return which rows `among` some pass `test`."""
    found = np.zeros(len(rows), bool)
    for i in np.flatnonzero(among):
        found[i] = test(rows[i])
    return found


def _says_nothing(row: list) -> bool:
    return not any(char.isalnum() for cell in row for char in cell_text(cell))


def _blank_rows(rows: list[list], label: pa.Array) -> np.ndarray:
    # A line drawn with dashes is as blank as an empty one.
    says_something = pc.match_substring_regex(label, r"[^\s\pP\pS]").to_numpy(False)
    return _where(_says_nothing, rows, ~says_something)


def _is_header(row: list, layout: Layout) -> bool:
    places = [p for p in layout.places.values() if p < min(len(row), len(layout.header))]
    return all(header_key(cell_text(row[p])) == header_key(layout.header[p]) for p in places)


def _is_moved_header(row: list, layout: Layout) -> bool:
    places = [p for p in layout.places.values() if p < len(layout.header)]
    names = {header_key(layout.header[p]) for p in places} - {""}
    return len(names) > 1 and names <= {header_key(cell_text(cell)) for cell in row}


def _repeated_headers(
    rows: list[list], columns: dict[str, pa.Array], layout: Layout, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are the header again, over the same columns, and over other ones."""
    if not layout.header_row:
        return np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    one = label if label in layout.places else next(iter(layout.places))
    cells = pa.array([cell for cell in layout.header if cell.strip()], pa.string())
    spelt = pc.is_in(pc.utf8_lower(columns[one]), pc.utf8_lower(cells)).to_numpy(False)
    return (
        _where(lambda row: _is_header(row, layout), rows, spelt),
        _where(lambda row: _is_moved_header(row, layout), rows, spelt),
    )


def find_reasons(
    records: Records,
    layout: Layout,
    reading: Reading,
    params: IngestParams,
    has_labels: bool = True,
) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Return the columns of a sheet, and why each row is not a transaction ("" if it is one).

    Parameters
    ----------
    records : Records
        Rows of the sheet.
    has_labels : bool
        Transactions have labels.

    Returns
    -------
    columns : dict of str to pa.Array
        The ledger's columns as strings, empty cells filled from above where ``fill_down`` asks it.
    reasons : np.ndarray of str, shape (rows,)
        The first reason that is true, in the order of this function.
    """
    rows, label = records.rows, params.label
    reasons = np.full(len(rows), "", object)

    def mark(chosen: np.ndarray, reason: str) -> None:
        reasons[chosen & (reasons == "")] = reason

    mark(np.array(records.lines, np.int64) < layout.header_row, "above the header")
    if records.has_bad_bytes:
        bad = [not is_encodable("".join(row)) for row in rows]
        mark(np.array(bad, bool), "undecodable bytes")
        rows = list(map(writable_cells, rows))
    columns = read_columns(rows, layout, params.roles)
    if label in params.patterns:
        columns[label] = whole_codes(columns[label], params.patterns[label])
    filled = {name: is_filled(column) for name, column in columns.items()}
    mark(_blank_rows(rows, columns[label]), "blank row")
    repeated, moved = _repeated_headers(rows, columns, layout, label)
    mark(repeated, "repeated header")
    mark(moved, MOVED_HEADER)
    mark(find_totals(rows, columns, filled, params, has_labels), "subtotal")
    if records.is_text:
        width, widths = layout.width, np.fromiter(map(len, rows), np.int64, len(rows))
        more = _where(lambda row: any(map(str.strip, row[width:])), rows, widths > width)
        mark(more, "too many cells")
        if reading.short_rows == "reject":
            mark(widths < width, "too few cells")
    lost = sorted(line for line, _ in records.broken)
    after_lost = np.diff(np.searchsorted(lost, records.lines), prepend=0) > 0
    for name in params.fill_down:
        cells = fill_from_above(columns[name].to_pylist(), reasons, after_lost)
        columns[name] = pa.array(cells, pa.string())
        filled[name] = is_filled(columns[name])
    for name in params.required:
        mark(~filled[name], f"no {name}")
    return columns, reasons
