"""Cells of dates that say that there is none, such as 0000-00-00."""

import pyarrow as pa
import pyarrow.compute as pc

# The last lines are the day 0 of spreadsheets, in the forms that they show, and the first day of
# programs that have no empty date.
_ZERO = (
    r"^'?(?:0{1,4}[-/. ]+0{1,2}[-/. ]+0{1,4}\.?|0{1,8}(?:\.0+)?|"
    r"1899-12-3[01]|30[-/.]12[-/.]1899|12[-/.]30[-/.]1899|"
    r"1900-0?1-00?|00?[-/.]0?1[-/.]1900|0?1[-/.]00?[-/.]1900|00?-(?i:jan)-(?:19)?00|"
    r"0001-01-01|0?1[-/.]0?1[-/.]0001)"
    r"(?:[T ]+[0:.]+Z?)?$|^00:00:00$"
)


def is_zero_date(cells: pa.Array) -> pa.Array:
    """Return which cells of a column of dates are dates of zeros: nobody has entered a day.

    Examples are ``00.00.0000``, ``0000-00-00 00:00:00``, ``0`` and ``1899-12-30``, which is how a
    workbook shows a 0.
    """
    return pc.match_substring_regex(pc.utf8_trim_whitespace(cells), _ZERO)
