"""Compare the coder with its parts and the baselines, and give every metric an interval."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from scipy.stats import binomtest

from stages.lib.contracts.names import GROUP
from stages.lib.evaluation.judging import Judged, Scored, all_metrics, amounts, vendor_groups
from stages.lib.evaluation.metrics import log_loss, mean
from stages.lib.evaluation.posting import certified_name, postable_rate, target_name

Bounds = dict[str, dict[str, list[float] | None]]


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Compare two classifiers on the same rows by the exact test of McNemar (1947).

    Parameters
    ----------
    first, second : bool (n,)
        Whether each classifier is right.

    Returns
    -------
    only_first, only_second : int
        Rows that only one of them gets right.
    p : float
        Two-sided probability of a split at least as uneven if both were equally good.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    p = float(binomtest(only_first, differ).pvalue) if differ else 1.0
    return only_first, only_second, p


def bootstrap(
    statistics: Callable[[np.ndarray], np.ndarray],
    clusters: np.ndarray,
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Return the 95 % percentile interval (Efron 1979) of each statistic, float64 (2, m).

    Resamples in which a statistic is undefined are left out; if all are, its interval is NaN.

    Parameters
    ----------
    statistics : callable
        From row weights, float64 (n,), to m statistics; NaN where one is undefined.
    clusters : int64 (n,)
        The cluster of each row, ``0 .. c-1``. Whole clusters are drawn with replacement.
        ``arange(n)`` draws rows.
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


def intervals(scored: Scored, test: pa.Table, resamples: int, seed: int) -> Bounds:
    """Return ``{metric: {"rows": [low, high], "vendors": [low, high]}}``, 95 % each.

    The metrics are those of `all_metrics` and ``accuracy_gain``: the coder's accuracy less that
    of its rival on the same resampled rows. Thresholds and weights stay as fitted. Without vendors
    their interval is None.

    Parameters
    ----------
    scored : Scored
    test : Table
        The test rows.
    resamples, seed : int
        Of `bootstrap`.
    """
    amount, vendors = amounts(test), test[GROUP].to_pylist()
    gain = scored.coder.scores.correct.astype(float) - scored.rival.correct

    def numbers(weights=None):
        values = all_metrics(scored.coder, amount, len(scored.known), weights)
        return {**values, "accuracy_gain": mean(gain, weights)}

    clusters = {"rows": np.arange(len(amount))}
    if any(vendors):
        clusters["vendors"] = vendor_groups(vendors)
    bounds = {
        kind: bootstrap(lambda w: np.array([*numbers(w).values()]), cluster, resamples, seed)
        for kind, cluster in clusters.items()
    }
    return {
        name: {
            kind: bounds[kind][:, index].tolist() if kind in bounds else None
            for kind in ("rows", "vendors")
        }
        for index, name in enumerate(numbers())
    }


def compare(scored: Scored, other: Judged, amount: np.ndarray) -> dict[str, float]:
    """Return the metrics of a part or a baseline, and how it differs from the coder row by row."""
    only_coder, only_other, p = mcnemar(scored.coder.scores.correct, other.scores.correct)
    return {
        **all_metrics(other, amount, len(scored.known)),
        "postable95": postable_rate(other.scores, 0.95),
        "only_coder": only_coder,
        "only_other": only_other,
        "p": p,
    }


def contribution(scored: Scored, name: str) -> dict[str, float]:
    """Return what an expert adds to the others: the coder less the coder without it, by row."""
    whole, without = scored.coder.scores, scored.without[name]
    only_with, only_without, p = mcnemar(whole.correct, without.correct)
    return {
        "weight": scored.weights[name],
        "accuracy": mean(whole.correct) - mean(without.correct),
        "log_loss": log_loss(whole.label_probability) - log_loss(without.label_probability),
        "postable95": postable_rate(whole, 0.95) - postable_rate(without, 0.95),
        "only_with": only_with,
        "only_without": only_without,
        "p": p,
    }


def verdict(gain: dict[str, list[float] | None]) -> str:
    """Return what the 95 % intervals of the accuracy gain, by row and by vendor, say of the coder.

    ``better`` or ``worse`` than its rival, or ``unclear``: the gain may be chance.
    """
    bounds = [interval for interval in gain.values() if interval is not None]
    if all(low > 0 for low, _ in bounds):
        return "better"
    return "worse" if all(high <= 0 for _, high in bounds) else "unclear"


def posts(values: dict[str, float], bounds: Bounds, coder: Judged) -> list[dict]:
    """Return what each threshold, fitted on validation rows, gives on the test rows: the estimated
    ones, then those that are certain."""
    kinds = [
        (name(target), target, threshold)
        for name, thresholds in ((target_name, coder.thresholds), (certified_name, coder.certified))
        for target, threshold in thresholds.items()
    ]
    return [
        {
            "certified": name == certified_name(target),
            "target": target,
            "threshold": threshold,
            "rate": values[f"{name}_rate"],
            "precision": values[f"{name}_precision"],
            "bounds": bounds[f"{name}_precision"]["rows"],
        }
        for name, target, threshold in kinds
    ]


def measure(scored: Scored, test: pa.Table, resamples: int, seed: int) -> dict[str, object]:
    """Return all numbers of the report; parameters as in `intervals`.

    Returns
    -------
    dict
        ``values`` (the metrics of the coder and its accuracy gain), ``bounds`` (their intervals),
        ``postable95``, ``verdict``, ``parts`` and ``baselines`` (the metrics of each),
        ``contributions`` (what each part adds) and ``posts``.
    """
    amount = amounts(test)
    values = all_metrics(scored.coder, amount, len(scored.known))
    values["accuracy_gain"] = values["accuracy"] - mean(scored.rival.correct)
    bounds = intervals(scored, test, resamples, seed)
    return {
        "values": values,
        "bounds": bounds,
        "postable95": postable_rate(scored.coder.scores, 0.95),
        "verdict": verdict(bounds["accuracy_gain"]),
        "parts": {name: compare(scored, part, amount) for name, part in scored.parts.items()},
        "baselines": {name: compare(scored, b, amount) for name, b in scored.baselines.items()},
        "contributions": {name: contribution(scored, name) for name in scored.parts},
        "posts": posts(values, bounds, scored.coder),
    }
