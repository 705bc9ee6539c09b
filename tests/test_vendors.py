"""Vendors with reference numbers are compared without them."""

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.vendors import are_better, plain_vendors, share_alone


@pytest.mark.parametrize(
    ("vendor", "plain"),
    [
        ("amzn mktp ca*2k4tx81", "amzn mktp ca"),
        ("paypal *john 4029357733", "paypal john"),
        ("uber   trip 1x2y", "uber trip"),
        ("staples #5", "staples"),
        ("쿠팡 주문 20240105-1234", "쿠팡 주문"),
        ("7-eleven 32456", "7-eleven"),
        ("3m", "3m"),
        ("the home depot", "the home depot"),
        ("4029357733", "4029357733"),
        ("", ""),
    ],
)
def test_numbers_and_words_with_several_digits_go(vendor, plain):
    assert plain_vendors(pa.array([vendor], pa.string())).to_pylist() == [plain]


def test_the_share_of_rows_with_a_vendor_of_their_own():
    assert share_alone(np.array([1, 2, 2, 3])) == 0.5
    assert share_alone(np.array([], np.int64)) == 0.0


def test_vendors_without_numbers_are_better_unless_all_become_one():
    vendor = np.arange(6)
    assert are_better(np.array([0, 0, 1, 1, 2, 2]), vendor)
    assert not are_better(vendor, vendor)
    assert not are_better(np.zeros(6, np.int64), vendor)  # such as "INV 4711"
