"""Find delimiters that few programs write, and columns of fixed width, from the first lines."""

import re
from collections.abc import Iterable
from itertools import pairwise

from stages.lib.ledger.header_names import has_all_names, match_header

LONGEST_DELIMITER = 4
_SIGNS = re.compile(r"[^\w\s\"']+|[\x1c-\x1f]+")
_GAP = re.compile(r"\s{2,}")
# Without a header, a delimiter splits this many lines into equally many cells.
_FEW_LINES = 2


def _parts(line: str) -> set[str]:
    """Return the sequences of signs in `line` that may be a delimiter."""
    return {
        run[start:end]
        for run in _SIGNS.findall(line)
        for start in range(len(run))
        for end in range(start + 1, min(len(run), start + LONGEST_DELIMITER) + 1)
    }


def header_delimiters(
    lines: Iterable[str], names: dict[str, list[str]], required: set[str]
) -> list[str]:
    """Return the delimiters that split one of `lines` into a header with all `required` columns,
    the longest first.

    Parameters
    ----------
    names : dict of str to list of str
        The spellings of each column.
    """
    found = set()
    for line in (line for line in lines if has_all_names(line, names, required)):
        for delimiter in _parts(line) - found:
            cells = [cell.strip(" \"'") for cell in line.split(delimiter)]
            if required <= match_header(cells, names).keys():
                found.add(delimiter)
    return sorted(found, key=lambda delimiter: (-len(delimiter), delimiter))


def even_delimiters(lines: list[str], width: int) -> list[str]:
    """Return the delimiters that split each of `lines` into the same number of cells, at least
    `width`: the delimiters that a file without header may have, the longest first."""
    if len(lines) < _FEW_LINES:
        return []
    found = [
        delimiter
        for delimiter in _parts(lines[0])
        if lines[0].count(delimiter) >= max(1, width - 1)
        and len({line.count(delimiter) for line in lines}) == 1
    ]
    return sorted(found, key=lambda delimiter: (-len(delimiter), delimiter))


def _gutters(lines: list[str]) -> list[int]:
    """Return the places where all lines have a space, and no line begins or ends."""
    shortest = min(map(len, lines))
    blank = [all(line[at] == " " for line in lines) for at in range(shortest)]
    return [at for at in range(1, shortest) if blank[at] and not blank[at - 1]]


def fixed_width_header(
    lines: list[str], names: dict[str, list[str]], required: set[str]
) -> str | None:
    """Return the line that is the header of columns of fixed width, if there is one: cut where it
    has two spaces, or where all lines below it have one, it has all `required` columns."""
    for at, line in enumerate(lines):
        below = [line, *(other for other in lines[at + 1 :] if other.strip())]
        edges = [0, *(_gutters(below) if len(below) > _FEW_LINES else []), len(line)]
        cut = [line[a:b] for a, b in pairwise(edges)]
        if any(required <= match_header(cells, names).keys() for cells in (cut, _GAP.split(line))):
            return line
    return None
