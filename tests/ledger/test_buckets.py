"""The amount of a row is debit less credit, and a word."""

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.ledger.buckets import amount_buckets, net_amounts


@pytest.mark.parametrize("count", [2, 4])
def test_words_against_a_loop(count):
    edges = [-5.0, 0.0, 2.5, 1e6][:count]
    amounts = np.array([-10, -5, -1, 0, 1, 2.5, 3, 1e6, 1e9, np.nan])
    expected = []
    for amount in amounts:
        word = next((f"<{e:.15g}" for e in edges if amount < e), f">={edges[-1]:.15g}")
        expected.append("" if np.isnan(amount) else word)
    assert amount_buckets(amounts, edges).to_pylist() == expected


def test_credits_are_subtracted_from_debits():
    rows = pa.table({"debit": [5.0, None, 10.0, None], "credit": [None, 7.5, 2.0, None]})
    assert net_amounts(rows, "debit", "credit").to_pylist() == [5.0, -7.5, 8.0, None]
    assert net_amounts(rows, "debit", None).to_pylist() == [5.0, None, 10.0, None]
    assert net_amounts(rows, None, None).to_pylist() == [None] * 4
