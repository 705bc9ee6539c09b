"""Whole groups are dealt, each side near its share and none empty."""

from itertools import product

import numpy as np
import pytest

from stages.lib.split.checks import TOLERANCE
from stages.lib.split.groups import deal_groups

SHARES = np.array([0.7, 0.1, 0.2])


def deal(size: np.ndarray, shares: np.ndarray, choose: np.random.Generator) -> np.ndarray:
    """Return the side of each group; its rows have labels by chance and are in any order."""
    groups = choose.permutation(np.repeat(np.arange(len(size)), size))
    label = choose.integers(0, 20, len(groups))
    side = deal_groups(groups, label, shares, choose)
    of_group = np.full(len(size), -1)
    of_group[groups] = side
    np.testing.assert_array_equal(side, of_group[groups])  # no group is on two sides
    return of_group


def rooms(side: np.ndarray, size: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return how many rows each side lacks."""
    return shares * size.sum() - np.bincount(side, weights=size, minlength=3)


SIZES = {
    "few groups": lambda choose: choose.integers(1, 60, choose.integers(3, 9)),
    "a dozen groups": lambda choose: choose.integers(1, 60, choose.integers(9, 31)),
    "equal groups": lambda choose: np.full(choose.integers(3, 60), choose.integers(1, 30)),
    "one dominating group": lambda choose: np.r_[
        choose.integers(200, 2000), choose.integers(1, 40, choose.integers(2, 40))
    ],
    "heavy tail": lambda choose: choose.zipf(1.4, choose.integers(50, 400)).clip(1, 1500),
    "few large, many small": lambda choose: np.r_[
        choose.integers(50, 500, choose.integers(2, 15)), np.ones(600, int)
    ],
}


@pytest.mark.parametrize("kind", SIZES)
def test_no_side_is_empty_or_over_its_share_by_more_than_the_largest_group(kind):
    choose = np.random.default_rng(len(kind))
    for _ in range(60):
        val, test = choose.uniform(0.03, 0.3, 2)
        shares, size = np.array([1 - val - test, val, test]), SIZES[kind](choose)
        side = deal(size, shares, choose)
        assert np.bincount(side, minlength=3).all()
        assert rooms(side, size, shares).min() >= -size.max() - 1e-6


@pytest.mark.parametrize("kind", ["few groups", "a dozen groups"])
def test_no_move_or_swap_would_bring_the_sides_nearer(kind):
    choose = np.random.default_rng(4)
    for _ in range(40):
        size = SIZES[kind](choose)
        if size.max() > 0.7 * size.sum():
            continue  # then the other sides share the shortage
        side = deal(size, SHARES, choose)
        reached = (rooms(side, size, SHARES) ** 2).sum()
        others = []
        for group, to in product(range(len(size)), range(3)):
            others.append(np.where(np.arange(len(size)) == group, to, side))
        for one, other in product(range(len(size)), repeat=2):
            swapped = side.copy()
            swapped[[one, other]] = side[[other, one]]
            others.append(swapped)
        for tried in others:
            if len(np.unique(tried)) == 3:
                assert (rooms(tried, size, SHARES) ** 2).sum() >= reached - 1e-6


def test_few_groups_are_dealt_nearly_as_well_as_by_any_assignment():
    choose, found, best = np.random.default_rng(4), [], []
    every = np.array([held for held in product(range(3), repeat=6) if len(set(held)) == 3])
    for _ in range(100):
        size = choose.integers(1, 40, 6)
        if size.max() > 0.7 * size.sum():
            continue
        found.append(np.abs(rooms(deal(size, SHARES, choose), size, SHARES)).sum() / size.sum())
        rows = np.stack([(every == side) @ size for side in range(3)], axis=1)
        best.append(np.abs(rows / size.sum() - SHARES).sum(axis=1).min())
    assert np.mean(found) < np.mean(best) + 0.01


def test_two_groups_are_on_two_sides():
    for seed in range(20):
        choose = np.random.default_rng(seed)
        assert len(set(deal(np.array([3, 9]), SHARES, choose).tolist())) == 2


def test_of_equal_groups_the_lot_decides():
    counts = np.zeros((10, 3))
    for seed in range(400):
        side = deal(np.full(10, 4), SHARES, np.random.default_rng(seed))
        counts[np.arange(10), side] += 1
    # Five standard deviations of a binomial draw.
    assert np.abs(counts / 400 - SHARES).max() < 5 * np.sqrt(0.7 * 0.3 / 400)


def test_a_dozen_groups_are_dealt_nearly_as_asked():
    groups = np.repeat(np.arange(13), [5] * 8 + [4] * 5)
    for seed in range(20):
        counts = np.bincount(
            deal_groups(groups, groups, SHARES, np.random.default_rng(seed)), minlength=3
        )
        assert np.abs(counts - SHARES * 60).sum() <= 4


def test_large_groups_leave_the_shares_to_small_ones():
    choose = np.random.default_rng(8)
    for largest in (1, 30, 500, 3000, 6900):
        sizes = np.r_[largest, choose.zipf(1.7, 3000).clip(0, 300)]
        groups = np.repeat(np.arange(len(sizes)), sizes)
        side = deal_groups(groups, choose.integers(0, 50, len(groups)), SHARES, choose)
        got = np.bincount(side) / len(groups)
        assert got == pytest.approx(SHARES, abs=TOLERANCE / 4)


def test_large_groups_are_on_each_side_in_turn():
    sizes = np.r_[[200] * 20, [1] * 6000]
    groups, counts = np.repeat(np.arange(len(sizes)), sizes), np.zeros(3)
    for seed in range(30):
        side = deal_groups(groups, groups, SHARES, np.random.default_rng(seed))
        counts += np.bincount(side[: 20 * 200 : 200], minlength=3)
    assert counts / 600 == pytest.approx(SHARES, abs=0.06)


@pytest.mark.parametrize("dominating", [0.75, 0.85, 0.9])
def test_a_dominating_group_leaves_validation_and_test_their_proportion(dominating):
    size = np.r_[round(1000 * dominating / (1 - dominating)), np.ones(1000, int)]
    side = deal(size, SHARES, np.random.default_rng(1))
    rows = np.bincount(side, weights=size, minlength=3)
    assert side[0] == 0 and rows[0] == size[0]
    assert rows[1] == pytest.approx(1000 / 3, abs=2) and rows[2] == pytest.approx(2000 / 3, abs=2)
