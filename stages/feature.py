"""Make the base table: the fields that the model may see, and the label.

Reads ``data/preprocess/transactions.parquet``. Writes ``data/feature/base.parquet`` and
``metrics/feature/report.json``. Parameters: ``feature``.
"""

import numpy as np
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from stages.lib.params import Section, load_params, run_stage
from stages.lib.tables import read_table, write_json, write_table

IN = Path("data/preprocess/transactions.parquet")
OUT = Path("data/feature/base.parquet")
REPORT = Path("metrics/feature/report.json")


class FeatureParams(Section):
    fields: list[str] = Field(min_length=1)
    date_column: str
    amount_column: str
    group_column: str
    amount_edges: list[float]


def amount_buckets(amounts: np.ndarray, edges: list[float]) -> pa.Array:
    """Return one short text an amount: "<50" is below 50 and not below the edge before it."""
    words = [f"<{edge:g}" for edge in edges] + [f">={edges[-1]:g}", ""]
    bucket = np.searchsorted(edges, amounts, side="right")
    bucket[np.isnan(amounts)] = len(words) - 1
    return pa.array(words).take(pa.array(bucket))


def main() -> None:
    params = load_params(feature=FeatureParams).feature
    table = read_table(IN)
    amounts = table[params.amount_column].to_numpy()
    available = {name: table[name] for name in table.column_names}
    available["amount_bucket"] = amount_buckets(amounts, params.amount_edges)
    columns = {
        "row_id": pa.array(np.arange(table.num_rows, dtype=np.int64)),
        "source_file": table["source_file"],
        "source_sheet": table["source_sheet"],
        "source_row": table["source_row"],
        **{name: available[name] for name in params.fields},
        "date": table[params.date_column],
        "amount": table[params.amount_column],
        "amount_bucket": available["amount_bucket"],
        "group": table[params.group_column],
        "acct_code": table["acct_code"],
    }
    base = pa.table(columns)
    write_table(base.replace_schema_metadata(None), OUT)
    write_json({"rows": base.num_rows, "fields": params.fields}, REPORT)


if __name__ == "__main__":
    run_stage(main)
