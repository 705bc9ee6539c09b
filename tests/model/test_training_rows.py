"""The language model's share of the training rows keeps every account near its own share."""

import numpy as np
import pytest

from stages.lib.model.training_rows import stratified_subset


def rng(seed=0):
    return np.random.default_rng(seed)


def test_subset_keeps_every_account_and_its_share():
    label = np.repeat([0, 1, 2, 3], [8000, 1900, 99, 1])
    keep = stratified_subset(label, 1000, rng())
    counts = np.bincount(label[keep])
    assert keep.sum() == 1000
    assert counts.tolist() == pytest.approx([800, 190, 10, 1], abs=2)
    assert counts.min() >= 1
    assert label[stratified_subset(label, 2, rng())].tolist() == [0, 1]
