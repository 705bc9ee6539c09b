"""Find the header of a sheet, and which of the ledger's columns is where."""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.privacy import mask_personal
from stages.lib.normalize import clean_text
from stages.lib.params.ingest import IngestParams, Reading

HEADER_SEARCH_ROWS = 50


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

# Turkish has an i with a dot and one without, each with a capital of its own.
_ONE_I = str.maketrans({"ı": "i", "\u0307": None})


@lru_cache(maxsize=10_000)
def header_key(text: str) -> str:
    """Return what all spellings of a header cell share: no case, spaces, full width, or invisible
    characters."""
    return "".join(clean_text(text, "fold").split()).translate(_ONE_I)


def name_cells(header: list) -> list[str]:
    """Return the name of each cell of a header row: its text; where n cells read alike,
    ``text (2 of n)`` for the second."""
    texts = [" ".join(cell_text(cell).split()) for cell in header]
    total, seen, names = Counter(map(header_key, texts)), Counter(), []
    for text in texts:
        key = header_key(text)
        seen[key] += 1
        alone = total[key] == 1 or not key
        names.append(text if alone else f"{text} ({seen[key]} of {total[key]})")
    return names


def match_header(header: list, names: dict[str, list[str]]) -> dict[str, int]:
    """Return ``{column: place}`` for the cells of a header row.

    Parameters
    ----------
    header : list
    names : dict of str to list of str
        The spellings of each column. Where n cells share a name, ``name (2 of n)`` is the second,
        and the name alone fits none.
    """
    place = {header_key(name): position for position, name in enumerate(name_cells(header))}
    found = {
        name: next((place[key] for key in map(header_key, spellings) if key in place), None)
        for name, spellings in names.items()
    }
    return {name: position for name, position in found.items() if position is not None}


def find_layout(where: str, rows: list[list], reading: Reading, params: IngestParams) -> Layout:
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
    _check_required(where, best, header, places, params)
    width = len(header) if header else max(map(len, rows), default=0)
    _check_places(where, places, width)
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
            raise UserError(
                "header-row",
                where,
                f"ingest.reading has header_row {reading.header_row}, but row {len(rows)} is the "
                "last one (or the last of the first part of the file)",
                "correct header_row",
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


def _check_required(
    where: str, best: int, header: list[str], places: dict[str, int], params: IngestParams
) -> None:
    lacking = [name for name in params.required if name not in places]
    if not lacking:
        return
    cells = " | ".join(name for name in name_cells(header) if name)
    # The row may be no header, so its cells are masked.
    cells = mask_personal(cells[:3000], params.mask)[0][:300]
    spelt = ", ".join(f"{n} ({' / '.join(params.columns[n].names[:2])})" for n in lacking)
    raise UserError(
        "header-not-found",
        where,
        f"no header found for {spelt}; the likeliest header row is {best + 1}: {cells!r}",
        "add its spelling to ingest.columns.*.names, or give header_row and positions (or other "
        "sheets) for this file in ingest.reading; header_row: 0 says that it has none",
    )


def _check_places(where: str, places: dict[str, int], width: int) -> None:
    twice = [p for p, n in Counter(places.values()).items() if n > 1]
    if twice:
        both = " and ".join(n for n, p in places.items() if p == twice[0])
        raise UserError(
            "column-twice",
            where,
            f"column {twice[0] + 1} is taken for both {both}",
            "correct names in ingest.columns, or positions in ingest.reading",
        )
    beyond = [name for name, place in places.items() if place >= width]
    if beyond:
        raise UserError(
            "position",
            where,
            f"ingest.reading puts {beyond[0]} into column {places[beyond[0]] + 1}, but there are "
            f"only {width}",
            "correct positions",
        )
