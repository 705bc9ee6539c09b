"""Read ledger files as they are into one table of text.

Reads the files of ``ingest.source``. Writes ``data/ingest/transactions.parquet``: where each row
came from, one text column for each column of the ledger, and ``masked``. Writes
``data/ingest/rejects.parquet``: every other row, with its cells and the reason. Writes
``metrics/ingest/report.json``: what was found and guessed in each file. Personal data is masked in
all of them. Parameters: ``ingest``.
"""

import sys
from functools import partial
from pathlib import Path

from stages.lib.contracts.ingest import (
    REJECTS,
    REJECTS_SCHEMA,
    TRANSACTIONS,
    transactions_schema,
)
from stages.lib.ledger.reading import read_parts
from stages.lib.ledger.reading_report import Seen, check_and_report
from stages.lib.ledger.row_counts import row_counts
from stages.lib.ledger.source import Source, find_files, unchanged_files
from stages.lib.params.files import load_params
from stages.lib.params.ingest import IngestParams
from stages.lib.process import run_stage
from stages.lib.progress import Progress
from stages.lib.tables import table_writers, write_json

REPORT = Path("metrics/ingest/report.json")


def write_tables(source: Source, params: IngestParams) -> dict:
    """Write the tables of the ledger in the files of `source`, and return the report."""
    seen = Seen()
    schemas = {TRANSACTIONS: transactions_schema(params.roles), REJECTS: REJECTS_SCHEMA}
    progress = Progress("ingest", source.size)
    with progress, table_writers(schemas) as (transactions, rejects):
        for part in read_parts(source, params, progress=progress.update):
            if part.sheet.rows_read:
                transactions.write(part.transactions)
                rejects.write(part.rejects)
            seen.add(part)
        return check_and_report(seen, source.left_out, params)


def main() -> None:
    params = load_params(ingest=IngestParams).ingest
    find = partial(find_files, params.source, params.files)
    with unchanged_files(find, (TRANSACTIONS, REJECTS, REPORT)) as source:
        report = write_tables(source, params)
        write_json(report, REPORT)
    counts = row_counts(report, report["rows_read"], REJECTS)
    for remark in (*counts, *report.get("remarks", [])):
        print(f"ingest: {remark}", file=sys.stderr)  # stdout may not take every letter


if __name__ == "__main__":
    run_stage(main)
