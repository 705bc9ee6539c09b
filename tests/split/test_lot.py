"""Lots give each account its share, and leave it whole where it is too large."""

import numpy as np

from stages.lib.split.lot import deal_by_lot, large_blocks
from stages.lib.split.sides import TEST, VAL


def rng(seed=0):
    return np.random.default_rng(seed)


def test_shares_of_a_large_account_are_met():
    label, groups = np.repeat([0, 7], [1000, 3000]), np.arange(4000)
    side = deal_by_lot(groups, label, 0.1, 0.2, rng())
    for account, rows in ((0, 1000), (7, 3000)):
        counts = np.bincount(side[label == account], minlength=3)
        assert abs(counts[TEST] - 0.2 * rows) <= 1
        assert abs(counts[VAL] - 0.1 * rows) <= 1


def test_accounts_of_one_row_are_dealt_by_lot():
    ids = np.arange(20_000)
    counts = np.bincount(deal_by_lot(ids, ids, 0.1, 0.2, rng()), minlength=3)
    # Four standard deviations of a binomial draw.
    assert abs(counts[TEST] - 4000) < 4 * np.sqrt(20_000 * 0.2 * 0.8)
    assert abs(counts[VAL] - 2000) < 4 * np.sqrt(20_000 * 0.1 * 0.9)


def test_large_blocks_leave_half_of_train_to_the_lot():
    same = np.repeat(np.arange(4), [50, 30, 20, 2])
    found = large_blocks(same, same, 10, 60)
    assert np.bincount(same[found], minlength=4).tolist() == [50, 0, 0, 0]
    found = large_blocks(same, same, 10, 45)
    assert np.bincount(same[found], minlength=4).tolist() == [0, 30, 0, 0]
    groups = np.where(same == 3, 2, same)
    assert np.bincount(same[large_blocks(same, groups, 10, 99)]).tolist() == [50, 30]
    found = large_blocks(same, groups, 15, 30)
    assert np.bincount(same[found], minlength=4).tolist() == [0, 30, 0, 0]
