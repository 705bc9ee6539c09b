"""The report counts what is on each side, and what train knows of it."""

import numpy as np
from base_tables import rows_of

from stages.lib.split.report import make_report
from stages.lib.split.sides import TEST, TRAIN, VAL, Dealt

LEDGER = [
    ("2020-01-02", "esso 1", "fuel", "0101"),
    ("2020-01-01", "esso 1", "fuel", "0101"),
    ("2020-01-05", "ymca", "gym", "0102"),
    (None, "esso 2", "fuel", "0103"),
    ("2020-01-04", "ymca", "swim", "0101"),
    ("2020-01-03", "", "gift", "0103"),
    ("2020-01-06", "esso 1", "oil", "0101"),
]


def report() -> dict:
    side = np.array([TRAIN, TRAIN, TRAIN, VAL, TEST, TEST, TRAIN], np.int8)
    none, blocks = np.full(7, -1, np.int8), np.array([1, 1, 0, 0, 0, 0, 0], bool)
    return make_report(rows_of(LEDGER), Dealt(side, none, blocks), ["a remark"])


def test_each_side_is_described():
    sides = report()["sides"]
    assert sides["train"] == {
        "rows": 4,
        "share": 0.571429,
        "accounts": 2,
        "vendors": 2,
        "vendors_by_rows_in_ledger": {"1+": 0, "2+": 2, "10+": 0, "100+": 0},
        "rows_of_the_largest_block": 2,
        "first_date": "2020-01-01",
        "last_date": "2020-01-06",
    }
    assert (sides["val"]["first_date"], sides["val"]["last_date"]) == (None, None)
    assert (sides["test"]["rows"], sides["test"]["vendors"]) == (2, 1)


def test_the_border_with_train_is_counted():
    assert report()["border"] == {
        "val_rows_identical_to_train": 0,
        "val_rows_alike_but_for_digits": 1,
        "val_rows_of_unseen_accounts": 1,
        "val_rows_of_unseen_vendors": 1,
        "test_rows_identical_to_train": 0,
        "test_rows_alike_but_for_digits": 0,
        "test_rows_of_unseen_accounts": 1,
        "test_rows_of_unseen_vendors": 0,
    }


def test_the_whole_ledger_is_described():
    found = report()
    assert (found["rows"], found["remarks"]) == (7, ["a remark"])
    assert (found["rows_without_vendor"], found["rows_of_large_blocks_to_train"]) == (1, 2)
    assert found["set_aside"] == {
        "rare account": 0,
        "no date": 0,
        "identical to an earlier side": 0,
    }


def test_the_accounts_of_validation_and_test_are_compared():
    found = report()["accounts_of_val_and_test"]
    # Validation has 0103 once; test has 0101 and 0103 once each.
    assert found["distance"] == 0.5
    assert found["distance_by_chance"] == 0.4607
