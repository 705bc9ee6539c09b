"""Apply a function of one cell to a whole column."""

from collections.abc import Callable

import pyarrow as pa


def map_values(column: pa.Array, function: Callable, kind: pa.DataType) -> pa.Array:
    """Return `function` of each value, computed once for each distinct value.

    Parameters
    ----------
    column : Array of string, (rows,)
    function : callable
        Of one value that is not empty.
    kind : DataType
        Of the result.

    Returns
    -------
    Array of `kind`, (rows,)
        Null for an empty value; "" if `kind` is string.
    """
    encoded = column.dictionary_encode()
    values = [function(value) if value else None for value in encoded.dictionary.to_pylist()]
    if kind == pa.string():
        values = [value or "" for value in values]
    return pa.array(values, kind).take(encoded.indices)
