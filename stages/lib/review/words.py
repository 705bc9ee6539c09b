"""The words of the review sheet in the user's language: one file of words a language."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from stages.lib.params.files import read_yaml

LANGUAGES = ("en", "ko")
_FOLDER = Path(__file__).parent / "words"


@cache
def load_words(language: str) -> Mapping:
    """Return the words of one of `LANGUAGES`, by section and key."""
    return read_yaml(_FOLDER / f"{language}.yaml")


def encode_reason(code: str, **arguments: str | int | float) -> str:
    """Return a reason as one text of the column `reason` of a batch: its code and arguments."""
    return f"{code} {json.dumps(arguments, ensure_ascii=False)}" if arguments else code


def decode_reason(reason: str) -> tuple[str, dict]:
    """Return code and arguments of a text that `encode_reason` made, or another text as it is."""
    code, brace, rest = reason.partition(" {")
    if brace:
        try:
            return code, json.loads(brace.strip() + rest)
        except ValueError:
            pass
    return reason, {}


def _number(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int | float) else value


def say_reason(words: Mapping, code: str, arguments: Mapping) -> str:
    """Return a reason in words.

    Parameters
    ----------
    words : mapping
        As `load_words` returns them.
    code : str
        One of ``words["reasons"]``, or the text of a row that could not be read. A text that has no
        word is returned as it is.
    arguments : mapping
        The values for the braces in the reason's text.
    """
    if code in words["reasons"]:
        return words["reasons"][code].format(**{k: _number(v) for k, v in arguments.items()})
    reason, _, column = code.partition(" in ")
    if said := words["rejects"].get(reason):
        return words["in_column"].format(reason=said, column=column) if column else said
    if code.startswith("no "):
        return words["not_filled"].format(column=code.removeprefix("no "))
    return code


def say_reasons(words: Mapping, reasons: Iterable[str]) -> str:
    """Return the reasons of a row, each as `encode_reason` made it, in words."""
    return "; ".join(say_reason(words, *decode_reason(reason)) for reason in reasons)
