"""Combine the experts: one probability of each account, from those that each expert gives.

The experts' log-probabilities are added, each with a weight, and the sum is normalized: the
logarithmic opinion pool (Genest and Zidek 1986). The weights also calibrate: for one expert alone
the weight is the inverse of a temperature (Guo et al. 2017).
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from stages.lib.folds import folds_of

MAX_WEIGHT = 20.0
# Alone, an expert keeps at least this weight: with 0 it would have no opinion.
LEAST_ALONE = 0.01
# Pulls the weights to equal shares that add up to 1, as a penalty on the squared distance. It
# decides where there are hardly any validation rows, or hardly a wrong one.
PRIOR = 0.1
FOLDS = 5
# Weights are fitted on at most so many rows, evenly spaced: more make them no better, but slower.
MAX_FIT_ROWS = 10_000


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the softmax, float32 (rows, K)."""
    return log_softmax(logits.astype(np.float32), axis=1)


def combine(experts: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the experts' log-probabilities, not normalized.

    Parameters
    ----------
    experts : sequence of ndarray of float32, (rows, K)
        Log-probabilities.
    weights : ndarray of float64, (experts,)

    Returns
    -------
    ndarray of float32, (rows, K)
        Logits, whose softmax is the combined probability.
    """
    total = np.zeros_like(experts[0])
    for scores, weight in zip(experts, weights, strict=True):
        if weight:
            total += np.float32(weight) * scores
    return total


def fit_weights(experts: Sequence[np.ndarray], label: np.ndarray) -> np.ndarray:
    """Return the weights with the lowest Brier score on these rows, 0 to 20 each.

    The Brier score (1950) is the mean squared distance of a row's probabilities to its account.
    Like the log loss it is lowest for true probabilities, but it cares for the accounts on top, not
    for how improbable an improbable one is. An expert that only makes it worse gets the weight 0.

    Parameters
    ----------
    experts : sequence of ndarray of float32, (rows, K)
        Log-probabilities.
    label : ndarray of int64, (rows,)
        Accounts; a row with K or more has no training row and is left out.

    Returns
    -------
    ndarray of float64, (experts,)
    """
    equal = np.full(len(experts), 1 / len(experts))
    known = np.flatnonzero(label < experts[0].shape[1])
    if not len(known):
        return equal
    known = known[:: -(-len(known) // MAX_FIT_ROWS)]
    scores = np.stack([expert[known] for expert in experts])
    rows, own = np.arange(len(known)), label[known]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        away = softmax(combine(scores, weights), axis=1)
        chance = away.copy()
        away[rows, own] -= 1
        pull = weights - equal
        value = (away**2).sum(dtype=np.float64) + PRIOR * pull @ pull
        slope = 2 * chance * (away - (chance * away).sum(axis=1, keepdims=True))
        gradient = np.array([(slope * part).sum(dtype=np.float64) for part in scores])
        return value, gradient + 2 * PRIOR * pull

    least = LEAST_ALONE if len(experts) == 1 else 0.0
    bounds = [(least, MAX_WEIGHT)] * len(experts)
    return minimize(loss, equal, jac=True, bounds=bounds, method="L-BFGS-B").x


def cross_fitted(
    experts: Sequence[np.ndarray], label: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Return combined logits of rows, each with weights that were fitted without its group.

    Thresholds that are chosen on them do not profit from weights that have seen the same rows.

    Parameters
    ----------
    experts : sequence of ndarray of float32, (rows, K)
        Log-probabilities.
    label, groups : ndarray of int64, (rows,)
        As in `fit_weights` and `folds.folds_of`.

    Returns
    -------
    ndarray of float32, (rows, K)
    """
    fold = folds_of(groups, FOLDS)
    logits = np.empty_like(experts[0])
    for number in np.unique(fold):
        here = fold == number
        weights = fit_weights([scores[~here] for scores in experts], label[~here])
        logits[here] = combine([scores[here] for scores in experts], weights)
    return logits
