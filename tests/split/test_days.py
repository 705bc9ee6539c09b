"""By time: the past trains, the future tests, and no day is on two sides."""

import numpy as np
import pytest

from stages.lib.split.days import deal_by_time
from stages.lib.split.sides import TEST, TRAIN, VAL


def test_time_cuts_come_nearest_to_the_shares():
    choose = np.random.default_rng(9)
    for _ in range(60):
        counts = choose.integers(1, 30, choose.integers(3, 9))
        date = np.repeat(np.datetime64("2020-01-01") + np.arange(len(counts)), counts)
        ids = np.arange(len(date))
        side = deal_by_time(date, ids, np.ones(len(date), bool), 0.1, 0.2)
        assert (np.diff(side) >= 0).all()
        edges = np.cumsum(counts) / counts.sum()
        best = min(
            abs(edges[i] - 0.7) + abs(edges[j] - 0.8)
            for j in range(len(counts) - 1)
            for i in range(j)
        )
        train, val, test = np.bincount(side, minlength=3) / counts.sum()
        assert min(train, val, test) > 0
        assert abs(train - 0.7) + abs(test - 0.2) == pytest.approx(best)


def test_a_day_is_on_one_side():
    date = np.array(["2020-01-01"] * 5 + ["2020-01-02"] * 3 + ["2020-01-03"] * 2, "M8[D]")
    side = deal_by_time(date, np.arange(10), np.ones(10, bool), 0.3, 0.2)
    assert side.tolist() == [TRAIN] * 5 + [VAL] * 3 + [TEST] * 2


def test_two_days_train():
    date = np.array(["2020-01-01", "2020-01-02"], "M8[D]")
    assert deal_by_time(date, np.arange(2), np.ones(2, bool), 0.3, 0.2).tolist() == [TRAIN, TRAIN]


def test_rows_that_are_not_dealt_have_no_side():
    date = np.array(["NaT", "2020-01-01", "2020-01-02", "2020-01-03"], "M8[D]")
    side = deal_by_time(date, np.arange(4), ~np.isnat(date), 0.3, 0.3)
    assert side.tolist() == [-1, TRAIN, VAL, TEST]
