"""Certified thresholds: exact counts, and the promise itself in many draws."""

import numpy as np
import pytest
from scipy.stats import beta

from stages.lib.evaluation.certificate import Step, certificate_of, certified_threshold


def steps_of(*counts):
    return [Step(1 - place / 100, *count) for place, count in enumerate(counts, start=1)]


def lower_bound(rows, wrong):
    """Return the exact one-sided lower bound of a share (Clopper and Pearson 1934)."""
    return beta.ppf(0.05, rows - wrong, wrong + 1)


# 153 rows are the fewest that 3 wrong ones allow: so the sequence begins there.
@pytest.mark.parametrize(
    ("counts", "threshold"),
    [
        ([(152, 0)], None),
        ([(153, 3)], 0.99),
        ([(153, 4)], None),
        ([(153, 3), (336, 10)], 0.98),
        ([(153, 3), (336, 11)], 0.99),
        ([(153, 3), (336, 11), (1000, 11)], 0.99),
        ([(60, 20), (153, 3)], 0.98),
        ([], None),
    ],
)
def test_the_sequence_ends_at_the_first_threshold_that_is_not_certain(counts, threshold):
    assert certified_threshold(steps_of(*counts), 0.95) == threshold


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 0.99])
def test_a_certified_threshold_has_an_exact_lower_bound_above_its_target(target):
    generator = np.random.default_rng(5)
    confidence = generator.random(3000) ** 0.1
    steps = certificate_of(confidence, generator.random(3000) < confidence, np.arange(3000))
    found = certified_threshold(steps, target)
    if found is not None:
        (step,) = (step for step in steps if step.threshold == found)
        assert lower_bound(step.rows, step.wrong) >= target
    assert found is not None or target > 0.9


def test_steps_count_rows_of_equal_confidence_together():
    confidence = np.repeat([0.9, 0.8, 0.7], [300, 50, 250])
    correct = np.repeat([True, False, True], [300, 50, 250])
    steps = certificate_of(confidence, correct, np.arange(600))
    assert steps == [Step(0.9, 300, 0), Step(0.8, 350, 50), Step(0.7, 600, 50)]


def test_identical_rows_are_one_row_and_wrong_if_one_of_them_is():
    confidence = np.array([0.9, 0.9, 0.9, 0.8, 0.8])
    correct = np.array([True, False, True, True, True])
    steps = certificate_of(confidence, correct, np.array([7, 7, 7, 3, 5]))
    assert steps == [Step(0.9, 1, 1), Step(0.8, 3, 1)]


def test_a_block_of_identical_rows_does_not_certify_anything():
    correct = np.ones(5000, bool)
    steps = certificate_of(np.full(5000, 0.99), correct, np.zeros(5000, int))
    assert certified_threshold(steps, 0.95) is None


def test_without_rows_there_is_no_step():
    nothing = np.array([])
    assert certificate_of(nothing, nothing.astype(bool), nothing.astype(int)) == []


def test_the_promise_is_broken_in_at_most_one_of_twenty_draws():
    generator = np.random.default_rng(11)
    broken = 0
    for _ in range(400):
        # Precision falls with the confidence, and the probabilities promise a little too much.
        confidence = np.sort(generator.random(1000))
        correct = generator.random(1000) < 0.7 + 0.29 * confidence
        steps = certificate_of(confidence, correct, np.arange(1000))
        threshold = certified_threshold(steps, 0.95)
        # Above a threshold the confidence is uniform, so the mean precision is known.
        broken += threshold is not None and 0.7 + 0.29 * (1 + threshold) / 2 < 0.95
    assert broken <= 29  # more than 20 expected ones by two standard deviations
