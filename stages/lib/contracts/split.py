"""What `split` hands on: the rows of the base table by side."""

from pathlib import Path

from stages.lib.contracts.names import SIDES

FOLDER = Path("data/split")
# The row_id of every other row, and the reason.
SET_ASIDE = FOLDER / "set_aside.parquet"


def side_path(side: str) -> Path:
    """Return the path of the rows of one of `SIDES`, a table like the base table."""
    if side not in SIDES:
        raise ValueError(side)
    return FOLDER / f"{side}.parquet"
