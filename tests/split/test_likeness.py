"""Validation rows speak for test rows, or a remark says that they do not."""

import numpy as np
import pytest

from stages.lib.split.likeness import account_distance, remark_accounts, vendors_by_rows
from stages.lib.split.sides import TEST, TRAIN, VAL


def test_vendors_are_counted_by_their_rows_in_the_whole_ledger():
    vendor = np.repeat([0, 1, 3, 12, 111, -1], [1, 2, 9, 99, 100, 4])
    everywhere = np.ones(len(vendor), bool)
    assert vendors_by_rows(vendor, everywhere) == {"1+": 1, "2+": 2, "10+": 1, "100+": 1}
    here = np.isin(vendor, [3, 111, -1])
    assert vendors_by_rows(vendor, here) == {"1+": 0, "2+": 1, "10+": 0, "100+": 1}
    assert sum(vendors_by_rows(np.full(3, -1), np.ones(3, bool)).values()) == 0


def test_the_distance_of_accounts_is_the_share_of_rows_that_would_have_to_change():
    label = np.array([7, 7, 9, 9, 9, 5])
    side = np.array([VAL, VAL, VAL, TEST, TEST, TRAIN])
    distance, _ = account_distance(label, side)
    assert distance == pytest.approx(2 / 3)


def test_the_distance_by_chance_is_that_of_random_sides():
    choose = np.random.default_rng(0)
    label = choose.zipf(1.6, 4000).clip(1, 60)
    found = []
    for _ in range(40):
        side = choose.choice([TRAIN, VAL, TEST], p=[0.7, 0.1, 0.2], size=4000)
        distance, by_chance = account_distance(label, side)
        found.append((distance, by_chance))
    drawn, expected = np.mean(found, axis=0)
    assert drawn == pytest.approx(expected, rel=0.1)


def test_sides_with_other_accounts_get_a_remark():
    label, side = np.repeat([0, 1, 0, 1], 100), np.repeat([VAL, VAL, TEST, TEST], 100)
    assert remark_accounts(label, side) == []
    label = np.repeat([0, 1, 0, 1], [150, 50, 50, 150])
    (remark,) = remark_accounts(label, side)
    assert "50.0% of the rows" in remark
