"""What `classify` hands on: its model to `predict`, and to `evaluate` the nearest past postings and
cross-fitted scores of the training rows."""

from pathlib import Path

import pyarrow as pa

# The text classifier, the index of past postings, what is shown of past rows, and a manifest.
MODEL = Path("models/classify")
# {"accounts": [code, ...], "fields": [visible field, ...]}: the columns of all scores, sorted, and
# the columns of text that they are made from.
CODES = "accounts.json"
# What is shown of each past row, in the order of the index.
SHOWN = "past_rows.parquet"

# For each row the nearest training rows, nearest first, and how similar they are.
NEIGHBOURS_SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("past_row_id", pa.list_(pa.int64())),
        ("similarity", pa.list_(pa.float32())),
    ]
)


def neighbours_path(side: str) -> Path:
    """Return the path of the nearest training rows of the rows of ``train``, ``val`` or ``test``.

    Those of training rows are rows of another fold.
    """
    return Path(f"data/classify/neighbours_{side}.parquet")


def cross_fitted_path(expert: str) -> Path:
    """Return the path of an expert's scores of the training rows, by models that have not seen
    them.

    A table as in ``contracts/scores.py``, but of float16. It names the model beside which it was
    made.
    """
    return Path(f"data/classify/{expert}_train.parquet")
