"""What `ingest` hands to `preprocess`: one table of text."""

from pathlib import Path

import pyarrow as pa

from stages.lib.contracts.names import MASKED, ORIGIN
from stages.lib.contracts.roles import with_role

TRANSACTIONS = Path("data/ingest/transactions.parquet")
REJECTS = Path("data/ingest/rejects.parquet")

ORIGIN_FIELDS = tuple(
    pa.field(name, kind)
    for name, kind in zip(
        ORIGIN, (*[pa.dictionary(pa.int32(), pa.string())] * 2, pa.int32()), strict=True
    )
)
# Every row that is not among the transactions, with its cells.
REJECTS_SCHEMA = pa.schema(
    [*ORIGIN_FIELDS, pa.field("reason", pa.string()), pa.field("cells", pa.list_(pa.string()))]
)


def transactions_schema(roles: dict[str, str]) -> pa.Schema:
    """Return the schema of the transactions: origin, a column of text for each canonical column,
    and the digest of what was masked.

    Parameters
    ----------
    roles : dict of str to str
        The role of each canonical column.
    """
    columns = [with_role(name, pa.string(), role) for name, role in roles.items()]
    return pa.schema([*ORIGIN_FIELDS, *columns, pa.field(MASKED, pa.string())])
