"""Beta calibration against scikit-learn, another optimizer and naive arithmetic."""

import numpy as np
import pytest
import scipy.optimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from stages.lib.evaluation import metrics
from stages.lib.evaluation.calibration import PRIOR, UNCHANGED, calibrate, fit_confidence
from stages.lib.evaluation.metrics import RowScores, summarise_scores

CASES = [UNCHANGED, (0.3, 0.6, -0.4), (2.0, 1.5, 1.0), (0.0, 0.0, -3.0), (0.0, 1.0, 5.0)]


def sample(rows, seed=0, power=1.0):
    """Return confidences, and whether the row is right: so often as its confidence says where
    `power` is 1, and closer to a half where it is lower."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.05, 0.999, rows)
    return confidence, generator.random(rows) < expit(power * logit(confidence))


def objective(abc, confidence, correct):
    """Return what `fit_confidence` minimizes."""
    a, b, c = abc
    right = expit(a * np.log(confidence) - b * np.log(1 - confidence) + c)
    loss = -np.log(np.where(correct, right, 1 - right)).sum()
    return loss + PRIOR * sum((x - y) ** 2 for x, y in zip(abc, UNCHANGED, strict=True))


def alone(confidence, correct):
    """Return the `RowScores` of rows of account 1, of which the first account only is known."""
    label = correct.astype(np.int64)
    top = np.ones((len(label), 1), np.int64)
    own = np.where(correct, confidence, 0.0)
    return RowScores(label, top, confidence[:, None], own, 1 - label)


def calibration_error(confidence, correct):
    return metrics.expected_calibration_error(metrics.reliability(confidence, correct))


@pytest.fixture
def rows():
    """Return the scores of six accounts; two more have no training rows. Some rows are certain, and
    some have a tie."""
    generator = np.random.default_rng(4)
    logits = 2 * generator.normal(size=(500, 6)).round(1)
    logits[:10, 3], logits[10:20] = 1000, 0
    return summarise_scores(logits.astype(np.float32), generator.integers(0, 8, 500), 1.0)


@pytest.mark.parametrize("rows", [2, 30, 400])
@pytest.mark.parametrize("power", [0.4, 1.0, 2.5])
def test_the_fit_equals_that_of_an_optimizer_without_our_gradient(rows, power):
    data = sample(rows, rows, power)
    expected = scipy.optimize.minimize(
        objective,
        UNCHANGED,
        args=data,
        method="Nelder-Mead",
        bounds=[(0, None), (0, None), (None, None)],
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 5000},
    )
    assert expected.success
    found = fit_confidence(*data)
    assert objective(found, *data) <= expected.fun + 1e-5
    np.testing.assert_allclose(found, expected.x, atol=5e-3)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_of_many_rows_the_fit_is_a_logistic_regression(power):
    confidence, correct = sample(20_000, 1, power)
    terms = np.column_stack([np.log(confidence), -np.log(1 - confidence)])
    model = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000).fit(terms, correct)
    expected = [*model.coef_[0], model.intercept_[0]]
    np.testing.assert_allclose(fit_confidence(confidence, correct), expected, atol=0.1)


def test_rows_that_are_the_less_right_the_surer_they_are_turn_no_order_round():
    confidence, correct = sample(2000, 2)
    a, b, c = fit_confidence(confidence, ~correct)
    assert (a, b) == (0, 0)
    assert expit(c) == pytest.approx((~correct).mean(), abs=0.01)


def test_no_rows_change_nothing():
    assert fit_confidence(np.zeros(0), np.zeros(0, bool)) == UNCHANGED


@pytest.mark.parametrize("rows", [1, 3, 10])
@pytest.mark.parametrize("right", [True, False])
def test_a_few_rows_move_the_fit_no_further_than_their_loss(rows, right):
    confidence, correct = np.full(rows, 0.8), np.full(rows, right)
    away = np.subtract(fit_confidence(confidence, correct), UNCHANGED)
    assert 0 < PRIOR * away @ away < objective(UNCHANGED, confidence, correct)
    (new,) = expit(np.array([[np.log(0.8), -np.log(0.2), 1]]) @ (away + UNCHANGED))
    assert (new > 0.8) == right


def test_a_calibrated_sample_stays_nearly_unchanged():
    confidence, correct = sample(20_000)
    found = calibrate(alone(confidence, correct), fit_confidence(confidence, correct))
    np.testing.assert_allclose(found.confidence, confidence, atol=0.02)


@pytest.mark.parametrize("power", [0.3, 0.5, 3.0])
def test_other_rows_of_an_over_or_under_confident_coder_become_calibrated(power):
    abc = fit_confidence(*sample(5000, 1, power))
    confidence, correct = sample(50_000, 2, power)
    found = calibrate(alone(confidence, correct), abc)
    assert calibration_error(confidence, correct) > 0.08
    assert calibration_error(found.confidence, correct) < 0.03


@pytest.mark.parametrize("abc", CASES)
def test_the_order_of_the_rows_is_kept(abc):
    confidence = np.linspace(0, 1, 1001)
    found = calibrate(alone(confidence, np.ones(1001, bool)), abc).confidence
    assert (np.diff(found) >= 0).all()
    if abc[0] and abc[1]:
        assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("abc", CASES)
def test_calibrated_rows_equal_naive_arithmetic(rows, abc):
    found = calibrate(rows, abc)
    a, b, c = abc
    for i, (first, *others) in enumerate(rows.probability.tolist()):
        if first > 1 - 1e-6:
            continue
        new = expit(a * np.log(first) - b * np.log(1 - first) + c)
        if others[0] / (1 - first) * (1 - new) > new:  # the second account would become the first
            new = others[0] / (1 - first + others[0])
        factor = (1 - new) / (1 - first)
        expected = [new, *(factor * other for other in others)]
        np.testing.assert_allclose(found.probability[i], expected, rtol=1e-9)
        own = new if rows.label_rank[i] == 0 else factor * rows.label_probability[i]
        assert found.label_probability[i] == pytest.approx(own)


@pytest.mark.parametrize("abc", CASES)
def test_probabilities_of_a_row_stay_in_order_and_add_up_to_at_most_one(rows, abc):
    found = calibrate(rows, abc)
    assert np.isfinite(found.probability).all() and (found.probability >= 0).all()
    assert (np.diff(found.probability, axis=1) <= 1e-12).all()
    assert (found.probability.sum(axis=1) <= 1 + 1e-12).all()
    for name in ("label", "top", "label_rank"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))


@pytest.mark.parametrize("abc", CASES)
def test_the_ledgers_account_has_the_probability_of_its_rank(rows, abc):
    found = calibrate(rows, abc)
    listed = np.flatnonzero(rows.label_rank < rows.top.shape[1])
    assert set(rows.label_rank[listed]) == {0, 1, 2}
    by_rank = found.probability[listed, rows.label_rank[listed]]
    np.testing.assert_allclose(found.label_probability[listed], by_rank, rtol=1e-12)
    assert (found.label_probability[rows.label >= 6] == 0).all()
    unlisted = found.probability[:, -1] + 1e-12
    assert (np.delete(found.label_probability <= unlisted, listed)).all()


def test_probabilities_of_all_accounts_still_add_up_to_one():
    logits = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    scores = summarise_scores(logits, np.zeros(200, np.int64), 1.0)
    for abc in CASES:
        np.testing.assert_allclose(calibrate(scores, abc).probability.sum(axis=1), 1, rtol=1e-9)


def test_what_changes_nothing_changes_nothing(rows):
    found = calibrate(rows, UNCHANGED)
    np.testing.assert_allclose(found.probability, rows.probability, atol=2e-6)
    np.testing.assert_allclose(found.label_probability, rows.label_probability, atol=2e-6)


@pytest.mark.parametrize("right", [True, False])
def test_probabilities_of_zero_and_one_are_finite(right):
    confidence, correct = np.array([0.0, 1.0] * 20), np.full(40, right)
    abc = fit_confidence(confidence, correct)
    assert np.isfinite(abc).all()
    found = calibrate(alone(confidence, correct), abc)
    assert ((found.probability >= 0) & (found.probability <= 1)).all()
    assert np.isfinite(found.label_probability).all()


def test_calibrating_leaves_the_scores_as_they_are(rows):
    before = rows.probability.copy(), rows.label_probability.copy()
    calibrate(rows, (0.3, 0.6, -0.4))
    np.testing.assert_array_equal(before[0], rows.probability)
    np.testing.assert_array_equal(before[1], rows.label_probability)
