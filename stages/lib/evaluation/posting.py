"""Post rows unseen: which confidence is enough, how many rows have it, how many of them are right.

"Unseen" means that nobody looks at the row before it is posted.
"""

from dataclasses import dataclass

import numpy as np

from stages.lib.evaluation.metrics import RowScores, mean

TARGETS = (0.95, 0.99)  # precisions that rows posted unseen must reach

Thresholds = dict[float, float | None]


@dataclass(frozen=True)
class Coverage:
    """Precision-coverage curve: one point for each distinct confidence, falling, float64 (m,).

    At each point the rows with at least `threshold` confidence are posted: `rows` is their number,
    `coverage` their share of all rows, `precision` the share of them that is right.
    """

    threshold: np.ndarray
    rows: np.ndarray
    coverage: np.ndarray
    precision: np.ndarray


def precision_coverage(confidence: np.ndarray, correct: np.ndarray) -> Coverage:
    """Return the whole curve; rows of equal confidence are posted together or not at all."""
    order = np.argsort(-confidence, kind="stable")
    ordered, right = confidence[order], np.cumsum(correct[order])
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))
    rows = last + 1.0
    return Coverage(ordered[last], rows, rows / len(ordered), right[last] / rows)


def auto_post_threshold(curve: Coverage, target: float) -> float | None:
    """Return the threshold of the largest coverage whose precision is at least `target`.

    None: no coverage of ``3 / (1 - target)`` rows or more reaches it. Fewer rows could not show it
    even if all of them were right, by the rule of three (Hanley and Lippman-Hand 1983): n rows
    without an error have, at 95 % confidence, up to 3 / n errors in the long run. Fit the threshold
    on validation rows and report it on test rows.
    """
    reached = np.flatnonzero((curve.precision >= target) & (curve.rows * (1 - target) >= 3))
    return float(curve.threshold[reached[-1]]) if len(reached) else None


def fit_thresholds(scores: RowScores) -> Thresholds:
    """Return for each target precision the confidence that reaches it on these rows, or None."""
    curve = precision_coverage(scores.confidence, scores.correct)
    return {target: auto_post_threshold(curve, target) for target in TARGETS}


def posted_rows(confidence: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return which rows have at least `threshold` confidence, bool (n,); None: no row has."""
    return confidence >= (np.inf if threshold is None else threshold)


def auto_post(
    confidence: np.ndarray,
    correct: np.ndarray,
    threshold: float | None,
    weights: np.ndarray | None = None,
) -> tuple[float, float]:
    """Return the share of rows with at least `threshold` confidence, and the precision on them.

    Without a threshold, or without such a row, the precision is NaN.
    """
    posted = posted_rows(confidence, threshold)
    inside = None if weights is None else weights[posted]
    return mean(posted, weights), mean(correct[posted], inside)


def target_name(target: float) -> str:
    """Return the name under which a target precision is reported, such as ``autopost95``."""
    return f"autopost{target * 100:.0f}"


def certified_name(target: float) -> str:
    """Return the name of the threshold that is certified, such as ``certified95``."""
    return f"certified{target * 100:.0f}"


def postable_rate(scores: RowScores, target: float) -> float:
    """Return the largest share of these rows that could be posted with at least this precision.

    The threshold is chosen on the rows themselves, with knowledge of their accounts: it says how
    well the confidence sorts right from wrong, not what a threshold of validation rows will give.
    """
    curve = precision_coverage(scores.confidence, scores.correct)
    reached = np.flatnonzero(curve.precision >= target)
    return float(curve.coverage[reached[-1]]) if len(reached) else 0.0
