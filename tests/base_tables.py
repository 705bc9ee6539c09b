"""Base tables and the rows of a split, made from literals."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.lib.contracts.feature import BASE
from stages.lib.params.split import SplitParams
from stages.lib.split.rows import Rows
from stages.lib.tables import write_table

FIELDS = ["vendor", "memo", "amount_bucket"]
DEFAULTS = {
    "label_column": "acct_code",
    "seed": 42,
    "test_size": 0.2,
    "val_size": 0.1,
    "strategy": "stratified",
    "min_rows_per_account": 1,
}

LABELS = {
    **{"pattern": ".+", "pad_to": 0, "masked": "", "masked_rule": "reject"},
    **{"merge": {"0777": "0001"}, "retire": ["0900"]},
}


def split_params(**changes: object) -> SplitParams:
    return SplitParams(**(DEFAULTS | changes))


def base_table(rows: Sequence[tuple], buckets: Iterable[str] | None = None) -> pa.Table:
    """Return a base table of rows of (day or None, vendor, memo, account)."""
    day, vendor, memo, account = zip(*rows, strict=True)
    return pa.table(
        {
            "row_id": pa.array(range(len(rows)), pa.int64()),
            "vendor": pa.array(vendor, pa.string()),
            "memo": pa.array(memo, pa.string()),
            "date": pa.array([day and np.datetime64(day).item() for day in day], pa.date32()),
            "amount_bucket": list(buckets or ["<20"] * len(rows)),
            "group": pa.array(vendor, pa.string()),
            "acct_code": pa.array(account, pa.string()),
        }
    )


def write_base(rows: Sequence[tuple], folder: Path | str = ".", **settings: object) -> None:
    write_table(base_table(rows, **settings), Path(folder) / BASE)


def first_positions(values: Iterable) -> np.ndarray:
    """Return for each value the position of the first equal one; -1 for None and ""."""
    first: dict = {None: -1, "": -1}
    return np.array([first.setdefault(value, at) for at, value in enumerate(values)], np.int64)


def rows_of(ledger: Sequence[tuple]) -> Rows:
    """Return what the split needs to know of rows of (day or None, vendor, memo, account)."""
    day, vendor, memo, account = zip(*ledger, strict=True)
    visible = [*zip(vendor, memo, strict=True)]
    letters = [tuple("".join(filter(str.isalpha, cell)) for cell in row) for row in visible]
    return Rows(
        label=first_positions(account),
        vendor=first_positions(vendor),
        same=first_positions(visible),
        alike=first_positions(letters),
        date=np.array(["NaT" if day is None else day for day in day], "datetime64[D]"),
    )


def some_rows(vendors: Sequence[str]) -> list[tuple]:
    """Return a row for each vendor: 90 days, four accounts, every memo another."""
    return [
        (np.datetime64("2020-01-01") + i % 90, vendor, f"memo {i}", f"010{i % 4}")
        for i, vendor in enumerate(vendors)
    ]
