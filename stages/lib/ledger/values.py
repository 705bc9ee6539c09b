"""Apply a function of one cell to a whole column."""

from collections.abc import Callable

import pyarrow as pa


def map_values(column: pa.Array, function: Callable, kind: pa.DataType) -> pa.Array:
    """Return `function` of each value as an array of type `kind`, computed once a distinct value.

    An empty value is null, or stays empty where `kind` is string.
    """
    encoded = column.dictionary_encode()
    values = [function(value) if value else None for value in encoded.dictionary.to_pylist()]
    if kind == pa.string():
        values = [value or "" for value in values]
    return pa.array(values, kind).take(encoded.indices)
