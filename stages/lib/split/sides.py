"""The side of each row, and the files with the rows of each side."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import ROW_ID, SIDES
from stages.lib.contracts.split import SET_ASIDE, SET_ASIDE_SCHEMA, side_path
from stages.lib.tables import open_table, read_group, table_writers

TRAIN, VAL, TEST = range(len(SIDES))
# Why a row is on no side.
ASIDE = ("rare account", "no date", "identical to an earlier side")
RARE, UNDATED, SEEN_BEFORE = range(len(ASIDE))


class Dealt(NamedTuple):
    """Where each row goes.

    Attributes
    ----------
    side : ndarray of int8, (rows,)
        The position in `SIDES`; -1: set aside.
    aside : ndarray of int8, (rows,)
        The position in `ASIDE` of the reason; -1: not set aside.
    blocks : ndarray of bool, (rows,)
        Whether the row trains because too many rows are identical to it.
    """

    side: np.ndarray
    aside: np.ndarray
    blocks: np.ndarray


def count_sides(side: np.ndarray) -> np.ndarray:
    """Return the number of rows on each side, int64 (3,)."""
    return np.bincount(side[side >= 0], minlength=len(SIDES))


def share_sides(side: np.ndarray) -> np.ndarray:
    """Return the share of each side in the rows that are on a side, float64 (3,)."""
    counts = count_sides(side)
    return counts / max(1, counts.sum())


def write_sides(base: Path, dealt: Dealt, more: pa.Table | None = None) -> None:
    """Write the rows of each side, and the numbers of the rows that are set aside.

    Parameters
    ----------
    base : Path
        The base table.
    dealt : Dealt
    more : Table, optional
        Training rows that follow those of the base table.
    """
    with open_table(base) as file:
        schema, groups = file.schema_arrow, file.num_row_groups
    schemas = {side_path(name): schema for name in SIDES} | {SET_ASIDE: SET_ASIDE_SCHEMA}
    start, written = 0, 0
    with table_writers(schemas) as (*writers, rest):
        for group in range(groups):
            table = read_group(base, group)
            here = slice(start, start + len(table))
            for number, writer in enumerate(writers):
                of_side = table.filter(pa.array(dealt.side[here] == number))
                writer.write(of_side)
                written += len(of_side)
            left = _set_aside(table[ROW_ID], dealt.aside[here])
            rest.write(left)
            written += len(left)
            start += len(table)
        if written != start:
            raise RuntimeError(f"rows were lost: {start} read, {written} written")
        if more is not None and more.num_rows:
            writers[TRAIN].write(more)


def _set_aside(row_id: pa.ChunkedArray, aside: np.ndarray) -> pa.Table:
    gone = aside >= 0
    reason = pa.DictionaryArray.from_arrays(pa.array(aside[gone].astype(np.int32)), list(ASIDE))
    return pa.table([row_id.filter(pa.array(gone)), reason], schema=SET_ASIDE_SCHEMA)
