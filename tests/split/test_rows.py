"""What the split knows of each row: equal rows, vendors, and what links them."""

import numpy as np
import pytest
from base_tables import FIELDS, base_table, first_positions, write_base
from refusals import refused

from stages.lib import tables
from stages.lib.contracts.feature import BASE
from stages.lib.split.rows import digest_rows, linked_groups, read_rows
from stages.lib.tables import number_groups, read_table, write_table

LEDGER = [
    ("2020-01-02", "esso 12", "fuel", "0101"),
    ("2020-01-01", "", "fuel", "0102"),
    (None, "esso 12", "fuel", "0101"),
    ("2020-01-03", "esso 13", "fuel", "0102"),
    ("2020-01-03", "", "77-1", "0101"),
    ("2020-01-03", "", "77-2", "0101"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_rows_are_numbered_by_the_first_equal_one():
    write_base(LEDGER)
    rows = read_rows(BASE, "acct_code", FIELDS)
    assert rows.label.tolist() == [0, 1, 0, 1, 0, 0]
    assert rows.vendor.tolist() == [0, -1, 0, 3, -1, -1]
    assert rows.same.tolist() == [0, 1, 0, 3, 4, 5]
    # Digits make no difference to `alike`; rows without letters are not alike.
    assert rows.alike.tolist() == [0, 1, 0, 0, 4, 5]
    assert rows.date.astype(str).tolist()[:3] == ["2020-01-02", "2020-01-01", "NaT"]


def test_the_amount_is_part_of_equal_rows_but_has_no_letters():
    write_base([LEDGER[0]] * 3, buckets=["<20", "<50", "<20"])
    rows = read_rows(BASE, "acct_code", FIELDS)
    assert (rows.same.tolist(), rows.alike.tolist()) == ([0, 1, 0], [0, 0, 0])
    rows = read_rows(BASE, "acct_code", ["amount_bucket"])
    assert (rows.same.tolist(), rows.alike.tolist()) == ([0, 1, 0], [0, 1, 0])


def test_rows_without_letters_are_not_alike():
    table = base_table([("2020-04-16", str(i), f"{i * 7}-{i}", "0101") for i in range(60)])
    *_, alike, _ = digest_rows(table, "acct_code", FIELDS)
    assert number_groups(alike).tolist() == list(range(60))


def test_the_number_of_row_groups_makes_no_difference(monkeypatch):
    write_base(LEDGER * 5)
    whole = read_rows(BASE, "acct_code", FIELDS)
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 16)
    monkeypatch.setattr("stages.lib.split.rows.cores", lambda: 1)
    write_base(LEDGER * 5)
    assert tables.open_table(BASE).num_row_groups == 2
    for one, other in zip(whole, read_rows(BASE, "acct_code", FIELDS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_column_that_the_base_table_lacks_is_named():
    write_base(LEDGER)
    with refused("no-column", str(BASE), "no column code;", "feature.fields"):
        read_rows(BASE, "acct_code", ["code"])
    write_table(read_table(BASE).drop(["date", "group"]), BASE)
    with refused("no-column", "no column code, date, group;"):
        read_rows(BASE, "acct_code", ["code"])


def flood(same: np.ndarray, vendor: np.ndarray) -> np.ndarray:
    """Return the first row that each row reaches, one link at a time."""
    first = np.full(len(same), -1)
    for start in range(len(same)):
        edge = [start] if first[start] < 0 else []
        while edge:
            row = edge.pop()
            if first[row] < 0:
                first[row] = start
                near = (same == same[row]) | ((vendor == vendor[row]) & (vendor[row] >= 0))
                edge += np.flatnonzero(near).tolist()
    return first


def test_links_run_through_vendors_and_equal_rows():
    choose = np.random.default_rng(1)
    for _ in range(50):
        same = first_positions(choose.integers(0, 30, 60).tolist())
        vendor = first_positions(v if v else None for v in choose.integers(0, 26, 60).tolist())
        found = linked_groups(same, vendor)
        # A group's number is its first row, so the order of groups does not depend on scipy.
        assert found.tolist() == flood(same, vendor).tolist()
        assert found.dtype == np.int64


def test_without_vendors_only_equal_rows_are_linked():
    same = first_positions([3, 1, 3, 2, 1])
    assert linked_groups(same, np.full(5, -1)).tolist() == same.tolist()


def test_a_long_chain_of_links_is_one_group():
    rows = np.arange(300_000)
    same, vendor = rows // 2 * 2, np.maximum(0, (rows + 1) // 2 * 2 - 1)
    assert not linked_groups(same, vendor).any()
