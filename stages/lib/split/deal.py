"""Deal the rows to train, validation and test by the strategy of the parameters."""

import numpy as np

from stages.lib.contracts.names import SIDES
from stages.lib.params.split import SplitParams
from stages.lib.split.days import deal_by_time
from stages.lib.split.groups import deal_groups
from stages.lib.split.lot import large_blocks
from stages.lib.split.rows import Rows, linked_groups
from stages.lib.split.sides import RARE, SEEN_BEFORE, TRAIN, UNDATED, Dealt

# Identical rows train if they are more than this share of the smaller of validation and test, and
# more than this number: they alone would move a figure of that side.
MAX_BLOCK = 0.01
MIN_BLOCK_ROWS = 5


def deal_rows(rows: Rows, params: SplitParams) -> Dealt:
    """Return the side of every row."""
    aside = np.full(len(rows.label), -1, np.int8)
    times = np.bincount(rows.label, minlength=len(rows.label))
    aside[times[rows.label] < params.min_rows_per_account] = RARE
    if params.strategy == "time":
        return _deal_by_time(rows, aside, params)
    groups = rows.same if params.strategy == "stratified" else linked_groups(rows.same, rows.vendor)
    return _deal_by_lot(rows, groups, aside, params)


def _deal_by_time(rows: Rows, aside: np.ndarray, params: SplitParams) -> Dealt:
    aside = aside.copy()
    aside[(aside < 0) & np.isnat(rows.date)] = UNDATED
    side = deal_by_time(rows.date, rows.same, aside < 0, params.val_size, params.test_size)
    dealt = np.flatnonzero(side >= 0)
    earliest = np.full(len(side), len(SIDES), np.int8)
    np.minimum.at(earliest, rows.same[dealt], side[dealt])
    later = (side >= 0) & (side > earliest[rows.same])
    side[later], aside[later] = -1, SEEN_BEFORE
    return Dealt(side, aside, np.zeros(len(side), bool))


def _deal_by_lot(rows: Rows, groups: np.ndarray, aside: np.ndarray, params: SplitParams) -> Dealt:
    side, blocks = np.full(len(aside), -1, np.int8), np.zeros(len(aside), bool)
    among = np.flatnonzero(aside < 0)
    if not len(among):
        return Dealt(side, aside, blocks)
    val, test = params.val_size, params.test_size
    limit = max(MIN_BLOCK_ROWS, MAX_BLOCK * min(val, test) * len(among))
    most = (1 - val - test) / 2 * len(among)
    blocks[among] = large_blocks(rows.same[among], groups[among], limit, most)
    side[blocks] = TRAIN
    lot = among[~blocks[among]]
    more = len(among) / len(lot)
    shares = np.array([1 - more * (val + test), more * val, more * test])
    rng = np.random.default_rng(params.seed)
    side[lot] = deal_groups(groups[lot], rows.label[lot], shares, rng)
    return Dealt(side, aside, blocks)
