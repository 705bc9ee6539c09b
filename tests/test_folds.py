"""Rows are dealt to folds by whole groups."""

import numpy as np
import pytest

from stages.lib.folds import folds_of


@pytest.mark.parametrize("seed", range(5))
def test_folds_keep_groups_whole_and_are_of_near_equal_size(seed):
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, 200, 1000) ** 2  # numbers need not be dense
    fold = folds_of(groups, 5)
    assert set(fold) == set(range(5))
    for group in set(groups):
        assert len(set(fold[groups == group])) == 1
    largest = np.unique(groups, return_counts=True)[1].max()
    assert np.ptp(np.bincount(fold)) <= largest


def test_the_largest_groups_are_dealt_first():
    groups = np.array([7, 7, 7, 3, 3, 9, 1, 1])
    assert folds_of(groups, 2).tolist() == [0, 0, 0, 1, 1, 0, 1, 1]


def test_fewer_groups_than_folds_leave_folds_empty():
    assert folds_of(np.array([4, 4, 8]), 5).tolist() == [0, 0, 1]
