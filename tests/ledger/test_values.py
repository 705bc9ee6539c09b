"""A function of one cell is applied to a whole column."""

import pyarrow as pa

from stages.lib.ledger.values import map_values


def test_map_values_keeps_order_and_empties():
    column = pa.array(["b", "", "a", "b"])
    assert map_values(column, str.upper, pa.string()).to_pylist() == ["B", "", "A", "B"]
    assert map_values(column, len, pa.int64()).to_pylist() == [1, None, 1, 1]


def test_each_distinct_value_is_computed_once():
    seen = []
    column = pa.array(["a", "b", "a", "", "a"])
    map_values(column, lambda text: seen.append(text) or text, pa.string())
    assert seen == ["a", "b"]
