"""Raw rows as `ingest` hands them on, and the parameters for them, from literals."""

from copy import deepcopy

import pyarrow as pa
from ledger_files import FEATURE, PREPROCESS

from stages.lib.contracts.ingest import transactions_schema
from stages.lib.params.feature import FeatureParams
from stages.lib.params.preprocess import PreprocessParams

ROLES = {
    "date": "date",
    "vendor": "group",
    "memo": "text",
    "amount": "amount",
    "account": "label",
    "name": "label_name",
}


def row(date="2020-04-16", vendor="Shop", memo="paper", amount="1", account="0101", name="MEALS"):
    return [date, vendor, memo, amount, account, name]


def raw_table(*rows: list[str], file: str = "a.csv", **roles: str) -> pa.Table:
    """Return raw rows of one file, from row 2 on. `roles` replace those of `ROLES`."""
    count = len(rows)
    cells = list(zip(*rows, strict=True)) if rows else [[]] * len(ROLES)
    origin = [pa.array([text] * count).dictionary_encode() for text in (file, "")]
    places = pa.array(range(2, 2 + count), pa.int32())
    columns = [pa.array(column, pa.string()) for column in cells]
    masked = pa.array([""] * count, pa.string())
    arrays = [*origin, places, *columns, masked]
    return pa.Table.from_arrays(arrays, schema=transactions_schema({**ROLES, **roles}))


def preprocess_params(labels: dict | None = None, **changes: object) -> PreprocessParams:
    """Return the section ``preprocess`` of `ledger_files` with some keys changed."""
    content = deepcopy(PREPROCESS) | changes
    content["labels"] |= labels or {}
    return PreprocessParams.model_validate(content)


def feature_params(**changes: object) -> FeatureParams:
    """Return the section ``feature`` of `ledger_files` with some keys changed."""
    return FeatureParams.model_validate(deepcopy(FEATURE) | changes)
