"""What `classify` hands on: its model to `predict`, and to `evaluate` the nearest past postings."""

from pathlib import Path

import pyarrow as pa

# The text classifier, the index of past postings, what is shown of past rows, and a manifest.
MODEL = Path("models/classify")
# {"accounts": [code, ...], "fields": [visible field, ...]}: the columns of all scores, sorted, and
# the columns of text that they are made from.
CODES = "accounts.json"
# What is shown of each past row, in the order of the index.
SHOWN = "past_rows.parquet"

# For each test row the nearest past rows, nearest first, and how similar they are.
NEIGHBOURS = Path("data/classify/neighbours_test.parquet")
NEIGHBOURS_SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("past_row_id", pa.list_(pa.int64())),
        ("similarity", pa.list_(pa.float32())),
    ]
)
