"""The metrics against scikit-learn, scipy and brute force, with ties and absent accounts."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sklearn.metrics as reference
from refusals import refused

from stages.lib.evaluation import metrics

K = 7
CLASSES = K + 2  # two accounts have no training rows


@pytest.fixture
def rows():
    """Return random logits with ties, and labels of which some were without training rows."""
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(400, K)).round(1).astype(np.float32)
    label = generator.integers(0, CLASSES, 400)
    label[label == 2] = 3  # account 2 is predicted but in no row
    return logits, label


def summarise(rows, temperature=1.0):
    return metrics.summarise_scores(*rows, temperature)


def test_encode_accounts_gives_untrained_accounts_integers_after_the_trained_ones():
    codes, known = metrics.encode_accounts(["0200", "9", "0100", "5", "9"], ["0200", "0100"])
    assert known == ["0200", "0100", "5", "9"]
    assert codes.tolist() == [0, 3, 1, 2, 3]


def test_summary_equals_brute_force(rows, monkeypatch):
    monkeypatch.setattr(metrics, "ROWS_AT_ONCE", 97)  # several parts, the last one shorter
    logits, label = rows
    scores = summarise(rows, 2.0)
    for i in range(len(label)):
        chance = scipy.special.softmax(logits[i].astype(float) / 2.0)
        order = sorted(range(K), key=lambda account: (-logits[i, account], account))
        assert scores.top[i].tolist() == order[:3]
        np.testing.assert_allclose(scores.probability[i], chance[order[:3]])
        trained = label[i] < K
        assert scores.label_rank[i] == (order.index(label[i]) if trained else K)
        assert scores.label_probability[i] == pytest.approx(chance[label[i]] if trained else 0)


def test_first_account_wins_a_tie():
    scores = metrics.summarise_scores(np.array([[1.0, 2.0, 2.0, 2.0, 2.0]]), np.array([4]), 1.0)
    assert scores.top.tolist() == [[1, 2, 3]]
    assert scores.label_rank.tolist() == [3]  # so it is not among the top three


def test_fewer_accounts_than_the_top():
    scores = metrics.summarise_scores(np.array([[1.0, 2.0]]), np.array([0]), 1.0)
    assert scores.top.tolist() == [[1, 0]]


def test_a_score_that_is_not_finite_is_refused():
    with refused("score-not-finite", "row 1"):
        metrics.summarise_scores(np.array([[1.0, 2.0], [1.0, np.nan]]), np.array([0, 0]), 1.0)


def test_large_scores_are_no_overflow():
    scores = metrics.summarise_scores(np.array([[1000.0, 999.0, -1000.0]]), np.array([0]), 1.0)
    np.testing.assert_allclose(scores.probability[0], [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0])


def test_headline_equals_scikit_learn(rows):
    logits, label = rows
    scores = summarise(rows)
    found = metrics.headline(scores, CLASSES)
    predicted = scores.predicted
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(label, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average in ("macro", "weighted"):
            expected = reference.f1_score(label, predicted, average=average)
            assert found[f"{average}_f1"] == pytest.approx(expected)
    chance = np.zeros((len(label), CLASSES))
    chance[:, :K] = scipy.special.softmax(logits.astype(float), axis=1)
    floored = np.maximum(chance[np.arange(len(label)), label], 1e-6)
    assert found["log_loss"] == pytest.approx(-np.log(floored).mean())


def test_log_loss_equals_scikit_learn_when_every_account_was_trained(rows):
    logits, label = rows
    trained = label < K
    scores = metrics.summarise_scores(logits[trained], label[trained], 1.0)
    expected = reference.log_loss(
        label[trained],
        scipy.special.softmax(logits[trained].astype(float), axis=1),
        labels=range(K),
    )
    assert metrics.log_loss(scores.label_probability) == pytest.approx(expected)


def test_log_loss_of_an_untrained_account_is_that_of_one_in_a_million():
    assert metrics.log_loss(np.array([0.0])) == pytest.approx(np.log(1e6))


def test_top3_accuracy_equals_scikit_learn_without_ties():
    generator = np.random.default_rng(0)
    logits, label = generator.normal(size=(300, K)), generator.integers(0, K, 300)
    found = metrics.headline(metrics.summarise_scores(logits, label, 1.0), K)["top3_accuracy"]
    expected = reference.top_k_accuracy_score(label, logits, k=3, labels=range(K))
    assert found == pytest.approx(expected)


def test_per_account_scores_equal_scikit_learn(rows):
    scores = summarise(rows)
    found = metrics.account_scores(scores.label, scores.predicted, CLASSES)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        scores.label, scores.predicted, labels=range(CLASSES), zero_division=0
    )
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    assert found.support.tolist() == support.tolist()
    assert found.support[2] == 0 and found.predictions[2] > 0


def test_accounts_neither_in_the_rows_nor_predicted_are_left_out_of_macro_f1():
    label, predicted = np.array([0, 0, 5]), np.array([0, 0, 0])
    found = metrics.macro_f1(metrics.account_scores(label, predicted, 9))
    assert found == pytest.approx((0.8 + 0.0) / 2)


def test_weights_count_as_repeated_rows(rows):
    logits, label = rows
    weights = np.random.default_rng(1).integers(0, 4, len(label))
    repeated = np.repeat(np.arange(len(label)), weights)
    found = metrics.headline(summarise(rows), CLASSES, weights.astype(float))
    expected = metrics.headline(
        metrics.summarise_scores(logits[repeated], label[repeated], 1.0), CLASSES
    )
    assert found == pytest.approx(expected)


def test_calibration_error_equals_brute_force(rows):
    scores = summarise(rows)
    expected = 0.0
    for low in range(15):
        inside = (scores.confidence > low / 15) & (scores.confidence <= (low + 1) / 15)
        if inside.any():
            gap = scores.confidence[inside].mean() - scores.correct[inside].mean()
            expected += abs(gap) * inside.mean()
    bins = metrics.reliability(scores.confidence, scores.correct)
    assert metrics.expected_calibration_error(bins) == pytest.approx(expected)
    assert bins.rows.sum() == len(scores.label)


def test_confidences_zero_and_one_fall_into_the_outer_bins():
    bins = metrics.reliability(np.array([0.0, 1.0, 1.0]), np.array([False, True, False]))
    assert bins.rows.tolist() == [1, 2]
    assert bins.accuracy.tolist() == [0.0, 0.5]


def test_temperature_equals_the_minimum_that_scipy_finds(rows):
    logits, label = rows
    logits = logits.copy()
    trained = label < K
    logits[np.flatnonzero(trained), label[trained]] += 1.5

    def loss(log_temperature):
        chance = scipy.special.log_softmax(logits[trained] / np.exp(log_temperature), axis=1)
        return -chance[np.arange(trained.sum()), label[trained]].mean()

    expected = np.exp(scipy.optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").x)
    assert metrics.fit_temperature(logits, label) == pytest.approx(expected, rel=1e-4)


def test_temperature_of_scores_that_are_always_right_is_the_smallest():
    assert metrics.fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.01)


def test_temperature_without_a_trained_account_is_one():
    assert metrics.fit_temperature(np.zeros((2, 3)), np.array([3, 4])) == 1.0


def test_amount_accuracy_weighs_by_money_and_ignores_missing_amounts():
    correct = np.array([True, False, True, True])
    amount = np.array([-30.0, 10.0, 0.0, np.nan])
    assert metrics.amount_accuracy(correct, amount) == 0.75
    assert np.isnan(metrics.amount_accuracy(correct, np.full(4, np.nan)))
