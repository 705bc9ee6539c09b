"""McNemar's test and the bootstrap against brute force; the rest is tested with the stage."""

import warnings
from math import comb

import numpy as np
import pytest
import sklearn.metrics as reference

from stages.lib.evaluation import comparison
from stages.lib.evaluation.metrics import mean


@pytest.mark.parametrize("seed", range(4))
def test_mcnemar_counts_the_splits_at_least_as_uneven(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.random(300) < 0.7, generator.random(300) < 0.6
    only_first, only_second, p = comparison.mcnemar(first, second)
    table = reference.confusion_matrix(first, second)
    assert (only_second, only_first) == (table[0, 1], table[1, 0])
    rows = only_first + only_second
    as_uneven = [
        comb(rows, i) for i in range(rows + 1) if abs(2 * i - rows) >= abs(only_first - only_second)
    ]
    assert p == pytest.approx(sum(as_uneven) / 2**rows)


def test_mcnemar_of_equal_classifiers_is_one():
    right = np.array([True, False])
    assert comparison.mcnemar(right, right) == (0, 0, 1.0)


def test_bootstrap_is_seeded_and_near_the_normal_interval():
    correct = np.random.default_rng(0).random(2000) < 0.6

    def statistics(weights):
        return np.array([mean(correct, weights)])

    interval = comparison.bootstrap(statistics, np.arange(2000), 500, seed=1)
    again = comparison.bootstrap(statistics, np.arange(2000), 500, seed=1)
    np.testing.assert_array_equal(interval, again)
    error = 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 2000)
    np.testing.assert_allclose(
        interval[:, 0], [correct.mean() - error, correct.mean() + error], atol=0.004
    )


def test_bootstrap_over_vendors_draws_whole_vendors():
    clusters = np.repeat(np.arange(20), 50)
    correct = clusters % 2 == 0  # rows of a vendor are all right or all wrong
    seen = []

    def statistics(weights):
        seen.append(weights.reshape(20, 50))
        return np.array([mean(correct, weights)])

    low, high = comparison.bootstrap(statistics, clusters, 300, seed=1)[:, 0]
    assert all((weights == weights[:, :1]).all() for weights in seen)
    assert all(weights[:, 0].sum() == 20 for weights in seen)
    assert high - low > 0.35  # 20 coins, not 1000


def test_bootstrap_ignores_resamples_without_a_value():
    def statistics(weights):
        return np.array([np.nan if weights[0] else 1.0, np.nan])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounds = comparison.bootstrap(statistics, np.arange(5), 50, seed=0)
    assert bounds[:, 0].tolist() == [1.0, 1.0]
    assert np.isnan(bounds[:, 1]).all()


@pytest.mark.parametrize(
    ("gain", "words"),
    [([0.01, 0.2], "better"), ([-0.01, 0.2], "unclear"), ([-0.2, 0.0], "worse")],
)
def test_verdict(gain, words):
    assert comparison.verdict({"rows": gain, "vendors": None}) == words
    assert comparison.verdict({"rows": gain, "vendors": gain}) == words


def test_a_lead_that_whole_vendors_may_turn_round_is_unclear():
    assert comparison.verdict({"rows": [0.01, 0.02], "vendors": [-0.01, 0.03]}) == "unclear"
    assert comparison.verdict({"rows": [-0.02, -0.01], "vendors": [-0.03, 0.01]}) == "unclear"
