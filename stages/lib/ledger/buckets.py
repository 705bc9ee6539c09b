"""The amount of a row: debit less credit, and as a word such as "<50"."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def amount_buckets(amounts: np.ndarray, edges: list[float]) -> pa.Array:
    """Return a word for each amount: "<50" is below 50 and not below the edge before it.

    Parameters
    ----------
    amounts : ndarray of float64, (rows,)
        In units of the ledger's currency; NaN where there is none: the word is "".
    edges : list of float
        Rising, in the same units.

    Returns
    -------
    Array of string, (rows,)
    """
    words = [f"<{edge:.15g}" for edge in edges] + [f">={edges[-1]:.15g}", ""]
    bucket = np.searchsorted(edges, amounts, side="right")
    bucket[np.isnan(amounts)] = len(words) - 1
    return pa.array(words).take(pa.array(bucket))


def net_amounts(rows: pa.Table, debit: str | None, credit: str | None) -> pa.Array:
    """Return the debit, less the credit where the ledger has two columns.

    Parameters
    ----------
    rows : Table
    debit, credit : str or None
        Names of columns of float64. None: the ledger has no such column.

    Returns
    -------
    Array of float64, (rows,)
        Null where both are empty.
    """
    if debit is None:
        return pa.nulls(len(rows), pa.float64())
    if credit is None:
        return rows[debit].combine_chunks()
    both_empty = pc.and_(pc.is_null(rows[debit]), pc.is_null(rows[credit]))
    net = pc.subtract(pc.fill_null(rows[debit], 0.0), pc.fill_null(rows[credit], 0.0))
    return pc.if_else(both_empty, None, net).combine_chunks()
