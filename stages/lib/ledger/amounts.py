"""Read the number that an amount cell shows."""

import re
import unicodedata
from functools import cache, partial
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.values import map_values
from stages.lib.normalize import SIGNS, clean_text

# What most cells look like. Arrow reads them without a call for each.
_PLAIN = {"point": r"^-?\d+(\.\d+)?(E0)?$", "comma": r"^-?\d+(\.\d+E0)?$"}

_FOOTNOTE = re.compile("[²³¹⁰-₟①-⓿]")
_MINUS = "-△▲▵▴▽▼▿▾"
# Groups of three digits, or of two as in India, with one sign between them. None begins with 0.
_GROUPED = {
    "point": re.compile(
        r"(?:[1-9]\d{0,2}(?P<s>[,' ])(?:(?:\d{3}(?P=s))*|(?:\d\d(?P=s))*)\d{3}|\d+)?(?:\.\d*)?"
    ),
    "comma": re.compile(
        r"(?:[1-9]\d{0,2}(?P<s>[.' ])(?:(?:\d{3}(?P=s))*|(?:\d\d(?P=s))*)\d{3}|\d+)?(?:,\d*)?"
    ),
}
_NO_CENTS = {"point": re.compile(r"(?<=\d)(?:\.-+|/[-=])$"), "comma": re.compile(r"(?<=\d),-+$")}


def parse_amount(
    text: str, decimal: Literal["point", "comma"], currency: re.Pattern, credit: re.Pattern
) -> float | None:
    """Return the number that an amount cell shows, None if it shows none.

    Reads thousands separators (in groups of three, or of two as in India), a sign before or after
    the number, parentheses and the triangles of Korean and Japanese books as minus, currency signs
    and words, a dash instead of cents ("5.-", "5/-"), and a lone dash as 0. A cell that can be read
    in two ways is not read: "12,50" and "0,125" where the decimal sign is the point, "1,234 567", a
    minus next to a word for credit, a raised digit.

    Parameters
    ----------
    text : str
    decimal : {"point", "comma"}
    currency, credit : re.Pattern
        As `amount_marks` returns them.
    """
    text = text.translate(SIGNS)
    if _FOOTNOTE.search(text):
        return None
    text = currency.sub("", clean_text(text, "keep")).strip()
    if text == "-":
        return 0.0
    text, credits = credit.subn("", text)
    text = _NO_CENTS[decimal].sub("", currency.sub("", text).strip())
    negative = False
    if text.startswith("(") and text.endswith(")"):
        text, negative = text[1:-1].strip(), True
    text = currency.sub("", text).strip()
    if text and text[0] in _MINUS:
        text, negative = text[1:], True
    elif text and text[-1] in _MINUS:
        text, negative = text[:-1], True
    else:
        text = text.removeprefix("+")
    text = currency.sub("", text).strip()
    if not _GROUPED[decimal].fullmatch(text) or not any(map(str.isdigit, text)):
        return None
    if (credits and negative) or credits > 1:
        return None
    digits = re.sub("[,' ]" if decimal == "point" else "[.' ]", "", text).replace(",", ".")
    return -float(digits) if (negative or credits) and float(digits) else float(digits)


def _words(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "(?!)"


@cache
def amount_marks(currency_words: tuple[str, ...], credit_words: tuple[str, ...]) -> tuple:
    """Return the patterns of what may be around an amount: currency, and marks of a credit."""
    # The code pages of Korea and Japan have the won and the yen at the code of the backslash.
    signs = r"\\" + "".join(
        re.escape(chr(c)) for c in range(0x110000) if unicodedata.category(chr(c)) == "Sc"
    )
    words, credits = _words(list(currency_words)), _words(list(credit_words))
    # US$, but CR$ is a credit.
    lettered = rf"(?!(?:{credits})[{signs}])[A-Z]{{1,3}}[{signs}]"
    # One sign that another program could not read is U+FFFD for each of its bytes.
    sign = rf"(?:[{signs}]|\ufffd+)"
    currency = (
        rf"^(?:{lettered}|{sign}|(?:{words})(?![a-z])(?:\.(?!\d))?)"
        rf"|(?:{sign}|(?<![a-z])(?:{lettered}|{words})\.?)$"
    )
    credit = rf"^(?:{credits})(?![a-z])\.?|(?<![a-z])(?:{credits})\.?$"
    return re.compile(currency, re.I), re.compile(credit, re.I)


def parse_amounts(
    cells: pa.Array,
    decimal: Literal["point", "comma"],
    currency_words: list[str],
    credit_words: list[str],
) -> pa.Array:
    """Return the numbers that a column of amounts shows.

    Parameters
    ----------
    cells : Array of string, (rows,)
    decimal : {"point", "comma"}
        The decimal sign of texts. Numbers that a workbook typed end with ``E0`` and have a point.
    currency_words, credit_words : list of str
        Words that may be around an amount; the latter make it negative.

    Returns
    -------
    Array of float64, (rows,)
        Null where a cell is empty or shows no number.
    """
    cells = pc.utf8_trim_whitespace(cells)
    plain = pc.match_substring_regex(cells, _PLAIN[decimal])
    amounts = pc.cast(pc.if_else(plain, cells, None), pa.float64())
    if not pc.all(plain).as_py():
        currency, credit = amount_marks(tuple(currency_words), tuple(credit_words))
        parse = partial(parse_amount, decimal=decimal, currency=currency, credit=credit)
        others = map_values(pc.if_else(plain, "", cells), parse, pa.float64())
        amounts = pc.coalesce(amounts, others)
    # Hundreds of digits are infinite.
    return pc.if_else(pc.is_finite(amounts), amounts, None)
