"""Read the day that a date cell shows."""

import re
import unicodedata
from datetime import date, timedelta
from functools import cache
from typing import Literal

from stages.lib.normalize import SIGNS, clean_text

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
# Japan and Taiwan count years from the beginning of an era, whose first year is 元 or 1. These are
# the years before it.
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
    # Three letters or more, with which the names of only one month begin: "jui" is June or July.
    found = {
        number
        for number, names in enumerate(_MONTH_NAMES, start=1)
        if any(full.startswith(name) for full in names.split())
    }
    return found.pop() if len(found) == 1 else None


def parse_date(text: str, order: Literal["ymd", "dmy", "mdy"]) -> date | None:
    """Return the day that a date cell shows, None if it shows none.

    The order is year, month, day if the date begins with four digits of a year (also
    ``20200416``), with a year before 년 or 年 (``20년 4월 16일``), or with the year of an era
    (``令和2年4月16日``, ``R2.4.16``). Otherwise `order` decides. Five digits alone are Excel's
    count of days since 1899-12-30. The time of day and the day of the week are ignored. The month
    may be a name in English, French, German, Spanish, Italian, Portuguese or Dutch, of three
    letters or more; a year of two digits is then last.
    """
    text = clean_text(text.translate(SIGNS), "keep").removeprefix("'")
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
