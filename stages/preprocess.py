"""Turn raw text into clean text, dates, amounts and accounts.

Reads ``data/ingest/transactions.parquet``. Writes ``data/preprocess/transactions.parquet`` (without
columns of the role id), ``rejects.parquet`` (where each refused row came from, and why),
``accounts.parquet`` (the chart of accounts, with all forms of its codes and names) and
``metrics/preprocess/report.json``. Parameters: ``preprocess``.
"""

import sys
from functools import partial
from pathlib import Path

from stages.lib.contracts import ingest
from stages.lib.contracts.accounts import ACCOUNTS, ACCOUNTS_SCHEMA
from stages.lib.contracts.preprocess import (
    REJECTS,
    TRANSACTIONS,
    rejects_schema,
    transactions_schema,
)
from stages.lib.ledger.account_spellings import merge_lines
from stages.lib.ledger.accounts import chart_of_accounts
from stages.lib.ledger.cleaning import clean_groups
from stages.lib.ledger.cleaning_report import Tally
from stages.lib.ledger.row_counts import row_counts
from stages.lib.parallel import cores
from stages.lib.params.files import load_params
from stages.lib.params.preprocess import PreprocessParams
from stages.lib.process import run_stage
from stages.lib.progress import Progress
from stages.lib.tables import open_table, read_group, table_writers, write_json

REPORT = Path("metrics/preprocess/report.json")


def main() -> None:
    params = load_params(preprocess=PreprocessParams).preprocess
    with open_table(ingest.TRANSACTIONS) as file:
        raw, rows_in = file.schema_arrow, file.metadata.num_rows
        groups = [partial(read_group, ingest.TRANSACTIONS, i) for i in range(file.num_row_groups)]
    schemas = {
        TRANSACTIONS: transactions_schema(raw),
        REJECTS: rejects_schema(raw),
        ACCOUNTS: ACCOUNTS_SCHEMA,
    }
    tally = Tally()
    bar = Progress("preprocess", 2 * len(groups))
    with bar, table_writers(schemas) as (transactions, rejects, chart):
        workers = min(cores(), len(groups))
        for part in clean_groups(
            groups, params, workers=workers, progress=bar.update, tell=tally.told.append
        ):
            transactions.write(part.taken)
            rejects.write(part.rejects)
            tally.add(*part)
        tally.check(rows_in, params)
        chart.write(chart_of_accounts(tally.accounts))
    report = tally.report()
    write_json(report, REPORT)
    counts = row_counts(report, rows_in, REJECTS)
    lines = [f"preprocess: {remark}" for remark in (*counts, *tally.remarks())]
    if merge := tally.spellings():
        lines.append(merge_lines({**params.labels.merge, **merge}))
    print(*lines, sep="\n", file=sys.stderr)  # stdout may not take every letter


if __name__ == "__main__":
    run_stage(main)
