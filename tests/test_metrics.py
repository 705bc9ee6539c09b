"""The metrics against scikit-learn, scipy and brute force, ties and absent accounts included."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn.metrics as reference

from stages.lib.errors import UserError
from stages.lib.evaluation import metrics

K = 7
CLASSES = K + 2  # two accounts stand in the test rows only


@pytest.fixture
def rows():
    """Return random logits with ties, and labels of which some were never trained."""
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(400, K)).round(1).astype(np.float32)
    label = generator.integers(0, CLASSES, 400)
    label[label == 2] = 3  # account 2 is predicted but never held
    return logits, label


def summarise(rows, temperature=1.0):
    return metrics.summarise_scores(*rows, temperature)


def test_encode_accounts_gives_untrained_accounts_integers_after_the_trained_ones():
    codes, known = metrics.encode_accounts(["0200", "9", "0100", "5", "9"], ["0200", "0100"])
    assert known == ["0200", "0100", "5", "9"]
    assert codes.tolist() == [0, 3, 1, 2, 3]


def test_softmax_equals_scipy_and_bears_large_scores():
    scores = np.array([[1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(metrics.softmax(scores), scipy.special.softmax(scores, axis=1))


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
    with pytest.raises(UserError, match="not a finite number"):
        metrics.summarise_scores(np.array([[1.0, np.nan]]), np.array([0]), 1.0)


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


def test_accounts_that_neither_side_names_are_left_out_of_macro_f1():
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


def brute_force_threshold(confidence, correct, target, least):
    best = None
    for threshold in sorted(set(confidence), reverse=True):
        posted = confidence >= threshold
        if correct[posted].mean() >= target and posted.sum() >= least:
            best = threshold
    return best


@pytest.mark.parametrize(
    ("target", "least"), [(0.5, 6), (0.8, 15), (0.95, 60), (0.99, 300), (1.0, np.inf)]
)
@pytest.mark.parametrize("seed", range(5))
def test_auto_post_threshold_equals_brute_force_with_ties(seed, target, least):
    generator = np.random.default_rng(seed)
    confidence = generator.integers(1, 21, 2000) / 20
    correct = generator.random(2000) < confidence
    curve = metrics.precision_coverage(confidence, correct)
    found = metrics.auto_post_threshold(curve, target)
    assert found == brute_force_threshold(confidence, correct, target, least)
    rate, precision = metrics.auto_post(confidence, correct, found)
    if found is not None:
        assert precision >= target
        assert rate == (confidence >= found).mean()


@pytest.mark.parametrize(("rows", "threshold"), [(59, None), (60, 0.9)])
def test_a_threshold_needs_as_many_rows_as_could_show_it(rows, threshold):
    curve = metrics.precision_coverage(np.full(rows, 0.9), np.ones(rows, bool))
    assert metrics.auto_post_threshold(curve, 0.95) == threshold


def test_no_threshold_posts_nothing():
    confidence, correct = np.array([0.9, 0.9]), np.array([True, False])
    threshold = metrics.auto_post_threshold(metrics.precision_coverage(confidence, correct), 0.95)
    assert threshold is None
    rate, precision = metrics.auto_post(confidence, correct, threshold)
    assert rate == 0.0 and np.isnan(precision)


def test_curve_ends_at_accuracy_with_every_row_posted(rows):
    scores = summarise(rows)
    curve = metrics.precision_coverage(scores.confidence, scores.correct)
    assert curve.coverage[-1] == 1.0
    assert curve.precision[-1] == pytest.approx(scores.correct.mean())
    assert (np.diff(curve.threshold) < 0).all()


def test_amount_accuracy_weighs_by_money_and_passes_over_missing_amounts():
    correct = np.array([True, False, True, True])
    amount = np.array([-30.0, 10.0, 0.0, np.nan])
    assert metrics.amount_accuracy(correct, amount) == 0.75
    assert np.isnan(metrics.amount_accuracy(correct, np.full(4, np.nan)))


@pytest.mark.parametrize("seed", range(4))
def test_mcnemar_equals_the_binomial_test(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.random(300) < 0.7, generator.random(300) < 0.6
    only_first, only_second, p = metrics.mcnemar(first, second)
    table = reference.confusion_matrix(first, second)
    assert (only_second, only_first) == (table[0, 1], table[1, 0])
    expected = scipy.stats.binomtest(only_first, only_first + only_second).pvalue
    assert p == pytest.approx(expected)


def test_mcnemar_of_equal_classifiers_is_one():
    right = np.array([True, False])
    assert metrics.mcnemar(right, right) == (0, 0, 1.0)


def test_bootstrap_is_seeded_and_near_the_normal_interval():
    correct = np.random.default_rng(0).random(2000) < 0.6

    def statistics(weights):
        return np.array([metrics.mean(correct, weights)])

    interval = metrics.bootstrap(statistics, np.arange(2000), 500, seed=1)
    again = metrics.bootstrap(statistics, np.arange(2000), 500, seed=1)
    np.testing.assert_array_equal(interval, again)
    error = 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 2000)
    np.testing.assert_allclose(
        interval[:, 0], [correct.mean() - error, correct.mean() + error], atol=0.004
    )


def test_bootstrap_over_vendors_draws_whole_vendors():
    clusters = np.repeat(np.arange(20), 50)
    correct = clusters % 2 == 0  # rows of a vendor stand or fall together
    seen = []

    def statistics(weights):
        seen.append(weights.reshape(20, 50))
        return np.array([metrics.mean(correct, weights)])

    low, high = metrics.bootstrap(statistics, clusters, 300, seed=1)[:, 0]
    assert all((weights == weights[:, :1]).all() for weights in seen)
    assert all(weights[:, 0].sum() == 20 for weights in seen)
    assert high - low > 0.35  # 20 coins, not 1000


def test_bootstrap_passes_over_resamples_without_a_value():
    def statistics(weights):
        return np.array([np.nan if weights[0] else 1.0, np.nan])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounds = metrics.bootstrap(statistics, np.arange(5), 50, seed=0)
    assert bounds[:, 0].tolist() == [1.0, 1.0]
    assert np.isnan(bounds[:, 1]).all()
