"""Each strategy keeps its promise."""

import numpy as np
import pytest
from base_tables import rows_of, some_rows, split_params

from stages.lib.split.checks import TOLERANCE
from stages.lib.split.deal import deal_rows
from stages.lib.split.sides import RARE, SEEN_BEFORE, TRAIN, UNDATED, share_sides

SHARES = [0.7, 0.1, 0.2]


def test_rare_accounts_are_set_aside():
    rows = rows_of([*some_rows(["v"] * 40), ("2020-01-01", "v", "once", "0999")])
    dealt = deal_rows(rows, split_params(min_rows_per_account=2))
    assert np.flatnonzero(dealt.aside == RARE).tolist() == [40]
    assert (dealt.side[:40] >= 0).all()
    assert dealt.side[40] == -1


@pytest.mark.parametrize("strategy", ["stratified", "group", "time"])
def test_where_all_accounts_are_rare_no_row_is_dealt(strategy):
    rows = rows_of(some_rows(["v"] * 40))
    dealt = deal_rows(rows, split_params(strategy=strategy, min_rows_per_account=100))
    assert (dealt.side == -1).all()
    assert (dealt.aside == RARE).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_dominating_vendor_does_not_make_a_side_too_large(seed):
    rows = rows_of(some_rows(["big"] * 86 + [f"v{i % 25}" for i in range(114)]))
    dealt = deal_rows(rows, split_params(strategy="group", seed=seed))
    assert share_sides(dealt.side) == pytest.approx(SHARES, abs=0.0101)


@pytest.mark.parametrize("seed", range(5))
def test_large_blocks_of_identical_rows_train(seed):
    ledger = some_rows([f"v{i}" for i in range(1000)])
    ledger += [("2020-01-01", "toll", "road", "0101")] * 40 + [("2020-01-01", "a", "b", "0102")] * 5
    dealt = deal_rows(rows_of(ledger), split_params(seed=seed))
    assert np.flatnonzero(dealt.blocks).tolist() == list(range(1000, 1040))
    assert (dealt.side[1000:1040] == TRAIN).all()
    assert share_sides(dealt.side) == pytest.approx(SHARES, abs=0.011)


def test_undated_rows_are_set_aside_by_time():
    ledger = [(None if i % 3 else row[0], *row[1:]) for i, row in enumerate(some_rows(["v"] * 180))]
    dealt = deal_rows(rows_of(ledger), split_params(strategy="time"))
    assert np.flatnonzero(dealt.aside == UNDATED).tolist() == [i for i in range(180) if i % 3]


def test_time_cuts_allow_for_the_rows_that_come_again():
    choose, ledger = np.random.default_rng(6), []
    for i in range(3000):
        text = f"rent {choose.integers(40)}" if choose.random() < 0.4 else f"memo {i}"
        ledger.append((np.datetime64("2020-01-01") + i // 20, "v", text, f"010{i % 4}"))
    dealt = deal_rows(rows_of(ledger), split_params(strategy="time"))
    assert (dealt.aside == SEEN_BEFORE).sum() > 200
    assert share_sides(dealt.side) == pytest.approx(SHARES, abs=TOLERANCE)
