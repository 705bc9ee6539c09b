"""Deal the rows of the base table to train, validation and test.

Reads ``data/feature/base.parquet``. Writes ``data/split/train.parquet``, ``val.parquet``,
``test.parquet`` (rows of the base table, in its order), ``set_aside.parquet`` (``row_id`` and the
reason of every other row) and ``metrics/split/report.json``. Parameters: ``split`` and
``feature.fields``.

Rows whose visible fields are all equal are one transaction to the model: they never stand on two
sides, and where they are so many that they alone would move a figure of validation or test, they
train. Accounts with fewer than ``min_rows_per_account`` rows are set aside. All others are dealt by
lot, so a rare account may stand in the test alone; its rows count as wrong, as they would in use.
A side that cannot come near its share, as whole vendors or days are not parted, is reported and
printed.
"""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from stages.lib.errors import UserError
from stages.lib.parallel import cores, map_ordered
from stages.lib.params.files import load_params
from stages.lib.params.split import SplitParams
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.tables import (
    number_groups,
    open_table,
    read_group,
    row_digests,
    table_writers,
    write_json,
)

IN = Path("data/feature/base.parquet")
OUT = Path("data/split")
REPORT = Path("metrics/split/report.json")

SIDES = ("train", "val", "test")
ASIDE = ("rare account", "no date", "identical to an earlier side", "beyond max_train_rows")
TRAIN, VAL, TEST = range(3)
# How far a side may be from its share, in parts of the rows dealt, before it is worth a word.
TOLERANCE = 0.01
# Groups above this part of the smallest side are placed before all others; for so many of them all
# ways to place them are tried.
LARGE_GROUP = 0.1
TRIED_GROUPS = 8
CUT_ROUNDS = 20
# Identical rows train if they are more than this share of the smaller of validation and test, and
# more than this number.
MAX_BLOCK = 0.01
MIN_BLOCK_ROWS = 5


class Rows(NamedTuple):
    """What the split needs to know of each row, as arrays of shape (rows,).

    `label` and `vendor` are codes (vendor -1: none), `same` and `alike` the position of the first
    row with the same visible fields, exactly or without digits and punctuation; `date` is in days
    (NaT: none).
    """

    label: np.ndarray
    vendor: np.ndarray
    same: np.ndarray
    alike: np.ndarray
    date: np.ndarray


def scan_group(task: tuple[int, str, list[str]]) -> tuple[np.ndarray, ...]:
    """Return for one row group: digests of label, vendor, visible fields, their letters; dates."""
    group, label, fields = task
    rows = read_group(IN, group, [*dict.fromkeys([*fields, label, "group", "date"])])
    letters = pa.table(
        {
            name: pc.replace_substring_regex(rows[name], r"[^\pL]+", "")
            for name in fields
            if name != "amount_bucket"
        }
        or {fields[0]: rows[fields[0]]}
    )
    same = row_digests(rows, fields)
    alike = row_digests(letters, letters.column_names)
    # Rows without a letter have nothing in common but that.
    mute = np.all([pc.equal(column, "").to_numpy() for column in letters.columns], axis=0)
    alike = np.where(mute[:, None], same, alike)
    return (
        row_digests(rows, [label]),
        row_digests(rows, ["group"]),
        pc.equal(rows["group"], "").to_numpy(),
        same,
        alike,
        rows["date"].to_numpy().astype("datetime64[D]"),
    )


def read_rows(label: str, fields: list[str]) -> Rows:
    """Return what the split needs to know of every row of the base table."""
    with open_table(IN) as file:
        groups, names = file.num_row_groups, file.schema_arrow.names
    needed = dict.fromkeys((label, *fields, "row_id", "date", "group"))
    if missing := [name for name in needed if name not in names]:
        raise UserError(
            f"{IN}: has no column {', '.join(missing)}; split.label_column and feature.fields "
            f"name columns of the base table: {', '.join(names)}"
        )
    tasks = [(group, label, fields) for group in range(groups)]
    parts = map_ordered(scan_group, tasks, min(cores(), groups))
    scanned = [part for _, part in tqdm(parts, total=groups, desc="split", mininterval=1)]
    columns = [list(column) for column in zip(*scanned, strict=True)]
    del scanned

    def whole() -> np.ndarray:
        # Digests are large: each list is freed before the next one is joined.
        return np.concatenate(columns.pop(0))

    labels, vendor = number_groups(whole()), number_groups(whole())
    vendor[whole()] = -1
    return Rows(labels, vendor, number_groups(whole()), number_groups(whole()), whole())


def linked_groups(same: np.ndarray, vendor: np.ndarray) -> np.ndarray:
    """Return one number a row, equal for rows that a chain of same fields or vendors links.

    Parameters
    ----------
    same, vendor : np.ndarray of int64, shape (rows,)
        Positions of first rows; vendor -1 links nothing.
    """
    linked, known = same.copy(), vendor >= 0
    while True:
        # Each row takes the smallest number among its vendor's rows, then among its equals.
        low = np.full(len(same), len(same))
        np.minimum.at(low, vendor[known], linked[known])
        after = linked.copy()
        after[known] = np.minimum(linked[known], low[vendor[known]])
        low = np.full(len(same), len(same))
        np.minimum.at(low, same, after)
        # Then the number of that row, so that long chains need few rounds.
        after = low[same]
        after = after[after]
        if np.array_equal(after, linked):
            return linked
        linked = after


def deal_by_lot(
    groups: np.ndarray, label: np.ndarray, val: float, test: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the side of each row: whole groups, each label near its shares.

    The groups of a label (that of their first row) are shuffled and laid on a circle, each as long
    as it has rows; the circle is cut at the shares, from a point drawn by lot. So the shares of
    large labels are met closely, and a label of one row is in the test with probability `test`.
    """
    members, first, inverse, size = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    owner = label[first]
    order = np.lexsort((rng.permutation(len(members)), owner))
    new = np.r_[True, owner[order][1:] != owner[order][:-1]]
    block = np.cumsum(new) - 1
    end = np.cumsum(size[order])
    total = np.bincount(block, weights=size[order])
    begin = (end - size[order])[new]
    middle = (end - size[order] / 2 - begin[block]) / total[block]
    place = (middle + rng.random(len(total))[block]) % 1
    side = np.where(place < test, TEST, np.where(place < test + val, VAL, TRAIN))
    dealt = np.empty(len(members), np.int8)
    dealt[order] = side
    return dealt[inverse]


def large_blocks(same: np.ndarray, groups: np.ndarray, limit: float, most: float) -> np.ndarray:
    """Return which rows stand in a group with more than `limit` identical rows, the largest groups
    first as long as they have at most `most` rows together."""
    times, size = np.bincount(same), np.bincount(groups)
    large = np.unique(groups[times[same] > limit])
    taken = []
    for number in large[np.argsort(-size[large], kind="stable")]:
        if size[number] <= most:
            taken.append(number)
            most -= size[number]
    return np.isin(groups, taken)


def deal_groups(
    groups: np.ndarray, label: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the side of each row: whole groups, the sides as near to their shares as that allows.

    The large groups are placed first, the largest by lot where they fit, the last of them where
    they overfill the sides least; all small ones then by `deal_by_lot`, and some of them moved to
    where rows are still missing.

    Parameters
    ----------
    groups, label : np.ndarray of int64, shape (rows,)
    shares : np.ndarray of float64, shape (3,)
        Of the rows, by side; sum 1.
    """
    times = np.bincount(groups)
    inverse, size = (np.cumsum(times > 0) - 1)[groups], times[times > 0]
    room = shares * len(groups)
    held, lot = np.full(len(size), -1), rng.permutation(len(size))
    lot = lot[np.argsort(-size[lot], kind="stable")]
    large = lot[size[lot] > LARGE_GROUP * room.min()]
    few = large[max(0, len(large) - TRIED_GROUPS) :]
    for group in large[: len(large) - len(few)]:
        fits = room >= size[group]
        weight = np.where(fits, room, 0) if fits.any() else (room == room.max()).astype(float)
        held[group] = rng.choice(3, p=weight / weight.sum())
        room[held[group]] -= size[group]
    tried = np.indices((3,) * len(few)).reshape(len(few), 3 ** len(few)).T
    put = np.stack([(tried == side) @ size[few] for side in range(3)], axis=1)
    overfull = np.maximum(put - room, 0).sum(axis=1)
    empty = (put == 0) & (np.bincount(held[held >= 0], minlength=3) == 0)
    overfull[empty.sum(axis=1) > len(size) - len(large)] += len(groups)
    best = np.flatnonzero(overfull <= overfull.min() + 1e-9)
    weight = shares[tried[best]].prod(axis=1)
    chosen = rng.choice(best, p=weight / weight.sum())
    held[few], room = tried[chosen], room - put[chosen]
    rest = held < 0
    if rest.any():
        rows = np.flatnonzero(rest[inverse])
        _, val, test = np.maximum(room, 0) / np.maximum(room, 0).sum()
        held[inverse[rows]] = deal_by_lot(groups[rows], label[rows], val, test, rng)
        room -= np.bincount(held[rest], weights=size[rest], minlength=3)
        small = lot[rest[lot]]
        for full, short in product(np.argsort(room), np.argsort(-room)):
            while (need := min(-room[full], room[short])) > 0:
                fits = small[(held[small] == full) & (size[small] <= need)]
                fits = fits[np.cumsum(size[fits]) <= need]
                if not len(fits):
                    break
                held[fits] = short
                room[[full, short]] += size[fits].sum() * np.array([1, -1])
    return held[inverse]


def deal_by_time(
    date: np.ndarray, same: np.ndarray, among: np.ndarray, val: float, test: float
) -> np.ndarray:
    """Return the side of each row `among` (others -1): the past trains, the future tests.

    All rows of one day stand on one side. Of all cuts between days those are taken that bring the
    rows nearest to their shares after rows identical to earlier sides are set aside.
    """
    side = np.full(len(among), -1, np.int8)
    days, day = np.unique(date[among], return_inverse=True)
    of_day = np.full(len(days), TRAIN)
    if len(days) >= 3:
        seen = np.full(len(date), len(days))
        np.minimum.at(seen, same[among], day)
        seen = seen[same[among]]
        # By the last day before a cut: the rows until then, and those first seen after it.
        until = np.cumsum(np.bincount(day, minlength=len(days)))[:-1]
        after = len(day) - np.cumsum(np.bincount(seen, minlength=len(days)))[:-1]
        counted = len(day)
        # How many rows stay depends on the cuts, so they are drawn again until it is settled.
        for _ in range(CUT_ROUNDS):
            kept = counted
            train = (1 - test - val) * kept
            first = np.minimum(np.abs(until - train).argmin(), np.arange(len(until)) - 1)[1:]
            missed = np.abs(until[first] - train) + np.abs(after[1:] - test * kept)
            second = int(missed.argmin()) + 1
            first = int(first[second - 1])
            between = int(((seen > first) & (day <= second)).sum())
            counted = int(until[first]) + between + int(after[second])
            if counted == kept:
                break
        of_day[first + 1 :] = VAL
        of_day[second + 1 :] = TEST
    side[among] = of_day[day]
    return side


def stratified_subset(label: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return which rows to keep, as booleans: `count` of them, each label near its share, and
    every label once as far as `count` allows (the largest first)."""
    keep = np.zeros(len(label), bool)
    order = np.lexsort((rng.permutation(len(label)), label))
    _, start, size = np.unique(label[order], return_index=True, return_counts=True)
    rank = np.arange(len(label)) - np.repeat(start, size)
    size = np.repeat(size, size)
    # The first row of each label, then all others evenly spread over their labels.
    turn = np.where(rank == 0, -1.0, (rank + 0.5) / size)
    keep[order[np.lexsort((np.arange(len(label)), -size * (rank == 0), turn))[:count]]] = True
    return keep


class Dealt(NamedTuple):
    """The side of each row (-1: set aside), for those the position in `ASIDE` (else -1), and
    which rows train because they are a large block."""

    side: np.ndarray
    aside: np.ndarray
    blocks: np.ndarray


def split_rows(rows: Rows, params: SplitParams) -> Dealt:
    """Deal the rows, before `max_train_rows`."""
    rng = np.random.default_rng(params.seed)
    count = len(rows.label)
    side, aside = np.full(count, -1, np.int8), np.full(count, -1, np.int8)
    blocks = np.zeros(count, bool)
    rare = np.bincount(rows.label, minlength=count)[rows.label] < params.min_rows_per_account
    aside[rare] = 0
    val, test = params.val_size, params.test_size
    if params.strategy == "time":
        aside[(aside < 0) & np.isnat(rows.date)] = 1
        side = deal_by_time(rows.date, rows.same, aside < 0, val, test)
        dealt = np.flatnonzero(side >= 0)
        earliest = np.full(count, len(SIDES), np.int8)
        np.minimum.at(earliest, rows.same[dealt], side[dealt])
        later = (side >= 0) & (side > earliest[rows.same])
        side[later], aside[later] = -1, 2
        return Dealt(side, aside, blocks)
    groups = rows.same if params.strategy == "stratified" else linked_groups(rows.same, rows.vendor)
    among = np.flatnonzero(aside < 0)
    if not len(among):
        return Dealt(side, aside, blocks)
    limit = max(MIN_BLOCK_ROWS, MAX_BLOCK * min(val, test) * len(among))
    blocks[among] = large_blocks(
        rows.same[among], groups[among], limit, (1 - val - test) / 2 * len(among)
    )
    side[blocks] = TRAIN
    lot = among[~blocks[among]]
    more = len(among) / len(lot)
    shares = np.array([1 - more * (val + test), more * val, more * test])
    side[lot] = deal_groups(groups[lot], rows.label[lot], shares, rng)
    return Dealt(side, aside, blocks)


def cut_train(rows: Rows, dealt: Dealt, params: SplitParams) -> Dealt:
    """Return the rows dealt, with at most `max_train_rows` of them in train."""
    train = np.flatnonzero(dealt.side == TRAIN)
    if not params.max_train_rows or len(train) <= params.max_train_rows:
        return dealt
    # Another lot than that of the sides.
    rng = np.random.default_rng([params.seed, 1])
    extra = train[~stratified_subset(rows.label[train], params.max_train_rows, rng)]
    side, aside = dealt.side.copy(), dealt.aside.copy()
    side[extra], aside[extra] = -1, 3
    return Dealt(side, aside, dealt.blocks)


def check_possible(rows: Rows, params: SplitParams) -> None:
    """Raise UserError if the ledger lacks what the strategy splits by."""
    if params.strategy == "group" and (rows.vendor < 0).all():
        raise UserError(
            "split.strategy: group needs vendors, and the base table has none; set "
            "feature.group_column, or choose stratified or time"
        )
    if params.strategy == "time" and np.isnat(rows.date).all():
        raise UserError(
            "split.strategy: time needs dates, and the base table has none; set "
            "feature.date_column, or choose stratified or group"
        )


def shares_of(dealt: Dealt) -> np.ndarray:
    """Return the share of each side in the rows dealt, shape (3,)."""
    counts = np.bincount(dealt.side[dealt.side >= 0], minlength=len(SIDES))
    return counts / max(1, counts.sum())


def largest_group(rows: Rows, dealt: Dealt, strategy: str) -> str:
    """Return what the strategy could not part, and how large the largest of it is."""
    kind, groups = {
        "stratified": ("identical rows", rows.same),
        "time": ("day", rows.date.astype(np.int64)),
        "group": ("vendor", None),
    }[strategy]
    if groups is None:
        groups = linked_groups(rows.same, rows.vendor)
        kind = "vendor (with those that identical rows tie to it)"
    among = dealt.aside < 0
    most = np.unique(groups[among], return_counts=True)[1].max() / among.sum() if among.any() else 0
    return f"strategy {strategy} parts no {kind}, and the largest holds {most:.1%} of the rows"


def check_split(rows: Rows, whole: Dealt, dealt: Dealt, params: SplitParams) -> None:
    """Raise UserError for a side without rows or a single account to learn, RuntimeError for a
    broken promise.

    Parameters
    ----------
    whole, dealt : Dealt
        Before and after `max_train_rows`.
    """
    held = [int((whole.side == number).sum()) for number in range(len(SIDES))]
    if 0 in held:
        counts = ", ".join(f"{name} {n:,}" for name, n in zip(SIDES, held, strict=True))
        raise UserError(
            f"split: {SIDES[held.index(0)]} comes out empty ({counts}; "
            f"{int((whole.aside >= 0).sum()):,} rows set aside): {len(whole.side):,} rows are too "
            f"few, or too much alike, for test_size {params.test_size}, val_size "
            f"{params.val_size}, min_rows_per_account {params.min_rows_per_account}; "
            f"{largest_group(rows, whole, params.strategy)}"
        )
    side, aside = dealt.side, dealt.aside
    if len(np.unique(rows.label[side == TRAIN])) < 2:
        raise UserError(
            f"split: all {int((side == TRAIN).sum()):,} training rows have the same "
            f"{params.label_column}: there is nothing to tell apart; give a ledger, or a "
            "max_train_rows and min_rows_per_account, that leave two accounts or more"
        )
    if ((side < 0) != (aside >= 0)).any():
        raise RuntimeError("rows were lost")
    last, first = np.full(len(side), -1, np.int8), np.full(len(side), len(SIDES), np.int8)
    there = np.flatnonzero(side >= 0)
    np.maximum.at(last, rows.same[there], side[there])
    np.minimum.at(first, rows.same[there], side[there])
    if (last > first)[rows.same[there]].any():
        raise RuntimeError("identical rows stand on two sides")


def make_remarks(rows: Rows, whole: Dealt, dealt: Dealt, params: SplitParams) -> list[str]:
    """Return a line for each wish that could not be met as it stands.

    Parameters
    ----------
    whole, dealt : Dealt
        Before and after `max_train_rows`.
    """
    remarks = []
    val, test = params.val_size, params.test_size
    shares, wanted = shares_of(whole), np.array([1 - val - test, val, test])
    among = max(1, (whole.side >= 0).sum())
    if (np.abs(shares - wanted) > max(TOLERANCE, 1 / among) + 1e-9).any():
        parts = (
            f"{name} {got:.1%} (asked for {share:.1%})"
            for name, got, share in zip(SIDES, shares, wanted, strict=True)
        )
        twice = int((whole.aside == 2).sum())
        remarks.append(
            f"shares of the rows: {', '.join(parts)}; "
            f"{largest_group(rows, whole, params.strategy)}"
            + (f"; {twice:,} rows identical to an earlier side were set aside" if twice else "")
        )
    alone = (rows.vendor < 0).mean()
    if params.strategy == "group" and alone > 0.5:
        remarks.append(f"{alone:.1%} of the rows have no vendor and are dealt one by one")
    if params.strategy == "time" and (undated := (whole.aside == 1).mean()) > 0.5:
        remarks.append(f"{undated:.1%} of the rows have no date and are set aside")
    before = len(np.unique(rows.label[whole.side == TRAIN]))
    after = len(np.unique(rows.label[dealt.side == TRAIN]))
    if after < before:
        remarks.append(
            f"max_train_rows {params.max_train_rows} leaves {before - after:,} of {before:,} "
            "accounts without a training row"
        )
    return remarks


def make_report(rows: Rows, whole: Dealt, dealt: Dealt, remarks: list[str]) -> dict:
    """Return rows, accounts, vendors and dates of each side, and what the border lets through."""
    side, aside = dealt.side, dealt.aside

    def of(values: np.ndarray, number: int) -> np.ndarray:
        values = values[side == number]
        return np.unique(values[values >= 0])

    report = {
        "rows": len(side),
        "remarks": remarks,
        "rows_without_vendor": int((rows.vendor < 0).sum()),
        "rows_of_large_blocks_to_train": int(whole.blocks.sum()),
        "set_aside": {},
        "sides": {},
        "border": {},
    }
    for number, reason in enumerate(ASIDE):
        report["set_aside"][reason] = int((aside == number).sum())
    for number, name in enumerate(SIDES):
        here = side == number
        dates = rows.date[here & ~np.isnat(rows.date)]
        report["sides"][name] = {
            "rows": int(here.sum()),
            "share_before_max_train_rows": round(float(shares_of(whole)[number]), 6),
            "accounts": len(of(rows.label, number)),
            "vendors": len(of(rows.vendor, number)),
            "rows_of_the_largest_block": int(np.bincount(rows.same[here]).max()),
            "first_date": str(dates.min()) if len(dates) else None,
            "last_date": str(dates.max()) if len(dates) else None,
        }

    def across(number: int, values: np.ndarray, met: bool) -> int:
        known = np.isin(values, of(values, TRAIN)) == met
        return int(((side == number) & (values >= 0) & known).sum())

    for number, name in ((VAL, "val"), (TEST, "test")):
        report["border"] |= {
            f"{name}_rows_identical_to_train": across(number, rows.same, True),
            f"{name}_rows_alike_but_for_digits": across(number, rows.alike, True),
            f"{name}_rows_of_unseen_accounts": across(number, rows.label, False),
            f"{name}_rows_of_unseen_vendors": across(number, rows.vendor, False),
        }
    return report


def write_sides(side: np.ndarray, aside: np.ndarray) -> None:
    """Write the rows of each side, and the numbers of those set aside."""
    written = 0
    with open_table(IN) as file:
        schema, groups = file.schema_arrow, file.num_row_groups
    reasons = pa.array(ASIDE).dictionary_encode()
    kinds = pa.schema([schema.field("row_id"), pa.field("reason", reasons.type)])
    schemas = {OUT / f"{name}.parquet": schema for name in SIDES}
    with table_writers({**schemas, OUT / "set_aside.parquet": kinds}) as (*writers, left):
        start = 0
        for group in range(groups):
            table = read_group(IN, group)
            here = slice(start, start + len(table))
            for number, writer in enumerate(writers):
                mine = table.filter(pa.array(side[here] == number))
                writer.write(mine)
                written += len(mine)
            gone = aside[here] >= 0
            why = pa.DictionaryArray.from_arrays(
                pa.array(aside[here][gone].astype(np.int32)), reasons.dictionary
            )
            ids = table["row_id"].filter(pa.array(gone))
            left.write(pa.table([ids, why], schema=kinds))
            written += len(ids)
            start += len(table)
        if written != start:
            raise RuntimeError(f"rows were lost: {start} in, {written} out")


def main() -> None:
    params = load_params(split=SplitParams, feature=VisibleFields)
    rows = read_rows(params.split.label_column, params.feature.fields)
    check_possible(rows, params.split)
    whole = split_rows(rows, params.split)
    dealt = cut_train(rows, whole, params.split)
    check_split(rows, whole, dealt, params.split)
    remarks = make_remarks(rows, whole, dealt, params.split)
    write_sides(dealt.side, dealt.aside)
    write_json(make_report(rows, whole, dealt, remarks), REPORT)
    for remark in remarks:
        print(f"split: {remark}")


if __name__ == "__main__":
    run_stage(main)
