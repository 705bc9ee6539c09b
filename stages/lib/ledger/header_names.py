"""Compare the cells of a header with the names that columns may have."""

import re
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

from stages.lib.ledger.cells import cell_text
from stages.lib.normalize import clean_text

_NUMBERED = re.compile(r" \(\d+ of \d+\)$")
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


def similarity(key: str, names: list[str]) -> float:
    """Return how much the header cell `key` is like the most similar of `names`, 0 to 1."""
    return max((SequenceMatcher(a=key, b=header_key(n)).ratio() for n in names), default=0.0)


def has_all_names(text: str, names: dict[str, list[str]], needed: Iterable[str]) -> bool:
    """Return whether `text` has a name of each of the `needed` columns somewhere in it."""
    key = header_key(text)
    spellings = ([header_key(_NUMBERED.sub("", name)) for name in names[n]] for n in needed)
    return all(any(name and name in key for name in keys) for keys in spellings)
