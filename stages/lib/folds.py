"""Deal rows to folds, so that each is judged by what has not seen it."""

import numpy as np


def folds_of(groups: np.ndarray, count: int) -> np.ndarray:
    """Return the fold of each row, int64 (rows,): whole groups, the largest first, each to the
    fold that has the fewest rows so far.

    Parameters
    ----------
    groups : ndarray of int64, (rows,)
        Rows that must share a fold, such as those of a vendor, have the same number.
    count : int
    """
    _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
    fold, rows = np.empty(len(size), np.int64), np.zeros(count)
    for group in np.argsort(-size, kind="stable"):
        fold[group] = rows.argmin()
        rows[fold[group]] += size[group]
    return fold[number]
