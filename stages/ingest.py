"""Read ledger files as they are into one table of text.

Reads the files named by ``ingest.sources``. Writes ``data/ingest/transactions.parquet`` (one text
column per canonical column, its role in the field's metadata), ``data/ingest/rejects.parquet``
(every other row with the reason) and ``metrics/ingest/report.json``. Parameters: ``ingest``.
"""

import re
import unicodedata
from collections import Counter
from datetime import date, datetime, time
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field

from stages.lib.params import Section, UserError, load_params, run_stage
from stages.lib.tables import write_json, write_table

OUT = Path("data/ingest")
REPORT = Path("metrics/ingest/report.json")
SUFFIXES = {".xls", ".xlsx", ".xlsb", ".ods"}

REJECTS = pa.schema(
    [
        ("source_file", pa.string()),
        ("source_sheet", pa.string()),
        ("source_row", pa.int32()),
        ("reason", pa.string()),
        ("cells", pa.list_(pa.string())),
    ]
)


class Column(Section):
    role: Literal["id", "date", "text", "amount", "category", "label", "label_name", "group"]
    names: list[str] = Field(min_length=1)
    required: bool


class IngestParams(Section):
    sources: list[str] = Field(min_length=1)
    max_reject_fraction: float = Field(ge=0, le=1)
    columns: dict[str, Column]


def header_key(cell: str) -> str:
    """Return the form of a header cell that spelling variants share."""
    return "".join(unicodedata.normalize("NFKC", cell).casefold().split())


def cell_text(cell: object) -> str:
    """Return a workbook cell as text: 2401.0 as '2401', a date as ISO text."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return (cell.date() if cell.time() == time() else cell).isoformat(" ")[:19] if not (
            cell.time() == time()
        ) else cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell)


def map_columns(header: list[str], columns: dict[str, Column]) -> dict[str, int]:
    """Return ``{canonical column: position}`` for the cells of a header row."""
    keys = [header_key(cell) for cell in header]
    totals, seen, places = Counter(keys), Counter(), {}
    for position, key in enumerate(keys):
        seen[key] += 1
        places[key if totals[key] == 1 else f"{key}({seen[key]}of{totals[key]})"] = position
    mapped = {}
    for name, column in columns.items():
        for alias in column.names:
            if header_key(alias) in places:
                mapped[name] = places[header_key(alias)]
                break
    return mapped


def read_workbook(path: Path) -> list[tuple[str, list[list[str]]]]:
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(path)
    return [
        (
            name,
            [
                [cell_text(cell) for cell in row]
                for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            ],
        )
        for name in book.sheet_names
    ]


def main() -> None:
    params = load_params(ingest=IngestParams).ingest
    paths = []
    for source in params.sources:
        if not Path(source).exists():
            raise UserError(f"params.yaml: ingest.sources: {source} not found")
        paths += [p for p in sorted(Path(source).rglob("*")) if p.suffix.lower() in SUFFIXES]
    required = [name for name, column in params.columns.items() if column.required]
    taken = {
        key: []
        for key in ("source_file", "source_sheet", "source_row", *params.columns)
    }
    rejects, files, reasons, rows_read = [], {}, Counter(), 0
    for path in paths:
        for sheet, rows in read_workbook(path):
            if not rows:
                continue
            mapped = map_columns(rows[0], params.columns)
            lacking = [name for name in required if name not in mapped]
            if lacking:
                raise UserError(f"{path}, sheet {sheet}: no column for {', '.join(lacking)}")
            rows_read += len(rows) - 1
            for number, row in enumerate(rows[1:], start=2):
                values = {n: row[mapped[n]] if n in mapped else "" for n in params.columns}
                empty = [name for name in required if not values[name].strip()]
                if empty:
                    reason = "subtotal or blank row" if len(empty) == len(required) else (
                        f"empty {empty[0]}"
                    )
                    reasons[reason] += 1
                    rejects.append((path.name, sheet, number, reason, row))
                    continue
                taken["source_file"].append(path.name)
                taken["source_sheet"].append(sheet)
                taken["source_row"].append(number)
                for name, value in values.items():
                    taken[name].append(value)
            files[f"{path.name}|{sheet}"] = len(rows) - 1
    schema = pa.schema(
        [
            ("source_file", pa.dictionary(pa.int32(), pa.string())),
            ("source_sheet", pa.dictionary(pa.int32(), pa.string())),
            ("source_row", pa.int32()),
            *(
                pa.field(name, pa.string(), metadata={"role": column.role})
                for name, column in params.columns.items()
            ),
        ]
    )
    arrays = [pa.array(taken[field.name], field.type) for field in schema]
    table = pa.Table.from_arrays(arrays, schema=schema)
    if rows_read != table.num_rows + len(rejects):
        raise AssertionError("rows were lost")
    write_table(table, OUT / "transactions.parquet")
    columns = list(zip(*rejects, strict=True)) or [[]] * len(REJECTS)
    write_table(
        pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, REJECTS, strict=True)], schema=REJECTS
        ),
        OUT / "rejects.parquet",
    )
    write_json(
        {
            "rows_read": rows_read,
            "rows_out": table.num_rows,
            "rows_rejected": len(rejects),
            "reasons": dict(reasons.most_common()),
            "sheets": files,
        },
        REPORT,
    )


if __name__ == "__main__":
    run_stage(main)
