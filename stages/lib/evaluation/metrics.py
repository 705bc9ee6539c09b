"""Numbers that judge a classifier of accounts: pure numpy, the same for model and baselines.

Accounts are integers. The K accounts of the training rows are ``0 .. K-1``, in the order of the
score columns; an account that stands in the test rows only gets an integer from K upwards, so it
keeps its identity and can never be predicted. A row of such an account counts as wrong in every
metric here.

A weight says how often a row counts (None: every row once). The bootstrap stands on that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log

import numpy as np

from stages.lib.errors import UserError

TOP = 3  # accounts kept of each row
ROWS_AT_ONCE = 8192  # bounds the float64 copies made while scores are reduced
PROBABILITY_FLOOR = 1e-6  # an account never trained costs 13.8 in log loss, not infinity
BINS = 15  # of the reliability diagram (Guo et al. 2017)


@dataclass(frozen=True)
class RowScores:
    """What the metrics need of each of n rows, without the (n, K) scores themselves.

    Attributes
    ----------
    label : int64 (n,)
        Account that the ledger holds; K or more: no training row had it.
    top : int64 (n, min(3, K))
        Accounts by falling probability; of equal ones the lower integer comes first.
    probability : float64 (n, min(3, K))
        Their probabilities.
    label_probability : float64 (n,)
        Probability of `label`, 0 if it was not trained.
    label_rank : int64 (n,)
        How many accounts stand before `label` in that order, K if it was not trained.
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

    The codes that are lacking follow in sorted order, so they get integers from ``len(accounts)``.
    """
    known = list(accounts) + sorted(set(codes) - set(accounts))
    position = {code: index for index, code in enumerate(known)}
    return np.array([position[code] for code in codes], dtype=np.int64), known


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def summarise_scores(logits: np.ndarray, label: np.ndarray, temperature: float) -> RowScores:
    """Reduce scores to `RowScores`; memory beyond the result does not grow with the rows.

    Parameters
    ----------
    logits : float (n, K)
        Scores whose softmax, after division by `temperature`, is the probability.
    label : int64 (n,)
        Accounts of the ledger; K or more: not trained.
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
        if not np.isfinite(scores).all():
            raise UserError("the model gave a score that is not a finite number; train it again")
        chance = softmax(scores / temperature)
        top[part] = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        probability[part] = np.take_along_axis(chance, top[part], axis=1)
        rows = np.flatnonzero(labels < k)
        own = labels[rows, None]
        value = np.take_along_axis(scores[rows], own, axis=1)
        before = (scores[rows] > value) | ((scores[rows] == value) & (np.arange(k) < own))
        label_probability[start + rows] = np.take_along_axis(chance[rows], own, axis=1)[:, 0]
        label_rank[start + rows] = before.sum(axis=1)
    return RowScores(label, top, probability, label_probability, label_rank)


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature in [0.01, 100] with the least log loss (Guo et al. 2017).

    The log loss is convex in 1/T, so the zero of its slope is found by bisection. Rows whose
    account was not trained are left out: no temperature makes them right. Without any row
    left, 1.
    """
    known = label < logits.shape[1]
    logits, label = logits[known].astype(np.float64), label[known]
    if not len(label):
        return 1.0
    own = logits[np.arange(len(label)), label].mean()
    low, high = -np.log(100.0), np.log(100.0)  # of log(1/T)
    for _ in range(50):
        middle = (low + high) / 2
        expected = (softmax(logits * np.exp(middle)) * logits).sum(axis=1).mean()
        low, high = (low, middle) if expected > own else (middle, high)
    return float(np.exp(-(low + high) / 2))


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the weighted mean, NaN if the weights add up to nothing."""
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
    """Return the mean F1 of the accounts that the rows hold or the classifier predicts.

    That is scikit-learn's ``f1_score(average="macro")``: an account that is predicted but never
    right, or held but never trained, counts with F1 = 0; one that neither side names is left out.
    """
    return mean(scores.f1, (scores.support + scores.predictions > 0).astype(np.float64))


def weighted_f1(scores: AccountScores) -> float:
    """Return the mean F1 of the accounts, each weighted by its rows."""
    return mean(scores.f1, scores.support)


def log_loss(label_probability: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean of -log(probability of the ledger's account), in nats.

    A probability below one in a million counts as one in a million, an account that was not
    trained (probability 0) included: it costs 13.8.
    """
    return mean(-np.log(np.maximum(label_probability, PROBABILITY_FLOOR)), weights)


@dataclass(frozen=True)
class Reliability:
    """Rows, mean confidence and accuracy of the bins that hold a row, float64 (bins,)."""

    rows: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None = None
) -> Reliability:
    """Group rows into 15 bins of equal width, (0, 1/15], (1/15, 2/15], … by confidence."""
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
    """Return the mean distance of confidence and accuracy over the bins, weighted by rows."""
    return mean(np.abs(bins.confidence - bins.accuracy), bins.rows)


@dataclass(frozen=True)
class Coverage:
    """Points of the precision-coverage curve, one a distinct confidence, falling: float64 (m,).

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

    None: no coverage reaches it with ``3 / (1 - target)`` rows or more. Fewer rows could not show
    it if all of them were right: the rule of three (Hanley and Lippman-Hand 1983), by which n rows
    without an error have, at 95 % confidence, up to 3 / n errors in the long run. Fit the threshold
    on validation rows and report it on test rows.
    """
    reached = np.flatnonzero((curve.precision >= target) & (curve.rows * (1 - target) >= 3))
    return float(curve.threshold[reached[-1]]) if len(reached) else None


def auto_post(
    confidence: np.ndarray,
    correct: np.ndarray,
    threshold: float | None,
    weights: np.ndarray | None = None,
) -> tuple[float, float]:
    """Return the share of rows with at least `threshold` confidence, and the precision on them.

    Without a threshold, or without such a row, the precision is NaN.
    """
    posted = np.zeros(len(confidence), bool) if threshold is None else confidence >= threshold
    inside = None if weights is None else weights[posted]
    return mean(posted, weights), mean(correct[posted], inside)


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
    """Return the share of the money, |amount|, that is posted right; NaN without any money.

    A row without an amount (NaN) weighs nothing.
    """
    money = np.abs(np.nan_to_num(amount))
    return mean(correct, money if weights is None else money * weights)


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Compare two classifiers on the same rows by McNemar's exact test.

    Parameters
    ----------
    first, second : bool (n,)
        Whether each classifier is right.

    Returns
    -------
    only_first, only_second : int
        Rows that only one of them gets right.
    p : float
        Two-sided probability of so uneven a split if both were equally good (binomial, 1/2).
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    tail = [
        exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) - n * log(2))
        for i in range(min(only_first, only_second) + 1)
    ]
    return only_first, only_second, min(1.0, 2 * sum(tail))


def bootstrap(
    statistics: Callable[[np.ndarray], np.ndarray],
    clusters: np.ndarray,
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Return the 95 % percentile interval of each statistic, float64 (2, m).

    Resamples in which a statistic is undefined are left out; if all are, its interval is NaN.

    Parameters
    ----------
    statistics : callable
        From row weights, float64 (n,), to m statistics; NaN where one is undefined.
    clusters : int64 (n,)
        What is drawn with replacement: the integers ``0 .. c-1``, each standing for the rows that
        hold it. ``arange(n)`` draws rows.
    resamples, seed : int
        Number of resamples, and seed of their generator.
    """
    generator = np.random.default_rng(seed)
    count = int(clusters.max()) + 1
    drawn = []
    for _ in range(resamples):
        times = np.bincount(generator.integers(0, count, count), minlength=count)
        drawn.append(statistics(times[clusters].astype(np.float64)))
    values = np.array(drawn)
    bounds = np.full((2, values.shape[1]), np.nan)
    defined = ~np.isnan(values).all(axis=0)
    bounds[:, defined] = np.nanquantile(values[:, defined], [0.025, 0.975], axis=0)
    return bounds
