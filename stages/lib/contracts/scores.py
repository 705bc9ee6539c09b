"""What each expert hands to `evaluate`: its scores of the accounts, for validation and test rows.

One table an expert and side: ``row_id`` int64 in the order of the split, ``logits`` float32 (K),
one for each account. Their softmax is the probability of the account. The schema's metadata names
the accounts and the model. All experts have the same accounts: those of the training rows, sorted.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

LANGUAGE_MODEL, TEXT_CLASSIFIER, PAST_POSTINGS = EXPERTS = (
    "language_model",
    "text_classifier",
    "past_postings",
)
SCORED_SIDES = ("val", "test")


def stage_of(expert: str) -> str:
    """Return the stage that makes an expert's model."""
    return "train" if expert == LANGUAGE_MODEL else "classify"


def scores_path(expert: str, side: str) -> Path:
    """Return the path of an expert's scores of ``val`` or ``test``."""
    folder = "score" if expert == LANGUAGE_MODEL else "classify"
    return Path(f"data/{folder}/{expert}_{side}.parquet")


def scores_table(row_id: pa.Array, logits: np.ndarray, accounts: list[str], model: str) -> pa.Table:
    """Return the table of the scores of one side.

    Parameters
    ----------
    row_id : Array of int64, (rows,)
    logits : ndarray of float32, (rows, K)
    accounts : list of str, length K
        Codes in the order of the columns of `logits`.
    model : str
        SHA-256 of the manifest of the model.
    """
    values = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), len(accounts))
    metadata = {"accounts": json.dumps(accounts, ensure_ascii=False), "model": model}
    schema = pa.schema([("row_id", pa.int64()), ("logits", values.type)], metadata=metadata)
    return pa.table([row_id, values], schema=schema)


def logits_of(table: pa.Table) -> np.ndarray:
    """Return the logits of a table of scores, float32 (rows, K)."""
    column = table["logits"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), column.type.list_size)


def accounts_of(table: pa.Table) -> list[str]:
    """Return the account of each column of the logits."""
    return json.loads(table.schema.metadata[b"accounts"])


def model_of(table: pa.Table) -> str:
    """Return the SHA-256 of the manifest of the model that made the scores."""
    return table.schema.metadata[b"model"].decode()
