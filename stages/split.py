"""Deal the rows of the base table to train, validation and test.

Reads ``data/feature/base.parquet``. Writes ``data/split/{train,val,test}.parquet`` and
``metrics/split/report.json``. Parameters: ``split``, ``feature.fields``.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field

from stages.lib.params import Section, UserError, load_params, run_stage
from stages.lib.tables import read_table, write_json, write_table

IN = Path("data/feature/base.parquet")
OUT = Path("data/split")
REPORT = Path("metrics/split/report.json")
SIDES = ("train", "val", "test")


class SplitParams(Section):
    label_column: str
    seed: int = Field(ge=0)
    test_size: float = Field(gt=0, lt=1)
    val_size: float = Field(gt=0, lt=1)
    strategy: Literal["stratified", "time", "group"]
    max_train_rows: int | None = Field(ge=1)
    min_rows_per_account: int = Field(ge=1)


class VisibleFields(Section):
    """The one key of the feature section that this stage reads."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    fields: list[str]


def identical_groups(table: pa.Table, fields: list[str]) -> np.ndarray:
    """Return one int64 a row, equal where all `fields` are equal, numbered by first appearance."""
    group = np.zeros(table.num_rows, np.int64)
    for name in fields:
        codes = table[name].combine_chunks().dictionary_encode().indices.to_numpy()
        pairs = group * (int(codes.max()) + 1) + codes
        _, group = np.unique(pairs, return_inverse=True)
    return group


def deal(labels: np.ndarray, groups: np.ndarray, shares: tuple[float, float], rng) -> np.ndarray:
    """Return the side (0 train, 1 val, 2 test) of each row: whole groups, stratified by label."""
    _, first, inverse, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    owner = labels[first]
    order = np.lexsort((rng.permutation(len(first)), owner))
    cumulative = np.cumsum(sizes[order])
    starts = np.concatenate([[True], owner[order][1:] != owner[order][:-1]])
    index = np.cumsum(starts) - 1
    base = np.concatenate([[0], cumulative[:-1]])[starts][index]
    totals = np.bincount(index, sizes[order])[index]
    middle = (cumulative - base - sizes[order] / 2) / totals
    side = np.where(middle > 1 - shares[1], 2, np.where(middle > 1 - sum(shares), 1, 0))
    result = np.empty(len(first), np.int8)
    result[order] = side
    return result[inverse]


def stratified_subset(labels: np.ndarray, rows: int, rng) -> np.ndarray:
    """Return sorted positions of `rows` rows, each label near its share and at least once."""
    if rows >= len(labels):
        return np.arange(len(labels))
    order = np.lexsort((rng.permutation(len(labels)), labels))
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(starts, counts)
    # The first row of every label comes first, then rows at even spacing within each label.
    key = np.where(rank == 0, -1.0, (rank + 0.5) / np.repeat(counts, counts))
    return np.sort(order[np.argsort(key, kind="stable")[:rows]])


def main() -> None:
    params = load_params(split=SplitParams, feature=VisibleFields)
    split, fields = params.split, params.feature.fields
    table = read_table(IN)
    labels = table[split.label_column].combine_chunks().dictionary_encode().indices.to_numpy()
    rng = np.random.default_rng(split.seed)
    side = deal(labels, identical_groups(table, fields), (split.val_size, split.test_size), rng)
    report = {}
    for number, name in enumerate(SIDES):
        positions = np.flatnonzero(side == number)
        if name == "train" and split.max_train_rows:
            positions = positions[stratified_subset(labels[positions], split.max_train_rows, rng)]
        if not len(positions):
            raise UserError(f"split: {name} comes out empty")
        write_table(table.take(pa.array(positions)), OUT / f"{name}.parquet")
        report[name] = {"rows": len(positions), "accounts": len(np.unique(labels[positions]))}
    write_json(report, REPORT)


if __name__ == "__main__":
    run_stage(main)
