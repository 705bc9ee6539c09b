"""Deal the rows of the base table to train, validation and test.

Reads ``data/feature/base.parquet``. Writes ``data/split/train.parquet``, ``val.parquet``,
``test.parquet`` (rows of the base table, in its order), ``set_aside.parquet`` (``row_id`` and the
reason of every other row) and ``metrics/split/report.json``. Parameters: ``split`` and
``feature.fields``.

Rows whose visible fields are all equal are one transaction to the model: they never stand on two
sides. Accounts with fewer than ``min_rows_per_account`` rows are set aside. All others are dealt by
lot, so a rare account may stand in the test alone; its rows count as wrong, as they would in use.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field, model_validator
from tqdm import tqdm

from stages.lib.ledger.parallel import cores, map_ordered
from stages.lib.params import Section, UserError, load_params, run_stage
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


class SplitParams(Section):
    label_column: str
    seed: int = Field(ge=0)
    test_size: float = Field(gt=0, lt=1)
    val_size: float = Field(gt=0, lt=1)
    strategy: Literal["stratified", "time", "group"]
    max_train_rows: int | None = Field(ge=1)
    min_rows_per_account: int = Field(ge=1)

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> "SplitParams":
        if self.test_size + self.val_size >= 1:
            raise ValueError("test_size + val_size: must be below 1, or nothing is left to train")
        return self


class VisibleFields(Section):
    """The one key of the section `feature` that this stage reads."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    fields: list[str]


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
    empty = pc.equal(rows["group"], "").to_numpy()
    return (
        row_digests(rows, [label]),
        row_digests(rows, ["group"]),
        empty,
        row_digests(rows, fields),
        row_digests(letters, letters.column_names),
        rows["date"].to_numpy().astype("datetime64[D]"),
    )


def read_rows(label: str, fields: list[str]) -> Rows:
    """Return what the split needs to know of every row of the base table."""
    with open_table(IN) as file:
        groups, names = file.num_row_groups, file.schema_arrow.names
    if missing := [name for name in (label, *fields) if name not in names]:
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
        after = low[same]
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


def deal_by_time(date: np.ndarray, among: np.ndarray, val: float, test: float) -> np.ndarray:
    """Return the side of each row `among` (others -1): the past trains, the future tests.

    All rows of one day stand on one side. The cuts are the days that come nearest to the shares
    from above.
    """
    side = np.full(len(among), -1, np.int8)
    days, counts = np.unique(date[among], return_counts=True)
    before = (np.cumsum(counts) - counts) / max(1, counts.sum())
    of_day = np.where(
        before >= 1 - test - 1e-9, TEST, np.where(before >= 1 - test - val - 1e-9, VAL, TRAIN)
    )
    side[among] = of_day[np.searchsorted(days, date[among])]
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


def split_rows(rows: Rows, params: SplitParams) -> tuple[np.ndarray, np.ndarray]:
    """Return the side of each row (-1: set aside) and, for those, the position in `ASIDE`."""
    rng = np.random.default_rng(params.seed)
    count = len(rows.label)
    side, aside = np.full(count, -1, np.int8), np.full(count, -1, np.int8)
    rare = np.bincount(rows.label, minlength=count)[rows.label] < params.min_rows_per_account
    aside[rare] = 0
    if params.strategy == "time":
        aside[(aside < 0) & np.isnat(rows.date)] = 1
        side = deal_by_time(rows.date, aside < 0, params.val_size, params.test_size)
        dealt = np.flatnonzero(side >= 0)
        earliest = np.full(count, len(SIDES), np.int8)
        np.minimum.at(earliest, rows.same[dealt], side[dealt])
        later = (side >= 0) & (side > earliest[rows.same])
        side[later], aside[later] = -1, 2
    else:
        groups = (
            rows.same if params.strategy == "stratified" else linked_groups(rows.same, rows.vendor)
        )
        among = np.flatnonzero(aside < 0)
        if len(among):
            shares = params.val_size, params.test_size
            side[among] = deal_by_lot(groups[among], rows.label[among], *shares, rng)
    train = np.flatnonzero(side == TRAIN)
    if params.max_train_rows and len(train) > params.max_train_rows:
        extra = train[~stratified_subset(rows.label[train], params.max_train_rows, rng)]
        side[extra], aside[extra] = -1, 3
    return side, aside


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


def check_split(rows: Rows, side: np.ndarray, aside: np.ndarray, params: SplitParams) -> None:
    """Raise UserError for a side without rows, RuntimeError for a broken promise."""
    for number, name in enumerate(SIDES):
        if not (side == number).any():
            counts = ", ".join(f"{n} {int((side == i).sum()):,}" for i, n in enumerate(SIDES))
            raise UserError(
                f"split: {name} comes out empty ({counts}; {int((aside >= 0).sum()):,} rows set "
                f"aside): {len(side):,} rows are too few, or too much alike, for strategy "
                f"{params.strategy} with test_size {params.test_size}, val_size {params.val_size}, "
                f"min_rows_per_account {params.min_rows_per_account}"
            )
    if ((side < 0) != (aside >= 0)).any():
        raise RuntimeError("rows were lost")
    dealt = side >= 0
    if len(np.unique(rows.same[dealt])) != len(
        np.unique(rows.same[dealt].astype(np.int64) * len(SIDES) + side[dealt])
    ):
        raise RuntimeError("identical rows stand on two sides")


def make_report(rows: Rows, side: np.ndarray, aside: np.ndarray) -> dict:
    """Return rows, accounts, vendors and dates of each side, and what the border lets through."""

    def of(values: np.ndarray, number: int) -> np.ndarray:
        values = values[side == number]
        return np.unique(values[values >= 0])

    report = {"rows": len(side), "set_aside": {}, "sides": {}, "border": {}}
    for number, reason in enumerate(ASIDE):
        report["set_aside"][reason] = int((aside == number).sum())
    for number, name in enumerate(SIDES):
        dates = rows.date[(side == number) & ~np.isnat(rows.date)]
        report["sides"][name] = {
            "rows": int((side == number).sum()),
            "accounts": len(of(rows.label, number)),
            "vendors": len(of(rows.vendor, number)),
            "first_date": str(dates.min()) if len(dates) else None,
            "last_date": str(dates.max()) if len(dates) else None,
        }
    test = side == TEST

    def unseen(values: np.ndarray) -> int:
        return int((test & (values >= 0) & ~np.isin(values, of(values, TRAIN))).sum())

    report["border"] = {
        "test_rows_identical_to_train": int(
            (test & np.isin(rows.same, of(rows.same, TRAIN))).sum()
        ),
        "test_rows_alike_but_for_digits": int(
            (test & np.isin(rows.alike, of(rows.alike, TRAIN))).sum()
        ),
        "test_rows_of_unseen_accounts": unseen(rows.label),
        "test_rows_of_unseen_vendors": unseen(rows.vendor),
    }
    return report


def write_sides(side: np.ndarray, aside: np.ndarray) -> None:
    """Write the rows of each side, and the numbers of those set aside."""
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
                writer.write(table.filter(pa.array(side[here] == number)))
            gone = aside[here] >= 0
            why = pa.DictionaryArray.from_arrays(
                pa.array(aside[here][gone].astype(np.int32)), reasons.dictionary
            )
            ids = table["row_id"].filter(pa.array(gone))
            left.write(pa.table([ids, why], schema=kinds))
            start += len(table)


def main() -> None:
    params = load_params(split=SplitParams, feature=VisibleFields)
    rows = read_rows(params.split.label_column, params.feature.fields)
    check_possible(rows, params.split)
    side, aside = split_rows(rows, params.split)
    check_split(rows, side, aside, params.split)
    write_sides(side, aside)
    write_json(make_report(rows, side, aside), REPORT)


if __name__ == "__main__":
    run_stage(main)
