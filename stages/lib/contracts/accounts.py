"""The chart of accounts, which `preprocess` writes and several stages read."""

from pathlib import Path

import pyarrow as pa

ACCOUNTS = Path("data/preprocess/accounts.parquet")

# By code: its most frequent name (the code itself if it has none), its rows, and other forms of the
# code and names that no other account has more often.
ACCOUNTS_SCHEMA = pa.schema(
    [
        ("acct_code", pa.string()),
        ("acct_name", pa.string()),
        ("rows", pa.int64()),
        ("also_written", pa.list_(pa.string())),
    ]
)
