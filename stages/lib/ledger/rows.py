"""Tell the transactions among the rows of a sheet from all other rows."""

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.files import cell_text
from stages.lib.ledger.headers import Layout, header_key

# Rows that are no transactions: counted and kept, but no sign of bad data.
NOT_TRANSACTIONS = ("blank row", "subtotal", "repeated header", "above the header")
# What follows one of these would be read from the wrong columns.
MOVED_HEADER = "header of other columns"


class Rules(NamedTuple):
    """What makes a row a transaction.

    `roles` are those of the canonical columns, `patterns` regular expressions for whole cells.
    `fixed_width`: each row should have as many cells as the header; `reject_short`: one with fewer
    is refused. `undecodable`: some cells hold bytes that are no text.
    """

    roles: dict[str, str]
    label: str
    required: list[str]
    patterns: dict[str, str]
    fill_down: list[str]
    total_words: list[str]
    fixed_width: bool
    reject_short: bool
    undecodable: bool


def _total_patterns(words: list[str]) -> tuple[re.Pattern, re.Pattern]:
    """Return what finds a total's name at the beginning or end of a cell, and what finds a cell
    that holds nothing else but numbers."""
    word = "|".join(re.escape(" ".join(w.casefold().split())) for w in words) or "(?!)"
    return (
        re.compile(rf"^[\W_]*(?:{word})(?![^\W\d_])|(?<![^\W\d_])(?:{word})[\W_]*$"),
        re.compile(rf"[\W\d_]*(?:{word})[\W\d_]*"),
    )


def _folded(cell: object) -> str:
    return " ".join(unicodedata.normalize("NFKC", cell_text(cell)).casefold().split())


def amount_text(cell: object) -> str:
    """Return an amount cell as text. A typed fraction gets the exponent E0: its decimal sign is
    the point, also in a ledger whose texts write a comma."""
    text = cell_text(cell)
    return text + "E0" if isinstance(cell, float | Decimal) and "." in text else text


class _Texts(dict):
    """Texts of the floats of a column, each made once: `cell_text` takes most of the time."""

    def __init__(self, convert: Callable[[float], str]) -> None:
        self.convert = convert

    def __missing__(self, cell: float) -> str:
        text = self[cell] = self.convert(cell)
        return text


def read_columns(rows: list[list], layout: Layout, roles: dict[str, str]) -> dict[str, pa.Array]:
    """Return the canonical columns of `rows` as strings; what a row or the sheet lacks is empty."""
    width = max(layout.places.values(), default=-1) + 1
    nothing = [""] * width
    rows = [row if len(row) >= width else [*row, *nothing][:width] for row in rows]
    by_place = list(zip(*rows, strict=False)) or [()] * width
    arrays = {}
    for name, role in roles.items():
        cells = by_place[layout.places[name]] if name in layout.places else [""] * len(rows)
        convert = amount_text if role == "amount" else cell_text
        floats = _Texts(convert)
        texts = [
            cell
            if (kind := type(cell)) is str
            else floats[cell]
            if kind is float
            else convert(cell)
            for cell in cells
        ]
        # As programs write codes that Excel must not take for numbers: ="0101".
        column = pa.array(texts, pa.string())
        if pc.any(pc.match_substring(column, "\0")).as_py():
            column = pc.replace_substring(column, "\0", "")
        if pc.any(pc.starts_with(column, '="')).as_py():
            column = pc.replace_substring_regex(column, r'^="([^"]*)"$', r"\1")
        arrays[name] = column
    return arrays


def whole_codes(column: pa.Array, pattern: str) -> pa.Array:
    """Return the codes of `column` with '2401.0' as '2401' where only that fits `pattern`: so
    programs write a column of whole numbers that has gaps."""
    cut = pc.ends_with(column, ".0")
    if not pc.any(cut).as_py():
        return column
    whole = pc.replace_substring_regex(column, r"\.0$", "")
    fits, before = (pc.match_substring_regex(c, rf"^(?:{pattern})$") for c in (whole, column))
    return pc.if_else(pc.and_(cut, pc.and_not(fits, before)), whole, column)


def encodable(text: str) -> bool:
    """Return whether `text` is free of the surrogates that stand for undecodable bytes."""
    try:
        text.encode("utf-8")
        return True
    except UnicodeEncodeError:
        return False


def is_filled(column: pa.Array) -> np.ndarray:
    """Return which cells hold more than white space."""
    return pc.not_equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)


def _fill_down(cells: list[str], reasons: np.ndarray, after_lost: np.ndarray) -> list[str]:
    """Return `cells` with those of transactions that are empty filled from above.

    A row that was refused, or a line that could not be read, may have begun another section: what
    stands above it no longer holds.
    """
    above, filled = "", []
    for cell, reason, lost in zip(cells, reasons, after_lost, strict=True):
        above = (
            "" if lost or (reason and reason not in NOT_TRANSACTIONS and cell.strip()) else above
        )
        if not reason and cell.strip():
            above = cell
        filled.append(cell if reason else above)
    return filled


def shown(row: list) -> list[str]:
    """Return the cells of a row as text that can be written, undecodable bytes as ``\\udcff``."""
    cells = [cell_text(cell) for cell in row]
    if encodable("".join(cells)):
        return cells
    return [cell.encode("utf-8", "backslashreplace").decode("utf-8") for cell in cells]


def find_totals(
    rows: list[list], columns: dict[str, pa.Array], filled: dict[str, np.ndarray], rules: Rules
) -> np.ndarray:
    """Return which rows only sum up others: no label, and nothing but amounts or a total's name.

    Of the columns of the roles id, text and group, none may say anything else; a date is allowed
    if the cell with the name holds no other word. So a transaction with "Total Wine" that lacks
    its account is none. With a label, a row is a transaction even where the vendor is called Total.
    Where labels are filled from above, a missing one says little: then categories and dates speak.
    """
    label, (total, bare) = rules.label, _total_patterns(rules.total_words)
    filled_down = label in rules.fill_down
    roles = {"id", "date", "text", "group", *(["category"] if filled_down else [])}
    speaking = [n for n, role in rules.roles.items() if role in roles]
    speaking = speaking or [n for n, role in rules.roles.items() if role == "category"]
    mute = ~np.any([filled[name] for name in speaking], axis=0) if speaking else ~filled[label]
    amounts = [filled[name] for name, role in rules.roles.items() if role == "amount"]
    summed = np.any(amounts, axis=0) if amounts else np.ones(len(rows), bool)
    found = ~filled[label] & mute & summed
    for i in np.flatnonzero(~filled[label] & ~found):
        cells = [_folded(cell) for cell in rows[i]]
        if named := [cell for cell in cells if total.search(cell)]:
            spoken = {n: _folded(columns[n][i].as_py()) for n in speaking if filled[n][i]}
            others = [name for name, cell in spoken.items() if not total.search(cell)]
            dated = [name for name in others if rules.roles[name] == "date"]
            alone = others == dated
            found[i] = alone and (
                not dated or (not filled_down and any(map(bare.fullmatch, named)))
            )
    cells = pc.utf8_trim_whitespace(columns[label])
    if label in rules.patterns:
        odd = pc.invert(pc.match_substring_regex(cells, rf"^(?:{rules.patterns[label]})$"))
    else:
        odd = pc.is_in(pc.utf8_lower(cells), pa.array(rules.total_words, pa.string()))
    for i in np.flatnonzero(odd.to_numpy(zero_copy_only=False) & filled[label]):
        found[i] = total.search(_folded(cells[i].as_py())) is not None
    return found


def _says_something(cell: object) -> bool:
    return any(map(str.isalnum, cell_text(cell)))


def _is_header(row: list, layout: Layout) -> bool:
    places = [p for p in layout.places.values() if p < min(len(row), len(layout.header))]
    return all(header_key(cell_text(row[p])) == header_key(layout.header[p]) for p in places)


def _is_moved_header(row: list, layout: Layout) -> bool:
    places = [p for p in layout.places.values() if p < len(layout.header)]
    names = {header_key(layout.header[p]) for p in places} - {""}
    return len(names) > 1 and names <= {header_key(cell_text(cell)) for cell in row}


def find_reasons(
    rows: list[list], lines: list[int], layout: Layout, rules: Rules, lost: list[int]
) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Return the canonical columns of `rows` and why each row is no transaction ("" if it is).

    Parameters
    ----------
    rows, lines : list
        Rows of cells, and the number of each in its sheet (1-based).
    lost : list of int
        Numbers of the lines between them that could not be read as rows.

    Returns
    -------
    columns : dict of str to pa.Array
        One string array a canonical column.
    reasons : np.ndarray of str, shape (rows,)
        The first reason that holds, in the order of this function.
    """
    count = len(rows)
    reasons = np.full(count, "", object)

    def mark(chosen: np.ndarray, reason: str) -> None:
        reasons[chosen & (reasons == "")] = reason

    def where(test, among: np.ndarray) -> np.ndarray:
        found = np.zeros(count, bool)
        for i in np.flatnonzero(among):
            found[i] = test(rows[i])
        return found

    mark(np.array(lines, np.int64) < layout.header_row, "above the header")
    if rules.undecodable:
        bad = where(lambda row: not encodable("".join(row)), np.ones(count, bool))
        mark(bad, "undecodable bytes")
        rows = list(map(shown, rows))
    columns = read_columns(rows, layout, rules.roles)
    if rules.label in rules.patterns:
        columns[rules.label] = whole_codes(columns[rules.label], rules.patterns[rules.label])
    filled = {name: is_filled(column) for name, column in columns.items()}
    mark(
        # A line drawn with dashes is as blank as an empty one.
        where(
            lambda row: not any(map(_says_something, row)),
            ~pc.match_substring_regex(columns[rules.label], r"[^\s\pP\pS]").to_numpy(False),
        ),
        "blank row",
    )
    if layout.header_row:
        one = rules.label if rules.label in layout.places else next(iter(layout.places))
        cells = pa.array([cell for cell in layout.header if cell.strip()], pa.string())
        spelt = pc.is_in(pc.utf8_lower(columns[one]), pc.utf8_lower(cells)).to_numpy(False)
        mark(where(lambda row: _is_header(row, layout), spelt), "repeated header")
        mark(where(lambda row: _is_moved_header(row, layout), spelt), MOVED_HEADER)
    mark(find_totals(rows, columns, filled, rules), "subtotal")
    if rules.fixed_width:
        width = layout.width
        widths = np.fromiter(map(len, rows), np.int64, count)
        mark(where(lambda row: any(map(str.strip, row[width:])), widths > width), "too many cells")
        if rules.reject_short:
            mark(widths < width, "too few cells")
    after_lost = np.diff(np.searchsorted(sorted(lost), lines), prepend=0) > 0
    for name in rules.fill_down:
        cells = _fill_down(columns[name].to_pylist(), reasons, after_lost)
        columns[name] = pa.array(cells, pa.string())
        filled[name] = is_filled(columns[name])
    for name in rules.required:
        mark(~filled[name], f"no {name}")
    return columns, reasons
