"""What `split` hands on: the rows of the base table by side."""

from pathlib import Path

import pyarrow as pa

from stages.lib.contracts.names import ROW_ID, SIDES

FOLDER = Path("data/split")
# Every other row, and the reason.
SET_ASIDE = FOLDER / "set_aside.parquet"
SET_ASIDE_SCHEMA = pa.schema(
    [(ROW_ID, pa.int64()), ("reason", pa.dictionary(pa.int32(), pa.string()))]
)


def side_path(side: str) -> Path:
    """Return the path of the rows of one of `SIDES`, a table like the base table."""
    if side not in SIDES:
        raise ValueError(side)
    return FOLDER / f"{side}.parquet"
