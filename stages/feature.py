"""Make the base table: the fields that the model may see, and the account of each row.

Reads ``data/preprocess/transactions.parquet`` and ``accounts.parquet``. Writes
``data/feature/base.parquet`` (its columns are those in ``lib/contracts/feature.py``),
``data/feature/rows.json`` (the roles of the visible fields, and the parameters that the rows were
made with) and ``metrics/feature/report.json``. Parameters: ``feature``, ``ingest.mask``, and of
``preprocess`` the keys in ``lib/params/row_shape.py``.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.feature import BASE, ROWS
from stages.lib.contracts.preprocess import TRANSACTIONS
from stages.lib.contracts.roles import column_roles
from stages.lib.ledger.account_words import AccountWords, account_words
from stages.lib.ledger.base_table import base_rows, base_schema, check_base_columns, field_roles
from stages.lib.ledger.leaks import Evidence, check_leaks, find_evidence, leak_rates
from stages.lib.parallel import cores, map_ordered
from stages.lib.params.feature import FeatureParams
from stages.lib.params.files import load_params
from stages.lib.params.row_shape import MaskedKinds, TextCase, row_shape_of
from stages.lib.process import run_stage
from stages.lib.progress import Progress
from stages.lib.tables import open_table, read_group, read_table, table_writers, write_json

REPORT = Path("metrics/feature/report.json")
# Copies of the account are looked for in about so many rows, spread over the ledger.
SAMPLED_ROWS = 1_000_000


class Task(NamedTuple):
    """A group of clean rows, the number of its first row, and whether it is among the sample."""

    read: Callable[[], pa.Table]
    first: int
    sampled: bool


def make_tasks(sizes: list[int]) -> list[Task]:
    """Return a task for each row group of the clean rows."""
    firsts = np.cumsum([0, *sizes])
    every = max(1, round(firsts[-1] / SAMPLED_ROWS))
    return [
        Task(partial(read_group, TRANSACTIONS, i), int(firsts[i]), i % every == 0)
        for i in range(len(sizes))
    ]


def do_task(task: Task, params: FeatureParams, words: AccountWords) -> tuple[pa.Table, Evidence]:
    """Return the base rows of one group, and what they show about leaks."""
    base = base_rows(task.read(), task.first, params)
    return base, find_evidence(base, params.fields, words, task.sampled)


def main() -> None:
    sections = load_params(ingest=MaskedKinds, preprocess=TextCase, feature=FeatureParams)
    params = sections.feature
    accounts = read_table(ACCOUNTS).to_pylist()
    rows_of = {row["acct_code"]: row["rows"] for row in accounts}
    with open_table(TRANSACTIONS) as file:
        clean, rows_in = file.schema_arrow, file.metadata.num_rows
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    check_base_columns(clean, params)
    work = partial(do_task, params=params, words=account_words(accounts))
    evidence, rows_out, tasks = Evidence(), 0, make_tasks(sizes)
    progress = Progress("feature", len(tasks))
    with progress, table_writers({BASE: base_schema(clean, params)}) as (writer,):
        parts = map_ordered(work, tasks, min(cores(), len(tasks)))
        for _, (base, seen) in parts:
            progress.update()
            writer.write(base)
            rows_out += len(base)
            evidence.add(seen)
        if rows_out != rows_in or rows_out != sum(rows_of.values()):
            raise RuntimeError(f"rows were lost: {rows_in} in, {rows_out} out")
        rates = leak_rates(evidence, params.fields, rows_of)
        check_leaks(rates, params)
    roles = column_roles(clean)
    write_json(
        {
            "roles": field_roles(roles, params.fields),
            "made_with": row_shape_of(sections, roles),
        },
        ROWS,
    )
    write_json({"rows": rows_in, "accounts": len(accounts), "fields": rates}, REPORT)
    print(f"feature: {rows_in:,} rows, {len(accounts):,} accounts, {len(rates):,} fields")


if __name__ == "__main__":
    run_stage(main)
