"""Every row of the base table is written once: to its side, or to those set aside."""

import numpy as np
import pytest
from base_tables import some_rows, write_base

from stages.lib.contracts.feature import BASE
from stages.lib.contracts.names import SIDES
from stages.lib.contracts.split import FOLDER, SET_ASIDE, SET_ASIDE_SCHEMA, side_path
from stages.lib.split.sides import (
    RARE,
    TEST,
    TRAIN,
    UNDATED,
    VAL,
    Dealt,
    count_sides,
    share_sides,
    write_sides,
)
from stages.lib.tables import read_table

SIDE = np.array([TEST, TRAIN, -1, VAL, TRAIN, -1], np.int8)
ASIDE = np.array([-1, -1, UNDATED, -1, -1, RARE], np.int8)


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_base(some_rows(["v"] * 6))


def test_rows_are_written_to_their_side_in_order():
    write_sides(BASE, Dealt(SIDE, ASIDE, np.zeros(6, bool)))
    whole = read_table(BASE)
    for name, rows in zip(SIDES, ([1, 4], [3], [0]), strict=True):
        assert read_table(side_path(name)).equals(whole.take(rows))
    aside = read_table(SET_ASIDE)
    assert aside.to_pydict() == {"row_id": [2, 5], "reason": ["no date", "rare account"]}
    assert aside.schema == SET_ASIDE_SCHEMA


def test_a_row_without_side_and_reason_is_a_bug_and_leaves_no_file():
    with pytest.raises(RuntimeError, match="lost"):
        write_sides(BASE, Dealt(SIDE, np.full(6, -1, np.int8), np.zeros(6, bool)))
    assert list(FOLDER.iterdir()) == []


def test_sides_are_counted_without_the_rows_set_aside():
    assert count_sides(SIDE).tolist() == [2, 1, 1]
    assert share_sides(SIDE).tolist() == [0.5, 0.25, 0.25]
    assert share_sides(np.full(3, -1, np.int8)).tolist() == [0, 0, 0]
