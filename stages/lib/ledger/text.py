"""Read what ledger cells say: text in one form, amounts, dates.

Functions of one cell, and `map_values`, which applies them once to each distinct cell.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Literal

import pyarrow as pa

_INVISIBLE = re.compile(
    r"[^\S ]|[\x00-\x1f\x7f-\x9f]|[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]"
)
# NFKC would make 51⁄2 of 5½.
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_NOT_JAMO = re.compile("[^\u3131-\u318e]+")


def clean_text(text: str, case: Literal["fold", "keep"]) -> str:
    """Return `text` in one form: NFKC, no control or invisible characters, single spaces.

    A lone Hangul letter such as "ㄱ" keeps its own code point, which NFKC would take from it.
    """
    if not text.isascii():
        text = _FRACTION.sub(" ", text)
        text = _NOT_JAMO.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    # White space parts words; the other invisible characters stand inside of them.
    text = _INVISIBLE.sub(lambda c: " " if c[0].isspace() or ord(c[0]) < 160 else "", text)
    if case == "fold":
        text = text.casefold()
    return " ".join(text.split())


# Amounts

_GROUPED = {
    "point": re.compile(r"(?:\d{1,3}(?:[,' ]\d{2,3})*[,' ]\d{3}|\d+)?(?:\.\d*)?"),
    "comma": re.compile(r"(?:\d{1,3}(?:[.' ]\d{2,3})*[.' ]\d{3}|\d+)?(?:,\d*)?"),
}


def parse_amount(text: str, decimal: str, currency: re.Pattern, credit: re.Pattern) -> float | None:
    """Return the number that an amount cell shows, None if it shows none.

    Reads thousands separators (in groups of three, or two as in India), a sign before or behind,
    parentheses and the triangles of Korean and Japanese books as minus, currency signs and words.
    What stands behind the wrong decimal sign is no number: "12,50" is None where the point rules.
    """
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-").replace("’", "'")
    text = currency.sub("", " ".join(text.split())).strip()
    text, credits = credit.subn("", text)
    negative = bool(credits)
    if text.startswith("(") and text.endswith(")"):
        text, negative = text[1:-1], True
    text = currency.sub("", text).strip()
    for sign in "-△▲":
        if text.startswith(sign) or text.endswith(sign):
            bare = text.removeprefix(sign) if text.startswith(sign) else text.removesuffix(sign)
            text, negative = bare, True
            break
    else:
        text = text.removeprefix("+")
    text = currency.sub("", text).strip()
    if not _GROUPED[decimal].fullmatch(text) or not any(map(str.isdigit, text)):
        return None
    digits = re.sub("[,' ]" if decimal == "point" else "[.' ]", "", text).replace(",", ".")
    return -float(digits) if negative and float(digits) else float(digits)


def _words(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "(?!)"


@cache
def amount_marks(currency_words: tuple[str, ...], credit_words: tuple[str, ...]) -> tuple:
    """Return the patterns of what may stand around an amount: currency, and marks of a credit."""
    signs = "".join(
        re.escape(chr(c)) for c in range(0x110000) if unicodedata.category(chr(c)) == "Sc"
    )
    words = _words(list(currency_words))
    currency = (
        rf"^(?:[A-Z]{{0,3}}[{signs}]|(?:{words})(?![a-z]))|(?:[{signs}]|(?<![a-z])(?:{words}))$"
    )
    credit = rf"(?<![a-z])(?:{_words(list(credit_words))})\.?$"
    return re.compile(currency, re.I), re.compile(credit, re.I)


# Dates

# By their first letters, in English, French, German, Spanish, Italian and Portuguese.
_MONTH_WORDS = (
    "jan ene gen", "feb fev", "mar mrz", "apr abr avr", "may mai mag", "jun juin giu",
    "jul juil lug", "aug ago aou", "sep set", "oct okt ott out", "nov", "dec dez dic",
)  # fmt: skip
_MONTHS = {word: i for i, words in enumerate(_MONTH_WORDS, start=1) for word in words.split()}
_TIME = re.compile(r"(?:[T ]+|(?<=\D))(?:(?:오전|오후) ?)?\d{1,2}:\d{2}.*$|\([월화수목금토일]\)$")
_NUMBERS = re.compile(r"(\d{1,4})[-/. ]+(\d{1,2})[-/. ]+(\d{1,4})\.?")
_NAMED = (
    re.compile(
        r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|\.)?[-/. ]*(?:de |of )?(?P<m>[a-z]{3,10})"
        r"[-/., ]*(?:de |del )?(?P<y>\d{4}|\d\d)"
    ),
    re.compile(r"(?P<m>[a-z]{3,10})[-/. ]*(?P<d>\d{1,2})(?:st|nd|rd|th)?[-/., ]+(?P<y>\d{4}|\d\d)"),
    re.compile(r"(?P<y>\d{4})[-/. ]*(?P<m>[a-z]{3,10})[-/. ]*(?P<d>\d{1,2})"),
)


def _day(year: int, month: int, day: int) -> date | None:
    # Two digits: 69 and less is this century, as in POSIX.
    year += 0 if year >= 100 else 2000 if year < 69 else 1900
    try:
        return date(year, month, day) if 1900 <= year < 2100 else None
    except ValueError:
        return None


def _month(name: str) -> int | None:
    return _MONTHS.get(name[:4]) or _MONTHS.get(name[:3])


def parse_date(text: str, order: Literal["ymd", "dmy", "mdy"]) -> date | None:
    """Return the day that a date cell shows, None if it shows none.

    A year of four digits in front is always year, month, day (also ``20200416`` and
    ``2020년 4월 16일``); otherwise `order` decides. Five digits alone are Excel's count of days
    since 1899-12-30. The time of day is left out.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    text = _TIME.sub("", text).strip()
    text = re.sub(r"\s*[년年월月]\s*", "-", text).removesuffix("일").removesuffix("日").strip()
    if re.fullmatch(r"\d{5}(?:\.\d+)?", text):
        return (
            date(1899, 12, 30) + timedelta(days=int(text[:5]))
            if 20000 <= int(text[:5]) < 74000
            else None
        )
    if re.fullmatch(r"\d{8}", text) and (
        found := _day(int(text[:4]), int(text[4:6]), int(text[6:]))
    ):
        return found
    if re.fullmatch(r"\d{8}|\d{6}", text):
        cuts = (2, 4) if order != "ymd" else (len(text) - 4, len(text) - 2)
        text = f"{text[: cuts[0]]}-{text[cuts[0] : cuts[1]]}-{text[cuts[1] :]}"
    if match := _NUMBERS.fullmatch(text):
        first_is_year = len(match[1]) == 4
        parts = dict(zip("ymd" if first_is_year else order, match.groups(), strict=True))
        if len(parts["y"]) in (2, 4) and max(len(parts["m"]), len(parts["d"])) <= 2:
            return _day(int(parts["y"]), int(parts["m"]), int(parts["d"]))
        return None
    bare = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    for pattern in _NAMED:
        if (match := pattern.fullmatch(bare)) and (month := _month(match["m"])):
            return _day(int(match["y"]), month, int(match["d"]))
    return None


def map_values(column: pa.Array, function: Callable, kind: pa.DataType) -> pa.Array:
    """Return `function` of each value as an array of type `kind`, computed once a distinct value.

    An empty value is null, or stays empty where `kind` is string.
    """
    encoded = column.dictionary_encode()
    values = [function(value) if value else None for value in encoded.dictionary.to_pylist()]
    if kind == pa.string():
        values = [value or "" for value in values]
    return pa.array(values, kind).take(encoded.indices)
