"""The combination against naive arithmetic and an independent optimizer."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from stages.lib.evaluation import combination
from stages.lib.folds import folds_of

K = 5


def expert(label, lift, generator, spread=1.0):
    """Return log-probabilities that favour the right account by `lift`, in noise."""
    logits = generator.normal(size=(len(label), K)) * spread
    known = np.flatnonzero(label < K)
    logits[known, label[known]] += lift
    return combination.log_probabilities(logits)


def objective(weights, experts, label):
    """Return what `fit_weights` minimizes, in float64 and row by row."""
    total = 0.0
    for row in np.flatnonzero(label < K):
        logits = sum(w * e[row].astype(np.float64) for w, e in zip(weights, experts, strict=True))
        total += ((scipy.special.softmax(logits) - np.eye(K)[label[row]]) ** 2).sum()
    return total + combination.PRIOR * sum((w - 1 / len(experts)) ** 2 for w in weights)


@pytest.fixture
def rows():
    """Return three experts of different worth, and labels of which some have no column."""
    generator = np.random.default_rng(5)
    label = generator.integers(0, K + 1, 400)
    experts = [expert(label, lift, generator, spread) for lift, spread in ((1, 1), (2, 2), (3, 4))]
    return experts, label


def test_log_probabilities_are_those_of_the_softmax():
    logits = np.array([[1, 2, 3], [1000, 0, -1000]])
    found = combination.log_probabilities(logits)
    assert found.dtype == np.float32
    first = np.log(np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum())
    np.testing.assert_allclose(found, [first, [0, -1000, -2000]], rtol=1e-6)


@pytest.mark.parametrize("weights", [[0.5, 1.25, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
def test_combined_logits_are_the_weighted_sum(rows, weights):
    experts, _ = rows
    found = combination.combine(experts, np.array(weights))
    assert found.dtype == np.float32
    expected = sum(w * e.astype(np.float64) for w, e in zip(weights, experts, strict=True))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_expert_of_weight_zero_is_not_looked_at(rows):
    experts, _ = rows
    broken = np.full_like(experts[0], np.nan)
    found = combination.combine([broken, experts[1]], np.array([0.0, 1.0]))
    np.testing.assert_array_equal(found, experts[1])


def test_combining_leaves_the_experts_as_they_are(rows):
    experts, _ = rows
    before = [scores.copy() for scores in experts]
    combination.combine(experts, np.ones(3))
    np.testing.assert_array_equal(experts, before)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_those_of_an_optimizer_without_our_gradient(count, seed):
    generator = np.random.default_rng(seed)
    label = generator.integers(0, K + 1, 60)
    experts = [expert(label, lift, generator) for lift in (0.5, 1.5, 2.5)[:count]]
    found = combination.fit_weights(experts, label)
    expected = scipy.optimize.minimize(
        objective,
        np.ones(count),
        args=(experts, label),
        method="Nelder-Mead",
        bounds=[(0.01 if count == 1 else 0, 20)] * count,
        options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
    )
    assert expected.success
    np.testing.assert_allclose(found, expected.x, atol=2e-3)


def test_no_weights_of_a_grid_are_better(rows):
    experts, label = rows
    found = objective(combination.fit_weights(experts, label), experts, label)
    steps = np.linspace(0, 1.5, 6)
    for weights in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3):
        assert found <= objective(weights, experts, label) + 1e-3


def test_an_expert_of_pure_noise_gets_next_to_no_weight():
    generator = np.random.default_rng(0)
    label = generator.integers(0, K, 5000)
    useful, noise = expert(label, 2.0, generator), expert(label, 0.0, generator)
    first, second = combination.fit_weights([useful, noise], label)
    assert first > 1
    assert second < 0.05


def test_an_expert_that_only_makes_it_worse_gets_the_weight_zero(rows):
    experts, label = rows
    wrong = combination.log_probabilities(-experts[0])
    weights = combination.fit_weights([wrong, experts[1]], label)
    assert weights[0] == 0
    assert weights[1] > 0


def test_an_expert_alone_keeps_an_opinion_however_bad_it_is(rows):
    experts, label = rows
    wrong = combination.log_probabilities(-experts[2])
    assert combination.fit_weights([wrong], label).tolist() == [0.01]


def test_the_weight_of_an_expert_alone_undoes_a_temperature():
    generator = np.random.default_rng(1)
    label = generator.integers(0, K + 1, 5000)
    scores = expert(label, 2.0, generator)
    (weight,) = combination.fit_weights([scores], label)
    for temperature in (0.5, 2.0):
        heated = combination.log_probabilities(scores / temperature)
        (found,) = combination.fit_weights([heated], label)
        assert found == pytest.approx(weight * temperature, rel=0.01)


def test_two_copies_of_an_expert_share_its_weight(rows):
    experts, label = rows
    (alone,) = combination.fit_weights([experts[1]], label)
    first, second = combination.fit_weights([experts[1], experts[1]], label)
    assert first == pytest.approx(second, abs=1e-3)
    assert first + second == pytest.approx(alone, rel=0.02)


def test_rows_of_accounts_without_training_rows_are_left_out(rows):
    experts, label = rows
    known = label < K
    assert 0 < known.sum() < len(label)
    np.testing.assert_array_equal(
        combination.fit_weights(experts, label),
        combination.fit_weights([scores[known] for scores in experts], label[known]),
    )


def test_weights_are_fitted_on_rows_evenly_spaced_where_there_are_many(rows, monkeypatch):
    experts, label = rows
    known = np.flatnonzero(label < K)
    assert 300 < len(known) < 400
    chosen = known[[place for place in range(len(known)) if place % 4 == 0]]
    expected = combination.fit_weights([scores[chosen] for scores in experts], label[chosen])
    monkeypatch.setattr(combination, "MAX_FIT_ROWS", 100)
    np.testing.assert_array_equal(combination.fit_weights(experts, label), expected)
    monkeypatch.setattr(combination, "MAX_FIT_ROWS", len(known))
    assert (combination.fit_weights(experts, label) != expected).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_without_a_row_of_a_trained_account_the_weights_are_equal(rows, count):
    experts = rows[0][:count]
    equal = [1 / count] * count
    assert combination.fit_weights(experts, np.full(400, K)).tolist() == equal
    none = [scores[:0] for scores in experts]
    assert combination.fit_weights(none, np.zeros(0, np.int64)).tolist() == equal


def test_weights_of_experts_that_are_always_right_stay_within_their_bounds():
    label = np.arange(K).repeat(40_000)
    weak = combination.log_probabilities(np.eye(K)[label] * 0.02)
    assert combination.fit_weights([weak], label).tolist() == [combination.MAX_WEIGHT]


def test_a_row_is_weighed_by_all_other_folds_and_never_by_its_own_group(monkeypatch):
    generator = np.random.default_rng(2)
    groups = generator.integers(0, 30, 200)
    fold = folds_of(groups, 5)
    number = np.arange(200, dtype=np.float32)[:, None]  # the score of a row is its number
    label = generator.integers(0, 9, 200)
    fits = []

    def record(experts, labels):
        seen = experts[0][:, 0].astype(int)
        np.testing.assert_array_equal(labels, label[seen])
        fits.append(seen)
        return np.array([0.0, len(fits)])

    monkeypatch.setattr(combination, "fit_weights", record)
    logits = combination.cross_fitted([number, np.ones_like(number)], label, groups)
    assert len(fits) == 5
    for row, fit in enumerate(logits[:, 0].astype(int)):
        assert groups[row] not in groups[fits[fit - 1]]
        assert fits[fit - 1].tolist() == np.flatnonzero(fold != fold[row]).tolist()


def test_other_labels_of_a_vendor_change_the_logits_of_the_other_folds_only(rows):
    experts, label = rows
    groups = np.random.default_rng(3).integers(0, 40, len(label))
    before = combination.cross_fitted(experts, label, groups)
    changed = label.copy()
    changed[groups == 17] = (changed[groups == 17] + 1) % K
    after = combination.cross_fitted(experts, changed, groups)
    fold = folds_of(groups, 5)
    here = fold == fold[groups == 17][0]
    np.testing.assert_array_equal(after[here], before[here])
    assert (after[~here] != before[~here]).any(axis=1).all()


def test_one_vendor_alone_is_coded_with_equal_weights(rows):
    experts, label = rows
    found = combination.cross_fitted(experts, label, np.zeros(len(label), np.int64))
    np.testing.assert_array_equal(found, combination.combine(experts, np.full(3, 1 / 3)))
