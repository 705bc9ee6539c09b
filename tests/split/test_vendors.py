"""Vendors are compared without their numbers only where that says more."""

import numpy as np
from base_tables import rows_of, some_rows

from stages.lib.split.vendors import merge_vendors


def never() -> np.ndarray:
    raise AssertionError("vendors that repeat are not read again")


def test_vendors_that_repeat_stay_as_they_are():
    rows = rows_of(some_rows(["a", "a", "b", ""]))
    assert merge_vendors(rows, never) == (rows, [])
    vendorless = rows_of(some_rows(["", ""]))
    assert merge_vendors(vendorless, never) == (vendorless, [])


def test_vendors_without_numbers_take_the_place_of_those_that_never_repeat():
    rows = rows_of(some_rows(["a 11", "a 22", "b 33", "b 44", ""]))
    plain = np.array([0, 0, 2, 2, -1])
    merged, (remark,) = merge_vendors(rows, lambda: plain)
    assert merged.vendor.tolist() == plain.tolist()
    assert "100.0%" in remark and "0.0%" in remark


def test_vendors_that_nothing_makes_alike_get_a_remark():
    rows = rows_of(some_rows(["a", "b", "c"]))
    assert merge_vendors(rows, lambda: rows.vendor)[0] is rows
    one = np.zeros(3, np.int64)  # such as "INV" for all
    merged, (remark,) = merge_vendors(rows, lambda: one)
    assert merged is rows and "100.0%" in remark
