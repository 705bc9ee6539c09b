"""Find the header of a sheet, and which of the ledger's columns is where."""

from collections import Counter
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.header_hints import complete_row, header_not_found
from stages.lib.ledger.header_names import match_header
from stages.lib.params.ingest import IngestParams, Reading

HEADER_SEARCH_ROWS = 50
# If there is no header among these rows, it is looked for in so many, to say where it is.
HINT_ROWS = 500


class Layout(NamedTuple):
    """Where the columns of a sheet are.

    Attributes
    ----------
    header_row : int
        The row of the header (1-based); 0 if there is none.
    header : list of str
        Its cells.
    places : dict of str to int
        The place (0-based) of each column that was found.
    width : int
        Cells of a row; 0 if not known.
    """

    header_row: int
    header: list[str]
    places: dict[str, int]
    width: int


NO_LAYOUT = Layout(0, [], {}, 0)


def find_layout(
    where: str, rows: list[list], reading: Reading, params: IngestParams, explain: bool = True
) -> Layout:
    """Return the layout of a sheet from its first rows.

    The header is the first of the rows that name the most columns. It must name every required
    column, and no cell for two columns. Where no row names any column and ``reading.positions``
    has all required ones, there is no header.

    Parameters
    ----------
    where : str
        The file and sheet, for messages.
    rows : list of list
        Cells of the first rows.
    explain : bool
        Look for the cause if there is no header, which takes time.

    Raises
    ------
    UserError
        ``header-not-found``: a required column is missing. ``header-row``: there is no such row.
        ``two-tables``: two rows may be the header. ``column-twice``: one cell for two columns.
        ``position``: a position is beyond the last column.
    """
    best, places = _find_header(where, rows, reading, params)
    places |= {name: position - 1 for name, position in reading.positions.items()}
    # A cell that no column takes may contain bytes that are not text.
    header = [
        cell_text(cell).encode("utf-8", "backslashreplace").decode()
        for cell in (rows[best] if best >= 0 else [])
    ]
    if lacking := [name for name in params.required if name not in places]:
        if not explain:
            raise UserError("header-not-found", where, ", ".join(lacking))
        raise header_not_found(where, rows[:HINT_ROWS], best, lacking, reading, params)
    _check_places(where, places, header, max(map(len, rows), default=0))
    places = {name: places[name] for name in params.columns if name in places}
    return Layout(best + 1, header, places, len(header))


def _find_header(
    where: str, rows: list[list], reading: Reading, params: IngestParams
) -> tuple[int, dict[str, int]]:
    """Return the row of the header (0-based, -1 for none) and the places of the columns there."""
    if reading.header_row == 0:
        return -1, {}
    names = {name: column.names for name, column in params.columns.items()}
    if reading.header_row != "auto":
        if reading.header_row > len(rows):
            row = complete_row(rows, names, set(params.required) - set(reading.positions))
            raise UserError(
                "header-row",
                where,
                f"ingest.reading has header_row {reading.header_row}, but row {len(rows)} is the "
                "last one (or the last of the first part of the file)",
                f"set header_row: {row}, which names all required columns"
                if row
                else "set header_row: auto, or the number of the row with the names",
            )
        return reading.header_row - 1, match_header(rows[reading.header_row - 1], names)
    matches = [match_header(row, names) for row in rows[:HEADER_SEARCH_ROWS]]
    best = max(range(len(matches)), key=lambda i: (len(matches[i]), -i), default=-1)
    places = matches[best] if matches else {}
    given = set(reading.positions)
    if not places and given.issuperset(params.required):
        best = -1
    complete = [i for i in range(best) if given.union(matches[i]).issuperset(params.required)]
    if complete and any(matches[i] for i in complete):
        raise UserError(
            "two-tables",
            where,
            f"rows {complete[0] + 1} and {best + 1} both name all required columns, as if there "
            "were two tables",
            "give header_row for this file in ingest.reading "
            f"({complete[0] + 1} keeps all rows below it)",
        )
    return best, places


def _check_places(where: str, places: dict[str, int], header: list[str], width: int) -> None:
    twice = [p for p, n in Counter(places.values()).items() if n > 1]
    if twice:
        both = " and ".join(n for n, p in places.items() if p == twice[0])
        raise UserError(
            "column-twice",
            where,
            f"column {twice[0] + 1} is taken for both {both}"
            + (f", because its header is {header[twice[0]]!r}" if twice[0] < len(header) else ""),
            "let only one of them have this name in ingest.columns.*.names, and this number in "
            "positions of ingest.reading",
        )
    beyond = [name for name, place in places.items() if place >= width]
    if beyond:
        raise UserError(
            "position",
            where,
            f"ingest.reading puts {beyond[0]} into column {places[beyond[0]] + 1}, but there are "
            f"only {width}",
            "name the delimiter in ingest.reading: none was found in its rows"
            if width == 1
            else "correct positions",
        )
