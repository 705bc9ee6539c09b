"""What `preprocess` hands to `feature`: clean rows, typed by role."""

from pathlib import Path

import pyarrow as pa

from stages.lib.contracts.names import ORIGIN
from stages.lib.contracts.roles import column_roles, with_role

TRANSACTIONS = Path("data/preprocess/transactions.parquet")
REJECTS = Path("data/preprocess/rejects.parquet")

_KINDS = {"amount": pa.float64(), "date": pa.date32()}


def transactions_schema(raw: pa.Schema) -> pa.Schema:
    """Return the schema of the clean rows: origin, then the ledger's columns but for the role id;
    amounts are float64, dates date32, all others text.

    Parameters
    ----------
    raw : Schema
        Of the rows that `ingest` wrote.
    """
    columns = [
        with_role(name, _KINDS.get(role, pa.string()), role)
        for name, role in column_roles(raw).items()
        if role != "id"
    ]
    return pa.schema([*(raw.field(name) for name in ORIGIN), *columns])


def rejects_schema(raw: pa.Schema) -> pa.Schema:
    """Return the schema of the refused rows: origin, reason, and the column that it is about."""
    reason = [("reason", pa.string()), ("column", pa.string())]
    return pa.schema([*(raw.field(name) for name in ORIGIN), *reason])
