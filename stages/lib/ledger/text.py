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

# Among them marks of direction, variants of emoji, and the blanks that fill a Hangul syllable.
_INVISIBLE = re.compile(
    r"[^\S ]|[\x00-\x1f\x7f-\x9f]|[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]"
)
# NFKC would make 51⁄2 of 5½.
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_NOT_JAMO = re.compile("[^\u3131-\u318e]+")


def _blank(match: re.Match) -> str:
    # White space parts words, and so do Hangul's blanks; the others stand inside of words.
    return " " if match[0].isspace() or match[0] < "\xa0" or match[0] in "\u3164\uffa0" else ""


def _nfkc(match: re.Match) -> str:
    return unicodedata.normalize("NFKC", match[0])


def clean_text(text: str, case: Literal["fold", "keep"]) -> str:
    """Return `text` in one form: NFKC, no control or invisible characters, single spaces.

    A lone Hangul letter such as "ㄱ" keeps its own code point, which NFKC would take from it.
    """
    # First, as what they part may be one letter: e, a zero-width space and an accent.
    text = _INVISIBLE.sub(_blank, text)
    if not text.isascii():
        text = _NOT_JAMO.sub(_nfkc, _FRACTION.sub(" ", text))
    if case == "fold":
        text = text.casefold()
        if not text.isascii():  # folding may part an accent from its letter
            text = _NOT_JAMO.sub(_nfkc, text)
    return " ".join(text.split())


# As Excel and LibreOffice write them, also in their German, French and Spanish forms.
_ERROR = re.compile(
    r"#(?:N/A|NV|[¡¿]?(?:REF|VALUE|DIV/0|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED|CONNECT|BUSY|DATA"
    r"|UNKNOWN|BEZUG|WERT|ZAHL|VALEUR|NOM|NOMBRE|VALOR)[!?]|GETTING_DATA)|Err:5\d\d"
)


def is_error(text: str) -> bool:
    """Return whether a cell shows a spreadsheet's error, such as #N/A, in place of its content."""
    return text.lstrip()[:1] in ("#", "E") and _ERROR.fullmatch(text.strip()) is not None


# Amounts

# Before NFKC, which would part the accents from themselves and read 5² as 52.
_SIGNS = str.maketrans({**dict.fromkeys("‐‑‒–—―−", "-"), **dict.fromkeys("‘’‛ʼ´`′", "'")})
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
    text = text.translate(_SIGNS)
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


# Dates

# In English, French, German, Spanish, Italian, Portuguese and Dutch, without accents.
_MONTH_NAMES = (
    "january janvier januar enero gennaio janeiro januari",
    "february fevrier februar febrero febbraio fevereiro februari",
    "march mars marz maerz mrz marzo marco maart mrt",
    "april avril abril aprile",
    "may mai mayo maggio maio mei",
    "june juin juni junio giugno junho",
    "july juillet juli julio luglio julho",
    "august aout agosto augustus",
    "september septembre septiembre settembre setembro",
    "october octobre oktober octubre ottobre outubro",
    "november novembre noviembre novembro",
    "december decembre dezember diciembre dicembre dezembro",
)
_TIME = re.compile(
    r"(?:[T ]+|(?<=\D))(?:(?:오전|오후) ?)?\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)? ?(?:[ap]\.?m\.?)?"
    r" ?(?:Z|[A-Z]{3,4}|[-+]\d{2}:?\d{2})?$",
    re.I,
)
_COMPACT_TIME = re.compile(r"(\d{8})(?:[T ]?(?:[01]\d|2[0-4])[0-5]\d(?:[0-5]\d)?)(?:\.\d+)?Z?")
_WEEKDAY = re.compile(
    r"^(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?[.,]*"
    r"|(?:mo|di|mi|do|fr|sa|so)\.?,) "
    r"| ?\([월화수목금토일](?:요일)?\)$| ?[월화수목금토일]요일$"
    r"| ?\([月火水木金土日](?:曜日)?\)$| ?[月火水木金土日]曜日$",
    re.I,
)
# Years of Japan and Taiwan, counted from the year before an era's first, which is 元 or 1.
_ERAS = {"昭和": 1925, "平成": 1988, "令和": 2018, "S": 1925, "H": 1988, "R": 2018, "民國": 1911}
_ERA = re.compile(rf"^({'|'.join(_ERAS)})(?:\.|(?<=[和成國]) )?(\d{{1,3}}|元)(?=\D)")
_NUMBERS = re.compile(r"(\d{1,4})[-/. ]+(\d{1,2})[-/. ]+(\d{1,4})\.?")
_NAMED = (
    re.compile(
        r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|\.)?[-/. ]*(?:de |of )?(?P<m>[a-z]{3,10})"
        r"[-/., ]*(?:de |del )?(?P<y>\d{4}|\d\d)"
    ),
    re.compile(r"(?P<m>[a-z]{3,10})[-/. ]*(?P<d>\d{1,2})(?:st|nd|rd|th)?[-/., ]+(?P<y>\d{4}|\d\d)"),
    re.compile(r"(?P<y>\d{4})[-/. ]*(?P<m>[a-z]{3,10})[-/. ]*(?P<d>\d{1,2})"),
)


def _day(digits: str, month: int, day: int) -> date | None:
    year = int(digits)
    if len(digits) == 2:  # 68 and less is this century, as in POSIX
        year += 2000 if year < 69 else 1900
    try:
        return date(year, month, day) if 1900 <= year < 2100 else None
    except ValueError:
        return None


@cache
def _month(name: str) -> int | None:
    # Three letters or more that begin the names of one month only: "jui" may be June or July.
    found = {
        number
        for number, names in enumerate(_MONTH_NAMES, start=1)
        if any(full.startswith(name) for full in names.split())
    }
    return found.pop() if len(found) == 1 else None


def parse_date(text: str, order: Literal["ymd", "dmy", "mdy"]) -> date | None:
    """Return the day that a date cell shows, None if it shows none.

    A year of four digits in front is always year, month, day (also ``20200416``), and so are one
    that 년 or 年 follows (``20년 4월 16일``) and that of an era (``令和2年4月16日``, ``R2.4.16``);
    otherwise `order` decides. Five digits alone are Excel's count of days since 1899-12-30. The
    time of day and the day of the week are left out. The month may be named in English, French,
    German, Spanish, Italian, Portuguese or Dutch, by three letters or more; a year of two digits
    then stands last.
    """
    text = clean_text(text.translate(_SIGNS), "keep").removeprefix("'")
    for aside in (_WEEKDAY, _TIME, _WEEKDAY):
        text = aside.sub("", text).strip()
    if match := _COMPACT_TIME.fullmatch(text):
        text = match[1]
    text = _ERA.sub(lambda era: str(_ERAS[era[1]] + int(era[2].replace("元", "1"))), text)
    if re.match(r"\d{2}\s*[년年]", text):
        order = "ymd"
    text = re.sub(r"\s*[년年월月]\s*", "-", text).removesuffix("일").removesuffix("日").strip()
    if re.fullmatch(r"\d{5}(?:\.\d+)?", text):
        return (
            date(1899, 12, 30) + timedelta(days=int(text[:5]))
            if 20000 <= int(text[:5]) < 73051
            else None
        )
    if re.fullmatch(r"\d{8}", text) and (found := _day(text[:4], int(text[4:6]), int(text[6:]))):
        return found
    if re.fullmatch(r"\d{8}|\d{6}", text):
        cuts = (2, 4) if order != "ymd" else (len(text) - 4, len(text) - 2)
        text = f"{text[: cuts[0]]}-{text[cuts[0] : cuts[1]]}-{text[cuts[1] :]}"
    if match := _NUMBERS.fullmatch(text):
        first_is_year = len(match[1]) == 4
        parts = dict(zip("ymd" if first_is_year else order, match.groups(), strict=True))
        if len(parts["y"]) in (2, 4) and max(len(parts["m"]), len(parts["d"])) <= 2:
            return _day(parts["y"], int(parts["m"]), int(parts["d"]))
        return None
    bare = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    for pattern in _NAMED:
        if (match := pattern.fullmatch(bare)) and (month := _month(match["m"])):
            return _day(match["y"], month, int(match["d"]))
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
