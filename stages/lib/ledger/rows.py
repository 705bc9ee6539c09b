"""Tell the transactions among the rows of a sheet from all other rows."""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

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
from stages.lib.ledger.filling import count_named, fill_columns, is_filled
from stages.lib.ledger.header_names import header_key
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.label_parts import account_parents, clean_parts, join_parts
from stages.lib.ledger.reasons import (
    BLANK,
    HEADING,
    JOINED,
    LONE_TEXT,
    MOVED_HEADER,
    REPEATED_HEADER,
    SEPARATOR_IN,
    SUBTOTAL,
)
from stages.lib.ledger.totals import find_totals
from stages.lib.ledger.wrapping import Wrapped, find_heads, find_rests, join_rests, look_for_rests
from stages.lib.ledger.zero_dates import is_zero_date
from stages.lib.params.ingest import OF_LABELS, IngestParams, Reading


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
    if pc.any(pc.match_substring(column, '="')).as_py():
        column = pc.replace_substring_regex(column, r'^\s*="([^"]*)"\s*$', r"\1")
    # Excel's own mark of a text. In other columns it may be an apostrophe.
    if role == "label" and pc.any(pc.match_substring(column, "'")).as_py():
        column = pc.replace_substring_regex(column, r"^\s*'([^']+)'?\s*$", r"\1")
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


def whole_codes(column: pa.Array, pattern: str, separator: str | None = None) -> pa.Array:
    """Return the codes of `column` with '2401.0' as '2401' where only that fits `pattern`: so
    programs write a column of whole numbers that has gaps. `separator` joins parts of codes."""
    if not pc.any(pc.match_substring(column, ".0")).as_py():
        return column
    end = "$" if separator is None else f"($|{re.escape(separator)})"
    whole = pc.replace_substring_regex(column, rf"\.0{end}", r"\1" if separator else "")
    fits, before = (pc.match_substring_regex(c, rf"^(?:{pattern})$") for c in (whole, column))
    return pc.if_else(pc.and_not(fits, before), whole, column)


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
    # The columns of a report's headings may have no header of their own.
    named = [n for n, place in layout.places.items() if "".join(layout.header[place:][:1]).strip()]
    one = label if label in named else next(iter(named or layout.places))
    cells = pa.array([cell for cell in layout.header if cell.strip()], pa.string())
    spelt = pc.is_in(pc.utf8_lower(columns[one]), pc.utf8_lower(cells)).to_numpy(False)
    return (
        _where(lambda row: _is_header(row, layout), rows, spelt),
        _where(lambda row: _is_moved_header(row, layout), rows, spelt),
    )


class Sorted(NamedTuple):
    """The rows of a sheet, and why some are no transactions.

    Attributes
    ----------
    columns : dict of str to pa.Array
        The ledger's columns as strings: cells filled from above, texts joined, one account.
    reasons : np.ndarray of str, shape (rows,)
        The first reason why each row is not a transaction ("" if it is one).
    filling : Counter of (str, str)
        As `Filled.counts`.
    wrapped : Wrapped
        Refused rows that look as if they had the rest of a text.
    parents : set of (str, str)
        The accounts and their parents.
    """

    columns: dict[str, pa.Array]
    reasons: np.ndarray
    filling: Counter
    wrapped: Wrapped
    parents: set[tuple[str, str]]


def find_reasons(
    records: Records,
    layout: Layout,
    reading: Reading,
    params: IngestParams,
    has_labels: bool = True,
) -> Sorted:
    """Return the columns of a sheet, and why each row is not a transaction.

    Parameters
    ----------
    records : Records
        Rows of the sheet.
    has_labels : bool
        Transactions have labels.
    """
    rows, reasons = records.rows, np.full(len(records.rows), "", object)
    _mark(reasons, np.array(records.lines, np.int64) < layout.header_row, "above the header")
    if records.has_bad_bytes:
        bad = [not is_encodable("".join(row)) for row in rows]
        _mark(reasons, np.array(bad, bool), "undecodable bytes")
        rows = list(map(writable_cells, rows))
    if records.unwanted:
        unwanted = np.array([records.unwanted.get(line, "") for line in records.lines], object)
        reasons = np.where(reasons == "", unwanted, reasons)
    records = records._replace(rows=rows)
    roles = {name: column.role for name, column in params.columns.items()}
    columns = read_columns(rows, layout, roles)
    if params.label in params.patterns and len(params.label_parts) == 1:
        columns[params.label] = whole_codes(columns[params.label], params.patterns[params.label])
    filled = {name: is_filled(column) for name, column in columns.items()}
    rests = _mark_each(records, columns, filled, layout, reading, params, has_labels, reasons)
    full, filling, parents = _use_rows_above(
        records, columns, filled, rests, layout, params, reasons
    )
    wrapped = look_for_rests(rows, records.lines, columns, filled, layout, reasons, params)
    return Sorted({name: full[name] for name in params.roles}, reasons, filling, wrapped, parents)


def _mark(reasons: np.ndarray, chosen: np.ndarray, reason: str) -> None:
    """Give the rows that are `chosen` this reason, if they have none yet."""
    reasons[chosen & (reasons == "")] = reason


def _mark_each(
    records: Records,
    columns: dict[str, pa.Array],
    filled: dict[str, np.ndarray],
    layout: Layout,
    reading: Reading,
    params: IngestParams,
    has_labels: bool,
    reasons: np.ndarray,
) -> np.ndarray:
    """Mark the rows that are no transactions whatever is above them. Return which of the others can
    only have the rest of a text."""
    rows, label = records.rows, params.label
    heading = join_parts([columns[name] for name in params.label_parts], None)
    _mark(reasons, _blank_rows(rows, heading), BLANK)
    repeated, moved = _repeated_headers(rows, columns, layout, label)
    _mark(reasons, repeated, REPEATED_HEADER)
    _mark(reasons, moved, MOVED_HEADER)
    rests = np.zeros(len(rows), bool)
    if params.wrapped:
        among = reasons == ""
        rests = find_rests(rows, columns, filled, layout, params.wrapped, reasons, among, params)
    shown = {**columns, label: heading}, {**filled, label: is_filled(heading)}
    _mark(reasons, find_totals(rows, *shown, params, has_labels) & ~rests, SUBTOTAL)
    if records.is_text:
        width, widths = layout.width, np.fromiter(map(len, rows), np.int64, len(rows))
        more = _where(lambda row: any(map(str.strip, row[width:])), rows, widths > width)
        _mark(reasons, more, "too many cells")
        if reading.short_rows == "reject":
            _mark(reasons, (widths < width) & ~rests, "too few cells")
    return rests


def _use_rows_above(
    records: Records,
    columns: dict[str, pa.Array],
    filled: dict[str, np.ndarray],
    rests: np.ndarray,
    layout: Layout,
    params: IngestParams,
    reasons: np.ndarray,
) -> tuple[dict[str, pa.Array], Counter, set[tuple[str, str]]]:
    """Join the rests of texts, fill cells from above, and mark the rows that are still incomplete.

    Returns
    -------
    columns : dict of str to pa.Array
        With the whole account as the label.
    filling : Counter of (str, str)
        As `Filled.counts`.
    parents : set of (str, str)
        The accounts and their parents.
    """
    lost = sorted(line for line, _ in records.broken)
    after_lost = np.diff(np.searchsorted(lost, records.lines), prepend=0) > 0
    texts = {}
    if params.wrapped:
        heads = find_heads(rests, reasons, after_lost)
        texts = {name: join_rests(columns[name], filled[name], heads) for name in params.wrapped}
        _mark(reasons, heads >= 0, JOINED)
        _mark(reasons, rests, LONE_TEXT)
    full, filling, gives = fill_columns(
        {**columns, **texts}, reasons, after_lost, layout.places, params
    )
    parts = [full[name] for name in params.label_parts]
    if len(parts) > 1:
        parts = clean_parts(parts)
        full[params.label] = _one_account(parts, reasons, params)
    lacking = {
        name: ~(filled[name] if full[name] is columns[name] else is_filled(full[name]))
        for name in params.required
    }
    for name in lacking:
        if params.columns[name].role == "date":
            lacking[name] |= is_zero_date(full[name]).to_numpy(zero_copy_only=False)
    gives &= np.any([*lacking.values()], axis=0)
    _mark(reasons, _headings(filled, gives, params), HEADING)
    for name, rows in lacking.items():
        _mark(reasons, rows, f"no {name}")
    if params.wrapped:  # the row that a text belongs to may be refused, too
        reasons[rests & (reasons[heads] != "")] = LONE_TEXT
    parents = set()
    if len(parts) > 1 and params.label_separator is None:
        good = pa.array(reasons == "")
        accounts = full[params.label].filter(good)
        parents = account_parents([part.filter(good) for part in parts], accounts)
    return full, filling + count_named(filled, reasons, params), parents


def _headings(filled: dict[str, np.ndarray], gives: np.ndarray, params: IngestParams) -> np.ndarray:
    """Return which rows only name what is the same in the rows below them: an account, or what
    another row takes. A text alone is none: it may belong to the row above.

    Parameters
    ----------
    filled : dict of str to np.ndarray of bool, shape (rows,)
        Which cells of each column were filled from the beginning.
    gives : np.ndarray of bool, shape (rows,)
        Incomplete rows from which another row takes a cell.
    """
    roles = {name: params.columns[name].role for name in params.fill_down}
    found = np.zeros(len(gives), bool)
    for name, role in roles.items():
        if role != "text":
            found |= filled[name] & (gives | (role in OF_LABELS))
    for name in filled:
        if roles.get(name) not in OF_LABELS:
            found &= ~filled[name] | (gives & (name in roles))
    return found


def _one_account(parts: list[pa.Array], reasons: np.ndarray, params: IngestParams) -> pa.Array:
    """Return the account of each row. Mark the rows where a part has the separator in it: what is
    joined could not be told apart."""
    account = join_parts(parts, params.label_separator)
    if params.label_separator is None:
        return account
    for name, part in zip(params.label_parts, parts, strict=True):
        has_separator = pc.match_substring(part, params.label_separator).to_numpy(False)
        _mark(reasons, has_separator, f"{SEPARATOR_IN} {name}")
    if params.label in params.patterns:
        account = whole_codes(account, params.patterns[params.label], params.label_separator)
    return account
