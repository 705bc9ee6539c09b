"""Make the probability of the first account mean what it says.

Beta calibration (Kull, Silva Filho and Flach 2017): the log-odds of being right are
``a log(p) - b log(1 - p) + c``. With a and b at least 0 it keeps the order of the rows, except
where the second account would overtake the first: so it changes which probability a threshold has,
and hardly which rows are above it.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from stages.lib.evaluation.metrics import RowScores

UNCHANGED = (1.0, 1.0, 0.0)
# Nearer to 0 or 1 no probability comes, so that its logarithm is finite.
EDGE = 1e-6
# Pulls to `UNCHANGED`, as a penalty on the squared distance. It counts where there are a handful of
# rows.
PRIOR = 1.0


def _terms(confidence: np.ndarray) -> np.ndarray:
    p = np.clip(confidence, EDGE, 1 - EDGE)
    return np.stack([np.log(p), -np.log1p(-p), np.ones(len(p))], axis=1)


def fit_confidence(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, float, float]:
    """Return a, b and c with the lowest log loss of being right.

    Parameters
    ----------
    confidence : float64 (n,)
        Probability of the first account. The rows must not be those that weights were fitted on.
    correct : bool (n,)
    """
    terms, sign = _terms(confidence), np.where(correct, -1.0, 1.0)

    def loss(abc: np.ndarray) -> tuple[float, np.ndarray]:
        wrong, away = sign * (terms @ abc), abc - UNCHANGED
        value = np.logaddexp(0, wrong).sum() + PRIOR * away @ away
        return value, (expit(wrong) * sign) @ terms + 2 * PRIOR * away

    bounds = [(0.0, None), (0.0, None), (None, None)]
    found = minimize(loss, UNCHANGED, jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(found.x.tolist())


def calibrate(scores: RowScores, abc: tuple[float, float, float]) -> RowScores:
    """Return `scores` with the calibrated probability of the first account.

    The other accounts share what is left, in their proportions. The first account stays the most
    probable one.
    """
    p = scores.confidence
    rest = np.maximum(1 - p, EDGE)
    least = 0.0
    if scores.probability.shape[1] > 1:
        second = scores.probability[:, 1] / rest  # of what the first account leaves
        least = second / (1 + second)
    first = np.maximum(expit(_terms(p) @ np.array(abc)), least)
    shrink = (1 - first) / rest
    probability = scores.probability * shrink[:, None]
    probability[:, 0] = first
    own = np.where(scores.correct, first, scores.label_probability * shrink)
    return replace(scores, probability=probability, label_probability=own)
