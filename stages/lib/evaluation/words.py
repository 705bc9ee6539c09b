"""The words of the report in the user's language: one file of words a language."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from stages.lib.params.files import read_yaml

LANGUAGES = ("en", "ko")
_FOLDER = Path(__file__).parent / "words"


@cache
def load_words(language: str) -> Mapping:
    """Return the words of one of `LANGUAGES`, by section and key."""
    return read_yaml(_FOLDER / f"{language}.yaml")


def say_slice(
    words: Mapping, edges: list[float], sizes: tuple[int, int], name: str, value: str
) -> str:
    """Return the value of a slice in words.

    Parameters
    ----------
    words : mapping
        As `load_words` returns them.
    edges : list of float
        ``feature.amount_edges``.
    sizes : (int, int)
        Training rows from which an account is middle-sized, and frequent.
    name, value : str
        As `findings.slice_values` gives them.
    """
    said = words["slices"]
    if name == "month":
        return value or said["no_date"]
    if name == "amount":
        return say_band(said, value, edges)
    middle, frequent = sizes
    return said["values"][name][value].format(
        middle=middle, below=f"{frequent - 1:,}", frequent=f"{frequent:,}"
    )


def say_band(said: Mapping, bucket: str, edges: list[float]) -> str:
    """Return a word of the column amount_bucket as a band: "<50" is "20–50" after an edge at 20."""
    written = [f"{edge:.15g}" for edge in edges]
    shown = [f"{edge:,.15g}" for edge in edges]
    if bucket == "":
        return said["no_amount"]
    if bucket == f">={written[-1]}":
        return said["above"].format(low=shown[-1])
    place = written.index(bucket.removeprefix("<"))
    if not place:
        return said["below"].format(high=shown[0])
    return said["band"].format(low=shown[place - 1], high=shown[place])
