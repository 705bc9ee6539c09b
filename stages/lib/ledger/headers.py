"""Find the header of a sheet, and which of its columns is which."""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.files import cell_text
from stages.lib.ledger.normalize import clean_text

HEADER_SEARCH_ROWS = 50


class Layout(NamedTuple):
    """Where the columns stand in one sheet (header_row 0: it has none)."""

    header_row: int
    header: list[str]
    places: dict[str, int]
    width: int


# Turkish has an i with a dot and one without, each with a capital of its own.
_ONE_I = str.maketrans({"ı": "i", "\u0307": None})


@lru_cache(maxsize=10_000)
def header_key(text: str) -> str:
    """Return what all spellings of a header cell share: no case, no spaces, no full width, no
    invisible characters."""
    return "".join(clean_text(text, "fold").split()).translate(_ONE_I)


def name_cells(header: list) -> list[str]:
    """Return the name by which each cell of a header row can be asked for: its text; where n cells
    read alike, ``text (2 of n)`` for the second."""
    texts = [" ".join(cell_text(cell).split()) for cell in header]
    total, seen, names = Counter(map(header_key, texts)), Counter(), []
    for text in texts:
        key = header_key(text)
        seen[key] += 1
        alone = total[key] == 1 or not key
        names.append(text if alone else f"{text} ({seen[key]} of {total[key]})")
    return names


def match_header(header: list, names: dict[str, list[str]]) -> dict[str, int]:
    """Return ``{canonical column: position}`` for the cells of a header row.

    Where n cells share a name, ``name (2 of n)`` means the second; the bare name then means none.
    """
    place = {header_key(name): position for position, name in enumerate(name_cells(header))}
    found = {
        name: next((place[key] for key in map(header_key, spellings) if key in place), None)
        for name, spellings in names.items()
    }
    return {name: position for name, position in found.items() if position is not None}


def find_layout(
    where: str,
    rows: list[list],
    names: dict[str, list[str]],
    required: list[str],
    header_row: Literal["auto"] | int,
    positions: dict[str, int],
    mask: Callable[[str], str],
) -> Layout:
    """Return the layout of a sheet from its first rows.

    The header is the first of the rows that name the most canonical columns; it must name every
    required one, and no cell for two columns. Where no row names any, and `positions` give the
    required ones, there is no header.

    Parameters
    ----------
    where : str
        The file and sheet, for messages.
    rows : list of list
        Cells of the first rows.
    names : dict of str to list of str
        The spellings that announce each canonical column.
    required : list of str
        Canonical columns that must be found.
    header_row : "auto" or int
        The header's row (1-based); 0 for none.
    positions : dict of str to int
        Columns given by place (1-based) instead of by name.
    mask : callable
        Takes personal data out of the cells of a row that messages show: it may be no header.

    Raises
    ------
    UserError
        There is no such row; the message says what is missing and what was found.
    """
    candidates = range(min(len(rows), HEADER_SEARCH_ROWS))
    if header_row == 0:
        best, places = -1, {}
    else:
        if header_row != "auto":
            if header_row > len(rows):
                raise UserError(
                    f"{where}: ingest.reading has header_row {header_row}, but row {len(rows)} is "
                    "the last one (or the last of the first part of the file)"
                )
            candidates = [header_row - 1]
        matches = {i: match_header(rows[i], names) for i in candidates}
        best = max(matches, key=lambda i: (len(matches[i]), -i), default=-1)
        places = matches.get(best, {})
        given = set(positions)
        if header_row == "auto" and not places and given.issuperset(required):
            best = -1
        complete = [
            i for i in candidates if i < best and given.union(matches[i]).issuperset(required)
        ]
        if complete and any(matches[i] for i in complete):
            raise UserError(
                f"{where}: rows {complete[0] + 1} and {best + 1} both name all required columns, "
                "as if there were two tables; give header_row for this file in ingest.reading "
                f"({complete[0] + 1} keeps all rows below it)"
            )
    places |= {name: position - 1 for name, position in positions.items()}
    # Undecodable bytes of a cell that no column takes are no reason to stop.
    header = [
        cell_text(cell).encode("utf-8", "backslashreplace").decode()
        for cell in (rows[best] if best >= 0 else [])
    ]
    lacking = [name for name in required if name not in places]
    if lacking:
        cells = " | ".join(name for name in name_cells(header) if name)
        cells = mask(cells[:3000])[:300]
        spelt = ", ".join(f"{n} ({' / '.join(names[n][:2])})" for n in lacking)
        raise UserError(
            f"{where}: no header found for {spelt}; the likeliest header row is {best + 1}: "
            f"{cells!r}. Add its spelling to ingest.columns.*.names, or give header_row and "
            "positions (or other sheets) for this file in ingest.reading; header_row: 0 says that "
            "it has none"
        )
    twice = [p for p, n in Counter(places.values()).items() if n > 1]
    if twice:
        both = " and ".join(n for n, p in places.items() if p == twice[0])
        raise UserError(f"{where}: column {twice[0] + 1} is taken for both {both}; correct names")
    width = len(header) if header else max(map(len, rows), default=0)
    beyond = [name for name, place in places.items() if place >= width]
    if beyond:
        raise UserError(
            f"{where}: ingest.reading puts {beyond[0]} into column {places[beyond[0]] + 1}, but "
            f"there are only {width}"
        )
    places = {name: places[name] for name in names if name in places}
    return Layout(best + 1, header, places, len(header))
