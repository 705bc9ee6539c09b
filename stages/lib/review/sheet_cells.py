"""Turn columns into what the cells of an .xlsx can have."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.review.columns import text_of, value_of

# UTF-16 units of a cell's text.
LONGEST_TEXT = 32_767
# The rows that decide how wide a column is, and its least and largest width in digits.
_LOOKED_AT = 1_000
_WIDTHS = (8, 40)
# Excel counts days from 1899-12-31 and has a 29th of February 1900, LibreOffice has none: they
# agree from March 1900 on. The last day is 9999-12-31.
_EPOCH = 25_569
_DAYS = (61, 2_958_465)
# What a time of day in a file looks like, and the one that a sheet can show.
_TIME = re.compile(r"\d:\d\d")
_DAY_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T](\d\d):(\d\d)(?::(\d\d))?")


def _is_long(text: str) -> bool:
    return len(text) > LONGEST_TEXT // 2 and len(text.encode("utf-16-le")) > 2 * LONGEST_TEXT


def sheet_text(text: str) -> str:
    """Return a text as XlsxWriter can take it, cut if it is too long for a cell."""
    if text.startswith("<r>") and text.endswith("</r>"):
        text = f" {text}"  # XlsxWriter would take it for XML of its own
    if len(text) > LONGEST_TEXT // 2:
        units = text.encode("utf-16-le")
        text = units[: 2 * LONGEST_TEXT].decode("utf-16-le", "ignore")
    return text


def _texts(column: pa.ChunkedArray) -> tuple[list[str | None], int]:
    texts, longest = column.to_pylist(), pc.max(pc.utf8_length(column)).as_py() or 0
    marked = pc.any(pc.starts_with(column, "<r>")).as_py()
    if longest <= LONGEST_TEXT // 2 and not marked:
        return texts, 0
    fitting = [text and sheet_text(text) for text in texts]
    return fitting, sum(text is not None and _is_long(text) for text in texts)


def _days(column: pa.ChunkedArray) -> list[int | str | None]:
    days = pc.add(column.cast(pa.int32()).cast(pa.int64()), _EPOCH)
    known = pc.and_(pc.greater_equal(days, _DAYS[0]), pc.less_equal(days, _DAYS[1]))
    if pc.all(known).as_py() is not False:
        return days.to_pylist()
    texts = column.cast(pa.string()).to_pylist()
    return [
        day if fits or day is None else text
        for day, text, fits in zip(days.to_pylist(), texts, known.to_pylist(), strict=True)
    ]


def _with_time(day: int | str | None, text: str | None) -> float | str | None:
    """Return a day with its time as a fraction, or the text of the file if it has another form."""
    if not isinstance(day, int):
        return text
    if text is None or not _TIME.search(text):
        return day
    found = _DAY_AND_TIME.fullmatch(text)
    if not found:
        return text
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return day + (hours * 3600 + minutes * 60 + seconds) / 86_400


def _numbers(column: pa.ChunkedArray) -> list[float | str | None]:
    return [
        value if value is None or np.isfinite(value) else None if np.isnan(value) else str(value)
        for value in column.to_pylist()
    ]


def sheet_cells(column: pa.ChunkedArray) -> tuple[list, int]:
    """Return the cells of a column, and how many of its texts were cut.

    A text of a column of days or numbers is one that a spreadsheet cannot have as such: a day
    before March 1900 or after the year 9999, an infinity, a time of day with its zone.

    Parameters
    ----------
    column : ChunkedArray of string, date32, float64 or int64, or of values with texts
    """
    if pa.types.is_struct(column.type):
        (values, _), (texts, cut) = sheet_cells(value_of(column)), _texts(text_of(column))
        if pa.types.is_date(value_of(column).type):
            return list(map(_with_time, values, texts)), cut
        return [t if v is None else v for v, t in zip(values, texts, strict=True)], cut
    if pa.types.is_date(column.type):
        return _days(column), 0
    if pa.types.is_floating(column.type):
        whole = pc.all(pc.is_finite(column)).as_py() is not False
        return column.to_pylist() if whole else _numbers(column), 0
    if pa.types.is_integer(column.type):
        return column.to_pylist(), 0
    return _texts(column)


def display_width(text: str) -> int:
    """Return how many digits a text is wide; a Hangul syllable is as wide as two."""
    line = text[: _WIDTHS[1]].partition("\n")[0]
    if line.isascii():
        return len(line)
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in line)


class CellWidths:
    """The widths of columns, from their titles and first rows, however these are cut."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._widths = [display_width(title) + 3 for title in titles]  # the filter's button
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        """Look at rows, unless enough were seen before."""
        rows = rows.slice(0, max(0, _LOOKED_AT - self._rows))
        self._rows += rows.num_rows
        for place, column in enumerate(rows.columns):
            self.look_at(place, filter(None, text_of(column).to_pylist()))

    def look_at(self, place: int, texts: Iterable[str]) -> None:
        """Make a column wide enough for texts."""
        widest = max(map(display_width, texts), default=0)
        self._widths[place] = max(self._widths[place], widest)

    def of_columns(self) -> list[int]:
        """Return the width of each column."""
        least, most = _WIDTHS  # two for the indent and the edge
        return [min(max(width + 2, least), most) for width in self._widths]
