"""How far the validation rows are like the test rows, for which they choose thresholds."""

import numpy as np

from stages.lib.split.sides import TEST, VAL

# Vendors are counted by their rows in the ledger, from each of these numbers on.
VENDOR_ROWS = (1, 2, 10, 100)
# The accounts of two sides are called unlike beyond this multiple of what chance alone makes.
UNLIKE = 2.0


def vendors_by_rows(vendor: np.ndarray, here: np.ndarray) -> dict[str, int]:
    """Return how many vendors of some rows are small and large.

    Parameters
    ----------
    vendor : ndarray of int64, (rows,)
        As in `Rows`, of the whole ledger.
    here : ndarray of bool, (rows,)
        The rows whose vendors are counted.

    Returns
    -------
    dict of str to int
        By the least number of rows in the ledger, such as ``10+`` for 10 to 99.
    """
    size = np.bincount(vendor[vendor >= 0], minlength=1)
    found = np.unique(vendor[here & (vendor >= 0)])
    place = np.searchsorted(VENDOR_ROWS, size[found], side="right") - 1
    counts = np.bincount(place, minlength=len(VENDOR_ROWS))
    return {f"{least}+": int(n) for least, n in zip(VENDOR_ROWS, counts, strict=True)}


def account_distance(label: np.ndarray, side: np.ndarray) -> tuple[float, float]:
    """Return how far apart the accounts of validation and test rows are, and what chance makes.

    Parameters
    ----------
    label : ndarray of int64, (rows,)
    side : ndarray of int8, (rows,)

    Returns
    -------
    distance : float
        The share of rows that would need another account for both sides to be alike (the total
        variation distance). 0 to 1.
    by_chance : float
        About what rows drawn at random from both sides together would have.
    """
    _, number = np.unique(label, return_inverse=True)
    val, test = (np.bincount(number[side == s], minlength=number.max() + 1) for s in (VAL, TEST))
    n, m = max(1, val.sum()), max(1, test.sum())
    share = (val + test) / (n + m)
    # The mean of the absolute value of a normal variable is sqrt(2 / pi) standard deviations.
    expected = np.sqrt(2 / np.pi * share * (1 - share) * (1 / n + 1 / m)).sum() / 2
    return float(np.abs(val / n - test / m).sum() / 2), float(expected)


def remark_accounts(label: np.ndarray, side: np.ndarray) -> list[str]:
    """Return a warning if validation and test rows have different accounts, beyond chance."""
    distance, by_chance = account_distance(label, side)
    if distance <= UNLIKE * by_chance:
        return []
    return [
        f"validation and test rows differ in their accounts: {distance:.1%} of the rows would need "
        f"another account for both to be alike, and by chance {by_chance:.1%}; thresholds and "
        "calibration, which are fitted on validation rows, may not hold on test rows"
    ]
