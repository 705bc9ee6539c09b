"""Metrics of a way to code rows, the same for the coder, its parts and the baselines.

Accounts are integers. The K accounts of the training rows are ``0 .. K-1``, in the order of the
score columns. An account without a training row gets an integer from K upwards: it keeps its
identity and can never be predicted, so its rows count as wrong in every metric here.

A weight says how often a row counts (None: every row once). The bootstrap works through weights.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from stages.lib.errors import UserError

TOP = 3  # accounts kept for each row
ROWS_AT_ONCE = 8192  # bounds the float64 copies made while scores are reduced
PROBABILITY_FLOOR = 1e-6  # an account without training rows costs 13.8 in log loss, not infinity
BINS = 15  # of the reliability diagram (Guo et al. 2017)


@dataclass(frozen=True)
class RowScores:
    """What the metrics need of each of n rows, without the (n, K) scores themselves.

    Attributes
    ----------
    label : int64 (n,)
        Account in the ledger; K or more: it has no training row.
    top : int64 (n, min(3, K))
        Accounts by falling probability; of equal ones the lower integer comes first.
    probability : float64 (n, min(3, K))
        Their probabilities.
    label_probability : float64 (n,)
        Probability of `label`, 0 if it has no training row.
    label_rank : int64 (n,)
        How many accounts come before `label` in that order, K if it has no training row.
    """

    label: np.ndarray
    top: np.ndarray
    probability: np.ndarray
    label_probability: np.ndarray
    label_rank: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Most probable account, int64 (n,)."""
        return self.top[:, 0]

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted account, float64 (n,)."""
        return self.probability[:, 0]

    @property
    def correct(self) -> np.ndarray:
        """Whether the predicted account is the ledger's, bool (n,)."""
        return self.predicted == self.label


def encode_accounts(codes: list[str], accounts: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the integer of each code, and `accounts` extended by the codes that it lacks.

    The added codes are sorted; they get the integers from ``len(accounts)`` upwards.
    """
    known = list(accounts) + sorted(set(codes) - set(accounts))
    position = {code: index for index, code in enumerate(known)}
    return np.array([position[code] for code in codes], dtype=np.int64), known


def summarise_scores(logits: np.ndarray, label: np.ndarray, temperature: float) -> RowScores:
    """Reduce scores to `RowScores`, in parts, so that extra memory does not grow with the rows.

    Parameters
    ----------
    logits : float (n, K)
        Scores whose softmax, after division by `temperature`, is the probability.
    label : int64 (n,)
        Accounts in the ledger; K or more: without a training row.
    temperature : float
        Above 0. It changes the probabilities, never their order.

    Raises
    ------
    UserError
        A score is not a finite number.
    """
    n, k = logits.shape
    top = np.empty((n, min(TOP, k)), dtype=np.int64)
    probability = np.empty(top.shape)
    label_probability = np.zeros(n)
    label_rank = np.full(n, k, dtype=np.int64)
    for start in range(0, n, ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, n))
        scores, labels = logits[part], label[part]
        _check_finite(scores, start)
        chance = softmax((scores / temperature).astype(np.float64), axis=1)
        top[part] = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        probability[part] = np.take_along_axis(chance, top[part], axis=1)
        rows = np.flatnonzero(labels < k)
        own = labels[rows, None]
        value = np.take_along_axis(scores[rows], own, axis=1)
        before = (scores[rows] > value) | ((scores[rows] == value) & (np.arange(k) < own))
        label_probability[start + rows] = np.take_along_axis(chance[rows], own, axis=1)[:, 0]
        label_rank[start + rows] = before.sum(axis=1)
    return RowScores(label, top, probability, label_probability, label_rank)


def _check_finite(scores: np.ndarray, first: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(wrong):
        raise UserError(
            "score-not-finite",
            f"scores, row {first + wrong[0]} (the first is 0)",
            "a score is infinite or not a number",
            "training has diverged: lower training.learning_rate and train again",
        )


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature in [0.01, 100] with the lowest log loss (Guo et al. 2017).

    The log loss is convex in 1/T, so bisection finds the zero of its slope. Rows of an account
    without training rows are left out, because no temperature makes them right. If no row is left,
    the temperature is 1.
    """
    known = label < logits.shape[1]
    logits, label = logits[known].astype(np.float64), label[known]
    if not len(label):
        return 1.0
    own = logits[np.arange(len(label)), label].mean()
    low, high = -np.log(100.0), np.log(100.0)  # of log(1/T)
    for _ in range(50):
        middle = (low + high) / 2
        expected = (softmax(logits * np.exp(middle), axis=1) * logits).sum(axis=1).mean()
        low, high = (low, middle) if expected > own else (middle, high)
    return float(np.exp(-(low + high) / 2))


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the weighted mean, NaN if the weights add up to 0."""
    total = len(values) if weights is None else weights.sum()
    if total == 0:
        return float("nan")
    return float(values.mean() if weights is None else values @ weights / total)


@dataclass(frozen=True)
class AccountScores:
    """Precision, recall, F1, support and number of predictions of each account, float64 (C,).

    A ratio without a denominator is 0, as in scikit-learn with ``zero_division=0``.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    predictions: np.ndarray


def account_scores(
    label: np.ndarray, predicted: np.ndarray, n_accounts: int, weights: np.ndarray | None = None
) -> AccountScores:
    """Return the scores of the accounts ``0 .. n_accounts-1``."""

    def count(accounts, weights):
        return np.bincount(accounts, weights, minlength=n_accounts).astype(np.float64)

    hit = label == predicted
    true = count(label[hit], None if weights is None else weights[hit])
    support, predictions = count(label, weights), count(predicted, weights)

    def ratio(above, below):
        return np.divide(above, below, out=np.zeros(n_accounts), where=below > 0)

    return AccountScores(
        precision=ratio(true, predictions),
        recall=ratio(true, support),
        f1=ratio(2 * true, support + predictions),
        support=support,
        predictions=predictions,
    )


def macro_f1(scores: AccountScores) -> float:
    """Return the mean F1 of the accounts that the rows have or the classifier predicts.

    This is scikit-learn's ``f1_score(average="macro")``. An account that is predicted but never
    right, or in the rows but without training rows, counts with F1 = 0. An account that is neither
    in the rows nor predicted is left out.
    """
    return mean(scores.f1, (scores.support + scores.predictions > 0).astype(np.float64))


def weighted_f1(scores: AccountScores) -> float:
    """Return the mean F1 of the accounts, each weighted by its rows."""
    return mean(scores.f1, scores.support)


def log_loss(label_probability: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean of -log(probability of the ledger's account), in nats.

    A probability below one in a million counts as one in a million, so an account without training
    rows (probability 0) costs 13.8.
    """
    return mean(-np.log(np.maximum(label_probability, PROBABILITY_FLOOR)), weights)


@dataclass(frozen=True)
class Reliability:
    """Rows, mean confidence and accuracy of the bins that are not empty, float64 (bins,)."""

    rows: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None = None
) -> Reliability:
    """Group rows by confidence into 15 bins of equal width, (0, 1/15], (1/15, 2/15], …"""
    weights = np.ones(len(confidence)) if weights is None else weights
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    rows = np.bincount(bins, weights, minlength=BINS)
    kept = rows > 0
    return Reliability(
        rows=rows[kept],
        confidence=np.bincount(bins, weights * confidence, minlength=BINS)[kept] / rows[kept],
        accuracy=np.bincount(bins, weights * correct, minlength=BINS)[kept] / rows[kept],
    )


def expected_calibration_error(bins: Reliability) -> float:
    """Return the mean distance between confidence and accuracy over the bins, weighted by rows."""
    return mean(np.abs(bins.confidence - bins.accuracy), bins.rows)


def headline(
    scores: RowScores, n_accounts: int, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Return the metrics that need no threshold and no amount, in the order they are shown."""
    by_account = account_scores(scores.label, scores.predicted, n_accounts, weights)
    bins = reliability(scores.confidence, scores.correct, weights)
    return {
        "accuracy": mean(scores.correct, weights),
        "macro_f1": macro_f1(by_account),
        "weighted_f1": weighted_f1(by_account),
        "top3_accuracy": mean(scores.label_rank < TOP, weights),
        "log_loss": log_loss(scores.label_probability, weights),
        "ece": expected_calibration_error(bins),
    }


def amount_accuracy(
    correct: np.ndarray, amount: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the share of the money, |amount|, that gets the right account; NaN without any money.

    A row without an amount (NaN) has no weight.
    """
    money = np.abs(np.nan_to_num(amount))
    return mean(correct, money if weights is None else money * weights)
