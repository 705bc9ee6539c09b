"""Read rows that have no account yet, as the base table has them."""

from collections import Counter
from types import SimpleNamespace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import GROUP, ORIGIN
from stages.lib.errors import UserError
from stages.lib.ledger.base_table import make_base_table
from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.columns import select_columns
from stages.lib.ledger.reading import Ledger, read_ledger
from stages.lib.ledger.rows import NOT_TRANSACTIONS
from stages.lib.params.feature import FeatureParams
from stages.lib.params.ingest import IngestParams

# Rows without content. A subtotal is not among them: without accounts it may be a transaction.
SILENT = tuple(reason for reason in NOT_TRANSACTIONS if reason != "subtotal")


class NewRows(NamedTuple):
    """Rows to code, and all other rows of their files.

    Attributes
    ----------
    base : Table
        A base table, whose accounts are empty.
    refused : list of list
        Origin and reason of each row that cannot be coded.
    silent : int
        Number of rows without content, such as blank ones and headers.
    remarks : list of str
        What the user should know about the files.
    """

    base: pa.Table
    refused: list[list]
    silent: int
    remarks: list[str]


def read_new_rows(source: str, params: SimpleNamespace) -> NewRows:
    """Return the rows of a file or folder in the form in which the model has learned rows.

    Parameters
    ----------
    source : str
        File or folder in the form of the ledger. Its accounts, if it has any, are not read.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess`` and ``feature``.

    Raises
    ------
    UserError
        A file cannot be read, lacks a column that the model sees, or has no row to code.
    """
    ingest, feature = params_of_new_rows(params.ingest, params.feature, source)
    ledger = read_ledger(ingest, has_labels=False)
    cleaned = clean_rows(ledger.transactions, params.preprocess, has_labels=False)
    base = make_base_table(cleaned.transactions, feature)
    refused = refused_rows(ledger.rejects, cleaned.rejects)
    silent = count_silent(ledger, len(base) + len(refused))
    return NewRows(base, refused, silent, ledger.remarks)


def read_posted_rows(source: str, params: SimpleNamespace) -> tuple[pa.Table, Counter]:
    """Return the rows of a file or folder of posted transactions, as a base table with accounts,
    and the reasons why others cannot be used, with their numbers.

    The files must have the columns that new rows must have, and the account.

    Parameters
    ----------
    source : str
        File or folder in the form of the ledger.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess`` and ``feature``.

    Raises
    ------
    UserError
        A file cannot be read, lacks a required column, or has no posted row.
    """
    ingest, feature = params_of_new_rows(params.ingest, params.feature, source)
    labels = {name for name, role in params.ingest.roles.items() if role.startswith("label")}
    columns = {n: c for n, c in params.ingest.columns.items() if n in ingest.columns or n in labels}
    required = [*dict.fromkeys([*ingest.required, ingest.label])]
    ingest = ingest.model_copy(update={"columns": columns, "required": required})
    preprocess = params.preprocess.model_copy(update={"max_reject_fraction": 1.0})
    ledger = read_ledger(ingest)
    try:
        cleaned = clean_rows(ledger.transactions, preprocess)
    except UserError as error:
        action = "correct the file, or the keys of preprocess that say how its columns are read"
        problem = f"has no row that can be used: {error.problem.partition('%: ')[2]}"
        raise UserError("no-posted-row", source, problem, action) from None
    reasons = Counter(row[-1] for row in refused_rows(ledger.rejects, cleaned.rejects))
    return make_base_table(cleaned.transactions, feature), reasons


def params_of_new_rows(
    ingest: IngestParams, feature: FeatureParams, source: str
) -> tuple[IngestParams, FeatureParams]:
    """Return the sections ``ingest`` and ``feature`` for the rows in `source`.

    Columns that shape no visible field may be missing there, so they are left out, unless they are
    required. No share of refused rows is too large, because each of them is listed.
    """
    used = _used_columns(ingest, feature)
    rows = select_columns(ingest, {*used, ingest.label})
    required = [name for name in rows.required if name in used]
    rows = rows.model_copy(
        update={
            "source": source,
            "required": required or [name for name in feature.fields if name in used][:1],
            "max_reject_fraction": 1.0,
        }
    )
    group = feature.group_column if feature.group_column in used else None
    return rows, feature.model_copy(update={"group_column": group})


def _used_columns(ingest: IngestParams, feature: FeatureParams) -> set[str]:
    own = {feature.date_column, feature.amount_column, feature.credit_column}
    if GROUP in feature.fields:
        own.add(feature.group_column)
    unknown = {n for n, role in ingest.roles.items() if role in ("id", "label", "label_name")}
    return {*feature.fields, *own, *ingest.required} & ingest.roles.keys() - unknown


def refused_rows(unread: pa.Table, unclean: pa.Table) -> list[list]:
    """Return origin and reason of each row that reading or cleaning refused.

    Parameters
    ----------
    unread : Table
        The rejects of `read_ledger`, of which those without content are left out.
    unclean : Table
        The rejects of `clean_rows`.
    """
    unread = unread.filter(pc.invert(pc.is_in(unread["reason"], pa.array(SILENT))))
    rows = [
        [*(row[name] for name in ORIGIN), row["reason"]]
        for row in unread.select([*ORIGIN, "reason"]).to_pylist()
    ]
    for row in unclean.to_pylist():
        rows.append([*(row[name] for name in ORIGIN), f"{row['reason']} in {row['column']}"])
    return rows


def count_silent(ledger: Ledger, others: int) -> int:
    """Return how many rows are without content.

    Parameters
    ----------
    ledger : Ledger
    others : int
        Number of rows that are coded or refused.
    """
    silent = sum(ledger.report["reasons"].get(reason, 0) for reason in SILENT)
    if ledger.report["rows_read"] != others + silent:
        raise RuntimeError(f"rows were lost: {ledger.report['rows_read']} read, {others} kept")
    return silent
