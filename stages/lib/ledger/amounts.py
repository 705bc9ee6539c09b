"""Read the number that an amount cell shows."""

import re
import unicodedata
from functools import cache

from stages.lib.ledger.normalize import SIGNS, clean_text

_FOOTNOTE = re.compile("[²³¹⁰-₟①-⓿]")
_MINUS = "-△▲▵▴▽▼▿▾"
# Groups of three digits, or of two as in India, parted by one sign; none begins with a zero.
_GROUPED = {
    "point": re.compile(
        r"(?:[1-9]\d{0,2}(?P<s>[,' ])(?:(?:\d{3}(?P=s))*|(?:\d\d(?P=s))*)\d{3}|\d+)?(?:\.\d*)?"
    ),
    "comma": re.compile(
        r"(?:[1-9]\d{0,2}(?P<s>[.' ])(?:(?:\d{3}(?P=s))*|(?:\d\d(?P=s))*)\d{3}|\d+)?(?:,\d*)?"
    ),
}
_NO_CENTS = {"point": re.compile(r"(?<=\d)(?:\.-+|/[-=])$"), "comma": re.compile(r"(?<=\d),-+$")}


def parse_amount(text: str, decimal: str, currency: re.Pattern, credit: re.Pattern) -> float | None:
    """Return the number that an amount cell shows, None if it shows none.

    Reads thousands separators (in groups of three, or two as in India), a sign before or behind,
    parentheses and the triangles of Korean and Japanese books as minus, currency signs and words,
    a dash in place of cents ("5.-", "5/-"), and a lone dash as the zero that it is in books. What
    may be read in two ways is no number: "12,50" and "0,125" where the point rules, "1,234 567", a
    minus beside a word for credit, a raised digit.
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
    """Return the patterns of what may stand around an amount: currency, and marks of a credit."""
    # The code of the backslash is the won's and the yen's in the code pages of Korea and Japan.
    signs = r"\\" + "".join(
        re.escape(chr(c)) for c in range(0x110000) if unicodedata.category(chr(c)) == "Sc"
    )
    words, credits = _words(list(currency_words)), _words(list(credit_words))
    # US$, but CR$ is a credit.
    lettered = rf"(?!(?:{credits})[{signs}])[A-Z]{{1,3}}[{signs}]"
    currency = (
        rf"^(?:{lettered}|[{signs}]|(?:{words})(?![a-z]))"
        rf"|(?:[{signs}]|(?<![a-z])(?:{lettered}|{words}))$"
    )
    credit = rf"^(?:{credits})(?![a-z])\.?|(?<![a-z])(?:{credits})\.?$"
    return re.compile(currency, re.I), re.compile(credit, re.I)
