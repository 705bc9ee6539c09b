"""Say which of two orders is likelier, where both read all dates of a file."""

from collections import Counter
from datetime import date
from itertools import pairwise
from typing import NamedTuple

# Mean days of a month.
_MONTH = 30.44
# Share of the days of a year that are the 12th of a month or earlier.
EARLY = 12 / _MONTH
# What is less likely than this is not taken for chance.
CHANCE = 0.001


class Others(NamedTuple):
    """The different days of a column in other files: how many each year and each day of a month
    has."""

    years: Counter[int]
    numbers: Counter[int]

    def plus(self, days: set[date]) -> "Others":
        """Return this with `days`."""
        years, numbers = _count(days)
        return Others(self.years + years, self.numbers + numbers)

    def minus(self, days: set[date]) -> "Others":
        """Return this without `days`."""
        years, numbers = _count(days)
        return Others(self.years - years, self.numbers - numbers)


NO_OTHERS = Others(Counter(), Counter())


def _count(days: set[date]) -> tuple[Counter[int], Counter[int]]:
    return Counter(day.year for day in days), Counter(day.day for day in days)


def speaks_for(days: list[date], read_otherwise: list[date], others: Others) -> str:
    """Return why another order is likelier, "" if it is not.

    Parameters
    ----------
    days : list of date
        In the order of the parameters, of different cells, in the order of the rows.
    read_otherwise : list of date
        The same cells in the other order.
    others : Others

    Returns
    -------
    str
        With ``{order}`` and ``{other}`` in place of the orders.
    """
    # Where the year is read as a day, different dates have the same day of a month.
    is_repeated = len({day.day for day in days}) < len({*days})
    if is_repeated and _is_far(days, others) and _is_near(read_otherwise, others):
        return "in {order} they lie years from those of other files, in {other} beside them"
    if len({*days}) < 5:
        return ""
    # In a wrong order that begins or ends with the year, years of two digits are days of a month.
    if _span(read_otherwise) > 5 * 365 and 4 * _span(days) < _span(read_otherwise):
        return ""
    if _span(days) > 5 * 365 and 4 * _span(read_otherwise) < _span(days):
        return (
            f"in {{order}} they lie within {_span(days) // 365} years, in {{other}} within "
            f"{_span(read_otherwise):,} days"
        )
    if max(day.day for day in days) > 12:
        return ""
    if _is_sorted(days) != _is_sorted(read_otherwise):
        if _is_sorted(days) or len(days) < 8:
            return ""
        return "in {other} the rows are in order of time, in {order} they are not"
    return _never_late(days, read_otherwise, others)


def _years_off(day: date, others: Others) -> int:
    few = 0.1 * max(others.years.values())
    return min(abs(day.year - year) for year, n in others.years.items() if n >= few)


def _is_far(days: list[date], others: Others) -> bool:
    return bool(others.years) and all(_years_off(day, others) > 1 for day in days)


def _is_near(days: list[date], others: Others) -> bool:
    return bool(others.years) and all(_years_off(day, others) <= 1 for day in days)


def _is_sorted(days: list[date]) -> bool:
    pairs = list(pairwise(days))
    up = sum(a <= b for a, b in pairs)
    return max(up, len(pairs) - up) >= 0.95 * len(pairs)


def _span(days: list[date]) -> int:
    return (max(days) - min(days)).days


def _never_late(days: list[date], read_otherwise: list[date], others: Others) -> str:
    # The last month may have ended early, as files are written within a month.
    last = max((day.year, day.month) for day in days)
    early = {day for day in days if (day.year, day.month) != last}
    numbers = {day.day for day in early}
    months = {(day.year, day.month) for day in early}
    chance = 1.0  # that so many different numbers, drawn from those of a month, are all up to 12
    for i in range(len(numbers)):
        chance *= (12 - i) / (_MONTH - i)
    why = "in {order} no day of a month is after the 12th"
    if chance < CHANCE:
        return why
    # Few days of many months are a habit, such as the first working day, or a quarter read wrongly.
    in_a_row = max(numbers, default=0) - min(numbers, default=0) + 1 == len(numbers)
    if len(numbers) > 1 and in_a_row and len(early) >= max(8, 1.25 * len(months)):
        return why
    if len(numbers) == 1 and len(months) > 3 and _span(read_otherwise) < 31:
        (on,) = numbers
        if on > 1 or others.numbers.keys() - {on}:
            return f"in {{order}} all are the day {on} of a month, in {{other}} of one month"
    return ""
