"""What `baseline` hands to `evaluate`: one row for each baseline and validation or test row."""

from pathlib import Path

import pyarrow as pa

PREDICTIONS = Path("data/baseline/predictions.parquet")

_NAMES = pa.dictionary(pa.int32(), pa.string())
PREDICTIONS_SCHEMA = pa.schema(
    [
        ("baseline", _NAMES),
        ("side", _NAMES),
        ("row_id", pa.int64()),
        ("predicted", _NAMES),
        ("probability", pa.float64()),
        # Of the ledger's account: its probability, and how many accounts are before it.
        ("label_probability", pa.float64()),
        ("label_rank", pa.int32()),
    ]
)
