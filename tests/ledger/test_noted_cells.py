"""Examples show the first row and its cell, short and without personal data."""

import numpy as np
import pyarrow as pa
from raw_tables import raw_table, row

from stages.lib.ledger.noted_cells import count_unread, find_example, shortened


def test_an_example_is_the_first_row_with_different_cells():
    raw = raw_table(*(row(amount=a) for a in ["1", "x", "y", "x"]))
    example = find_example(raw, "amount", np.array([False, True, True, True]))
    assert str(example) == "a.csv row 3: 'x'" and example.cells == ["x", "y"]
    assert str(find_example(raw, "", np.array([True] * 4))) == "a.csv row 2"


def test_a_shown_cell_is_short_and_masked():
    assert shortened("a\n b") == "a b"
    assert shortened("x" * 99) == "x" * 39 + "…"
    assert shortened("800101-1234567") == "[resident_number]"


def test_unread_cells_with_digits_are_counted_by_file():
    raw = pa.concat_tables(
        [
            raw_table(*(row(date=d) for d in ["99/99", "soon", "", "2024-01-01"]), file="a"),
            raw_table(row(), file="b"),
        ]
    )
    found = count_unread(raw, "date", pa.array([True, True, False, False, False]))
    assert {file: (f.filled, f.unread) for (file, _), f in found.items()} == {
        "a": (3, 1),
        "b": (1, 0),
    }
    assert str(found["a", "date"].example) == "a row 2: '99/99'"
