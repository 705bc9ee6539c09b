"""What a split must have, and remarks where it is not as asked for."""

import numpy as np

from stages.lib.contracts.feature import BASE
from stages.lib.contracts.names import SIDES
from stages.lib.contracts.split import side_path
from stages.lib.errors import UserError
from stages.lib.params.split import SplitParams
from stages.lib.split.likeness import remark_accounts
from stages.lib.split.rows import Rows, linked_groups
from stages.lib.split.sides import SEEN_BEFORE, TRAIN, UNDATED, Dealt, count_sides, share_sides

# A side that is further than this from its share gets a remark, in parts of the rows dealt.
TOLERANCE = 0.01


def check_possible(rows: Rows, params: SplitParams) -> None:
    """Raise UserError if the ledger lacks what the strategy splits by."""
    where = "params_train.yaml: split.strategy"
    if params.strategy == "group" and (rows.vendor < 0).all():
        raise UserError(
            "needs-column",
            where,
            f"group needs vendors, and {BASE} has none",
            "set feature.group_column, or choose stratified or time",
        )
    if params.strategy == "time" and np.isnat(rows.date).all():
        raise UserError(
            "needs-column",
            where,
            f"time needs dates, and {BASE} has none",
            "set feature.date_column, or choose stratified or group",
        )


def check_usable(rows: Rows, dealt: Dealt, params: SplitParams) -> None:
    """Raise UserError for a side without rows, or for training rows of a single account."""
    held = count_sides(dealt.side)
    if not held.all():
        empty = SIDES[int(held.argmin())]
        counts = ", ".join(f"{name} {n:,}" for name, n in zip(SIDES, held, strict=True))
        raise UserError(
            "empty-side",
            side_path(empty),
            f"{empty} has no rows ({counts}, set aside {(dealt.aside >= 0).sum():,}): "
            f"{len(dealt.side):,} rows are too few or too similar for test_size "
            f"{params.test_size}, val_size {params.val_size} and min_rows_per_account "
            f"{params.min_rows_per_account}; {largest_group(rows, dealt, params.strategy)}",
            "change these keys or the strategy of the section split, or add rows to the ledger",
        )
    train = dealt.side == TRAIN
    if len(np.unique(rows.label[train])) < 2:
        raise UserError(
            "one-account",
            side_path("train"),
            f"all {train.sum():,} training rows have the same {params.label_column}, so there is "
            "nothing to learn",
            "lower split.min_rows_per_account, or use a ledger with two accounts or more",
        )


def check_promises(rows: Rows, dealt: Dealt) -> None:
    """Raise RuntimeError if a row is lost or identical rows are on two sides."""
    side, aside = dealt.side, dealt.aside
    if ((side < 0) != (aside >= 0)).any():
        raise RuntimeError("rows were lost")
    last, first = np.full(len(side), -1, np.int8), np.full(len(side), len(SIDES), np.int8)
    there = np.flatnonzero(side >= 0)
    np.maximum.at(last, rows.same[there], side[there])
    np.minimum.at(first, rows.same[there], side[there])
    if (last > first)[rows.same[there]].any():
        raise RuntimeError("identical rows are on two sides")


def largest_group(rows: Rows, dealt: Dealt, strategy: str) -> str:
    """Return what the strategy keeps together, and how large the largest of it is."""
    if strategy == "stratified":
        kind, groups = "identical rows", rows.same
    elif strategy == "time":
        kind, groups = "the rows of a day", rows.date.astype(np.int64)
    else:
        kind = "the rows of a vendor (and of vendors with identical rows)"
        groups = linked_groups(rows.same, rows.vendor)
    among = dealt.aside < 0
    most = np.unique(groups[among], return_counts=True)[1].max() / among.sum() if among.any() else 0
    return f"strategy {strategy} keeps {kind} together, and the largest such group has {most:.1%}"


def find_remarks(rows: Rows, dealt: Dealt, params: SplitParams) -> list[str]:
    """Return one warning for each target that could not be met."""
    remarks = _remark_shares(rows, dealt, params)
    alone = (rows.vendor < 0).mean()
    if params.strategy == "group" and alone > 0.5:
        remarks.append(f"{alone:.1%} of the rows have no vendor and are dealt one by one")
    undated = (dealt.aside == UNDATED).mean()
    if params.strategy == "time" and undated > 0.5:
        remarks.append(f"{undated:.1%} of the rows have no date and are set aside")
    return remarks + remark_accounts(rows.label, dealt.side)


def _remark_shares(rows: Rows, dealt: Dealt, params: SplitParams) -> list[str]:
    val, test = params.val_size, params.test_size
    shares, wanted = share_sides(dealt.side), np.array([1 - val - test, val, test])
    one_row = 1 / max(1, (dealt.side >= 0).sum())
    if (np.abs(shares - wanted) <= max(TOLERANCE, one_row) + 1e-9).all():
        return []
    parts = ", ".join(
        f"{name} {got:.1%} (asked for {share:.1%})"
        for name, got, share in zip(SIDES, shares, wanted, strict=True)
    )
    remark = f"shares of the rows: {parts}; {largest_group(rows, dealt, params.strategy)}"
    if again := int((dealt.aside == SEEN_BEFORE).sum()):
        remark += f"; {again:,} rows identical to an earlier side were set aside"
    return [remark]
