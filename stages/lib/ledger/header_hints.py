"""Say why no header was found in a sheet, and which parameter cures it."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.errors import UserError
from stages.lib.ledger.cells import writable_cells
from stages.lib.ledger.content import expected_pattern, fitting
from stages.lib.ledger.header_names import (
    has_all_names,
    header_key,
    match_header,
    name_cells,
    similarity,
)
from stages.lib.ledger.privacy import mask_personal
from stages.lib.params.ingest import IngestParams, Reading

# Between cells that are in one cell together.
_SEPARATORS = (",", ";", "\t", "|")
_SIMILAR = 0.6
_MOST = 0.8
_CHECKED_ROWS = 50
_SHOWN_CHARS = 300

Places = dict[str, int]


def show_row(row: Iterable[str], params: IngestParams) -> str:
    """Return the filled cells of a row on one line, with personal data masked."""
    cells = " | ".join(" ".join(cell.split()) for cell in row if cell.strip())
    return mask_personal(cells[: 10 * _SHOWN_CHARS], params.mask)[0][:_SHOWN_CHARS]


def header_not_found(
    where: str,
    rows: list[list],
    best: int,
    lacking: list[str],
    reading: Reading,
    params: IngestParams,
) -> UserError:
    """Return the error that says which columns have no header, with the likeliest cause.

    Parameters
    ----------
    where : str
        The file and sheet.
    rows : list of list
        Its first rows.
    best : int
        The likeliest header row (0-based); -1 if there is none.
    lacking : list of str
        The required columns that are not in it.
    """
    rows = [writable_cells(row) for row in rows]
    spelt = ", ".join(f"{n} ({' / '.join(params.columns[n].names[:2])})" for n in lacking)
    # The row may be no header, so its cells are masked.
    shown = show_row(name_cells(rows[best]) if best >= 0 else [], params)
    problem = f"no header found for {spelt}; the likeliest header row is {best + 1}: {shown!r}"
    names = {name: column.names for name, column in params.columns.items()}
    needed = set(params.required) - set(reading.positions)
    action = (
        in_one_cell(rows, names, needed)
        or _in_another_row(rows, names, needed, reading)
        or _in_two_rows(rows, names, needed)
        or _without_delimiter(rows, names, needed)
        or _under_other_names(rows, best, lacking, names, params)
    )
    return UserError("header-not-found", where, problem, action)


def complete_row(rows: list[list], names: dict[str, list[str]], needed: set[str]) -> int | None:
    """Return the first row (1-based) that names all the `needed` columns."""
    if not needed:
        return None
    found = (at for at, row in enumerate(rows, 1) if needed <= match_header(row, names).keys())
    return next(found, None)


def _in_another_row(
    rows: list[list], names: dict[str, list[str]], needed: set[str], reading: Reading
) -> str:
    row = complete_row(rows, names, needed)
    if row is None:
        return ""
    given = "" if reading.header_row == "auto" else f", not {reading.header_row}"
    return f"row {row} names them all: set header_row: {row}{given} for this file in ingest.reading"


def in_one_cell(rows: list[list], names: dict[str, list[str]], needed: set[str]) -> str:
    """Return what to do about a header whose names are all in one cell; "" if there is none."""
    for number, row in enumerate(rows, 1):
        filled = [cell for cell in row if cell.strip()]
        for separator in _SEPARATORS:
            if len(filled) == 1 and separator in filled[0]:
                cells = [cell.strip(" \"'") for cell in filled[0].split(separator)]
                if needed <= match_header(cells, names).keys():
                    return (
                        f"row {number} has all its columns in one cell, with {separator!r} between "
                        "them: split the cells (Data > Text to Columns), or take away the quotes "
                        "around whole lines"
                    )
    return ""


def _without_delimiter(rows: list[list], names: dict[str, list[str]], needed: set[str]) -> str:
    for number, row in enumerate(rows, 1):
        filled = [cell for cell in row if cell.strip()]
        if len(filled) == 1 and has_all_names(filled[0], names, needed):
            return (
                f"row {number} has their names in one cell, and no delimiter between them is "
                "known: set delimiter for this file in ingest.reading, or export it with commas"
            )
    return ""


def _in_two_rows(rows: list[list], names: dict[str, list[str]], needed: set[str]) -> str:
    for at in range(len(rows) - 1):
        for places in _places_of_two(rows[at], rows[at + 1], names):
            if needed <= places.keys():
                numbers = ", ".join(
                    f"{name}: {places[name] + 1}" for name in names if name in places
                )
                return (
                    f"rows {at + 1} and {at + 2} name them together: set header_row: {at + 2} and "
                    f"positions: {{{numbers}}} for this file in ingest.reading"
                )
    return ""


def _places_of_two(upper: list[str], lower: list[str], names: dict[str, list[str]]) -> list[Places]:
    """Return where the columns are if a header is spread over two rows: some names in each row, or
    each name in two cells, of which the upper one may be over several columns."""
    width = max(len(upper), len(lower))
    upper, lower = (row + [""] * (width - len(row)) for row in (upper, lower))
    above, spread = "", []
    for cell in upper:
        above = cell if cell.strip() else above
        spread.append(above)
    single = match_header(upper, names), match_header(lower, names)
    found = [single[0] | single[1]] if all(single) else []
    for row in (upper, spread):
        joined = [f"{a} {b}" for a, b in zip(row, lower, strict=True)]
        found.append(match_header(lower, names) | match_header(joined, names))
    return [places for places in found if len(set(places.values())) == len(places)]


def _under_other_names(
    rows: list[list],
    best: int,
    lacking: list[str],
    names: dict[str, list[str]],
    params: IngestParams,
) -> str:
    found = match_header(rows[best], names) if best >= 0 else {}
    likely = _likeliest_cells(rows, best, lacking, found, params) if best >= 0 else {}
    if likely:
        shown = {name: mask_personal(cell, params.mask)[0] for name, cell in likely.items()}
        parts = [f"{cell!r} to ingest.columns.{name}.names" for name, cell in shown.items()]
        return (
            f"add {', '.join(parts)} if that is what they are; else give header_row or positions "
            "for this file in ingest.reading"
        )
    if found:
        return (
            "add its spelling to ingest.columns.*.names, or give header_row and positions for this "
            "file in ingest.reading"
        )
    return (
        "it names no column at all. If the file is no ledger, leave it out of ingest.files, or its "
        "sheet out of sheets in ingest.reading; if it has no header, set header_row: 0 and "
        "positions there; if it has, add its names to ingest.columns.*.names"
    )


def _likeliest_cells(
    rows: list[list], best: int, lacking: list[str], found: Places, params: IngestParams
) -> dict[str, str]:
    """Return the header cell that each lacking column may be under: one that is spelt almost like
    it, or the first one that has cells like it below."""
    cells = {p: c for p, c in enumerate(name_cells(rows[best])) if c and p not in found.values()}
    below, likely = rows[best + 1 : best + 1 + _CHECKED_ROWS], {}
    if not found and not below:
        return {}
    for name in lacking:
        free = {p: cell for p, cell in cells.items() if cell not in likely.values()}
        likeness = {
            p: similarity(header_key(c), params.columns[name].names) for p, c in free.items()
        }
        if likeness and max(likeness.values()) >= _SIMILAR:
            likely[name] = free[max(likeness, key=likeness.get)]
        elif found:
            fits = (c for p, c in free.items() if _looks_like(name, below, p, params))
            if cell := next(fits, None):
                likely[name] = cell
    return likely


def _looks_like(name: str, rows: list[list], place: int, params: IngestParams) -> bool:
    pattern = expected_pattern(name, params)
    cells = [row[place].strip() for row in rows if len(row) > place and row[place].strip()]
    if not pattern or not cells:
        return False
    return pc.mean(fitting(pa.array(cells, pa.string()), pattern)).as_py() >= _MOST
