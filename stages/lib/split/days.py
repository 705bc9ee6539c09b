"""Deal rows by time: the past trains, the future tests."""

import numpy as np

from stages.lib.split.sides import TEST, TRAIN, VAL

CUT_ROUNDS = 20


def deal_by_time(
    date: np.ndarray, same: np.ndarray, among: np.ndarray, val: float, test: float
) -> np.ndarray:
    """Return the side of each row `among`; -1 for the others.

    All rows of one day are on one side. Of all cuts between days, those are taken that bring the
    sides nearest to their shares after rows identical to earlier sides are set aside. With fewer
    than three days all rows train.

    Parameters
    ----------
    date : ndarray of datetime64[D], (rows,)
    same : ndarray of int64, (rows,)
        Equal for identical rows, from 0 to below the number of rows.
    among : ndarray of bool, (rows,)
        The rows to deal, all with a date.
    val, test : float
        Shares of validation and test.

    Returns
    -------
    ndarray of int8, (rows,)
    """
    side = np.full(len(among), -1, np.int8)
    days, day = np.unique(date[among], return_inverse=True)
    of_day = np.full(len(days), TRAIN)
    if len(days) >= 3:
        first_seen = np.full(len(date), len(days))
        np.minimum.at(first_seen, same[among], day)
        last_train, last_val = find_cuts(day, first_seen[same[among]], val, test)
        of_day[last_train + 1 :] = VAL
        of_day[last_val + 1 :] = TEST
    side[among] = of_day[day]
    return side


def find_cuts(day: np.ndarray, first_seen: np.ndarray, val: float, test: float) -> tuple[int, int]:
    """Return the last day of train and the last day of validation.

    Parameters
    ----------
    day : ndarray of int64, (rows,)
        Days numbered from 0 without a gap; three or more.
    first_seen : ndarray of int64, (rows,)
        The first day with a row identical to this one.
    val, test : float
        Shares of validation and test.
    """
    days = int(day.max()) + 1
    # For each day but the last: the rows until then, and those first seen after it.
    until = np.cumsum(np.bincount(day, minlength=days))[:-1]
    after = len(day) - np.cumsum(np.bincount(first_seen, minlength=days))[:-1]
    counted = len(day)
    # How many rows are kept depends on the cuts, so they are chosen again until both agree.
    for _ in range(CUT_ROUNDS):
        kept = counted
        train = (1 - test - val) * kept
        # The best last day of train for each last day of validation from day 1 on.
        first = np.minimum(np.abs(until - train).argmin(), np.arange(len(until)) - 1)[1:]
        missed = np.abs(until[first] - train) + np.abs(after[1:] - test * kept)
        last_val = int(missed.argmin()) + 1
        last_train = int(first[last_val - 1])
        between = int(((first_seen > last_train) & (day <= last_val)).sum())
        counted = int(until[last_train]) + between + int(after[last_val])
        if counted == kept:
            break
    return last_train, last_val
