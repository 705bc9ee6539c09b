"""Thresholds with a promise: of the rows above one, enough are right, with 95 % confidence.

Fixed-sequence testing (Angelopoulos et al. 2021, Learn then Test): thresholds are tried from the
highest one down. Each is a hypothesis, "too few rows above it are right", that an exact binomial
test has to reject. The first one that it does not reject ends the sequence, so no correction for
many tests is needed. The promise is for rows that are like those that chose the threshold: drawn
from the same ledger, and neither later nor from new vendors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

RISK = 0.05  # probability that a threshold promises too much
# The sequence begins where so many rows may be wrong. Beginning with none, one unlucky row among
# the surest would end a third of the sequences before they have begun.
FIRST_WRONG = 3
STEPS = 200


class Step(NamedTuple):
    """What is above a threshold.

    Attributes
    ----------
    threshold : float
    rows : int
        Rows with at least this confidence; identical rows are one.
    wrong : int
        How many of them are wrong. Of identical rows, one wrong is enough.
    """

    threshold: float
    rows: int
    wrong: int


def certificate_of(confidence: np.ndarray, correct: np.ndarray, same: np.ndarray) -> list[Step]:
    """Return about 200 thresholds, falling, with what is above each.

    Parameters
    ----------
    confidence : float64 (n,)
        Of rows that fitted no weight that made it.
    correct : bool (n,)
    same : int64 (n,)
        Equal for identical rows. They are right or wrong together, so they count as one.
    """
    if not len(same):
        return []
    _, number = np.unique(same, return_inverse=True)
    count = int(number.max()) + 1
    least, wrong = np.ones(count), np.zeros(count, bool)
    np.minimum.at(least, number, confidence)
    np.logical_or.at(wrong, number, ~correct)
    order = np.argsort(-least, kind="stable")
    least, wrong = least[order], np.cumsum(wrong[order])
    size = -(-count // STEPS)
    ends = np.arange(size, count + 1, size)
    # Rows of equal confidence are above a threshold together.
    ends = np.unique(np.searchsorted(-least, -least[ends - 1], side="right"))
    return [Step(float(least[end - 1]), int(end), int(wrong[end - 1])) for end in ends]


def certified_threshold(steps: Sequence[Step], target: float) -> float | None:
    """Return the lowest threshold that keeps its promise with 95 % confidence; None: there is none.

    Parameters
    ----------
    steps : sequence of Step
        As `certificate_of` returns them.
    target : float
        Share of the rows above the threshold that must be right, above 0 and below 1.
    """
    if not steps:
        return None
    threshold, rows, wrong = map(np.array, zip(*steps, strict=True))
    tried = binom.cdf(FIRST_WRONG, rows, 1 - target) <= RISK
    kept = binom.cdf(wrong, rows, 1 - target)[tried] <= RISK
    passed = int(np.logical_and.accumulate(kept).sum())
    return float(threshold[tried][passed - 1]) if passed else None
