"""Coverage, thresholds and what they post, against brute force."""

import numpy as np
import pytest

from stages.lib.evaluation import posting
from stages.lib.evaluation.metrics import RowScores


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
    curve = posting.precision_coverage(confidence, correct)
    found = posting.auto_post_threshold(curve, target)
    assert found == brute_force_threshold(confidence, correct, target, least)
    rate, precision = posting.auto_post(confidence, correct, found)
    if found is not None:
        assert precision >= target
        assert rate == (confidence >= found).mean()


@pytest.mark.parametrize(("rows", "threshold"), [(59, None), (60, 0.9)])
def test_a_threshold_needs_as_many_rows_as_could_show_it(rows, threshold):
    curve = posting.precision_coverage(np.full(rows, 0.9), np.ones(rows, bool))
    assert posting.auto_post_threshold(curve, 0.95) == threshold


def test_no_threshold_posts_nothing():
    confidence, correct = np.array([0.9, 0.9]), np.array([True, False])
    threshold = posting.auto_post_threshold(posting.precision_coverage(confidence, correct), 0.95)
    assert threshold is None
    rate, precision = posting.auto_post(confidence, correct, threshold)
    assert rate == 0.0 and np.isnan(precision)


def test_curve_ends_at_accuracy_with_every_row_posted():
    generator = np.random.default_rng(3)
    confidence = generator.random(400).round(2)
    correct = generator.random(400) < confidence
    curve = posting.precision_coverage(confidence, correct)
    assert curve.coverage[-1] == 1.0
    assert curve.precision[-1] == pytest.approx(correct.mean())
    assert (np.diff(curve.threshold) < 0).all()


def test_a_row_at_the_threshold_is_posted():
    assert posting.posted_rows(np.array([0.9, 0.8, 0.7]), 0.8).tolist() == [True, True, False]


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_postable_rate_equals_brute_force_with_ties(seed, target):
    generator = np.random.default_rng(seed)
    confidence = generator.integers(1, 21, 300) / 20
    label = (generator.random(300) < confidence).astype(np.int64)
    scores = RowScores(label, np.ones((300, 1), int), confidence[:, None], confidence, 1 - label)
    shares = [
        (confidence >= threshold).mean()
        for threshold in set(confidence)
        if label[confidence >= threshold].mean() >= target
    ]
    assert posting.postable_rate(scores, target) == max(shares, default=0.0)


def test_rows_that_are_all_wrong_cannot_be_posted():
    one = np.ones(4)
    scores = RowScores(np.zeros(4, int), np.ones((4, 1), int), one[:, None], one, np.ones(4, int))
    assert posting.postable_rate(scores, 0.95) == 0.0


@pytest.mark.parametrize(("target", "name"), [(0.95, "autopost95"), (0.99, "autopost99")])
def test_target_name(target, name):
    assert posting.target_name(target) == name
