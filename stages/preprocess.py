"""Turn raw text into clean text, dates, amounts and labels.

Reads ``data/ingest/transactions.parquet``. Writes ``data/preprocess/transactions.parquet``,
``rejects.parquet``, ``accounts.parquet`` (the chart of accounts) and
``metrics/preprocess/report.json``. Parameters: ``preprocess``.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stages.lib.params import Section, load_params, run_stage
from stages.lib.tables import read_table, write_json, write_table

IN = Path("data/ingest/transactions.parquet")
OUT = Path("data/preprocess")
REPORT = Path("metrics/preprocess/report.json")


class PreprocessParams(Section):
    case: Literal["fold", "keep"]
    label_pattern: str = Field(min_length=1)


def clean_text(text: str, case: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    return " ".join((text.casefold() if case == "fold" else text).split())


def map_values(column: pa.ChunkedArray, function) -> pa.Array:
    encoded = column.combine_chunks().dictionary_encode()
    values = pa.array([function(v) for v in encoded.dictionary.to_pylist()], pa.string())
    return values.take(encoded.indices)


def main() -> None:
    params = load_params(preprocess=PreprocessParams).preprocess
    raw = read_table(IN)
    roles = {f.name: f.metadata[b"role"].decode() for f in raw.schema if f.metadata}
    arrays, fields = [], []
    for field in raw.schema:
        column, role = raw[field.name], roles.get(field.name)
        if role in ("text", "category", "group", "id"):
            column = map_values(column, lambda v: clean_text(v, params.case))
        elif role in ("label", "label_name"):
            column = map_values(column, lambda v: clean_text(v, "keep"))
        elif role == "amount":
            column = pc.cast(pc.if_else(pc.equal(column, ""), None, column), pa.float64())
        elif role == "date":
            column = pc.cast(pc.if_else(pc.equal(column, ""), None, column), pa.date32())
        arrays.append(column)
        fields.append(pa.field(field.name, column.type, metadata=field.metadata))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    label = next(name for name, role in roles.items() if role == "label")
    good = pc.match_substring_regex(table[label], f"^(?:{params.label_pattern})$")
    rejects = raw.filter(pc.invert(good)).append_column(
        "reason", pa.repeat("label does not match", raw.num_rows - pc.sum(good).as_py())
    )
    table = table.filter(good)
    names = defaultdict(Counter)
    label_name = next((name for name, role in roles.items() if role == "label_name"), label)
    for code, name in zip(
        table[label].to_pylist(), table[label_name].to_pylist(), strict=True
    ):
        names[code][name] += 1
    accounts = pa.table(
        {
            "acct_code": pa.array(sorted(names), pa.string()),
            "acct_name": [max(names[c].items(), key=lambda i: (i[1], i[0]))[0] for c in sorted(names)],
            "rows": pa.array([names[c].total() for c in sorted(names)], pa.int64()),
        }
    )
    write_table(table, OUT / "transactions.parquet")
    write_table(rejects, OUT / "rejects.parquet")
    write_table(accounts, OUT / "accounts.parquet")
    write_json(
        {"rows_in": raw.num_rows, "rows_out": table.num_rows, "rows_rejected": rejects.num_rows,
         "accounts": len(names)},
        REPORT,
    )


if __name__ == "__main__":
    run_stage(main)
