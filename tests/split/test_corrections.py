"""Corrections train once each, and never tell the model what a validation or test row is."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from base_tables import LABELS

from stages.lib.params.preprocess import Labels
from stages.lib.review.corrections import Correction, usable_corrections
from stages.lib.split.corrections import (
    IDENTICAL,
    IN_LEDGER,
    LATER,
    VENDOR,
    add_corrections,
)
from stages.lib.split.sides import TEST, TRAIN, VAL, Dealt
from stages.lib.tables import write_table

FIELDS = ["vendor", "memo"]
DAYS = [datetime.date(2024, month, 1) for month in (1, 2, 3, 4)]
# vendor, memo, day, amount, account, side
LEDGER = [
    ("esso", "fuel", DAYS[0], 10.0, "0101", TRAIN),
    ("esso", "fuel", DAYS[1], 10.0, "0101", TRAIN),
    ("acme", "bolts", DAYS[2], 20.0, "0102", VAL),
    ("bell", "phone", DAYS[3], 30.0, "0102", TEST),
    ("rare", "thing", None, None, "0103", -1),
]


@pytest.fixture
def base(tmp_path):
    """Write the base table; return its path."""
    vendor, memo, day, amount, code, _ = (list(column) for column in zip(*LEDGER, strict=True))
    count = len(LEDGER)
    table = pa.table(
        {
            "row_id": pa.array(range(count), pa.int64()),
            "source_file": pa.array(["ledger.csv"] * count).dictionary_encode(),
            "source_sheet": pa.array([""] * count).dictionary_encode(),
            "source_row": pa.array(range(2, count + 2), pa.int32()),
            "vendor": vendor,
            "memo": memo,
            "date": pa.array(day, pa.date32()),
            "amount": pa.array(amount, pa.float64()),
            "amount_bucket": ["<20"] * count,
            "group": vendor,
            "acct_code": code,
        }
    )
    write_table(table, tmp_path / "base.parquet")
    return tmp_path / "base.parquet"


def add(base, *rows, strategy="stratified"):
    """Add corrections of (vendor, memo, day, amount, account)."""
    corrections = [
        Correction(f"{n:016}", code, "0", day, amount, {"vendor": vendor, "memo": memo})
        for n, (vendor, memo, day, amount, code) in enumerate(rows)
    ]
    said, _ = usable_corrections(corrections, FIELDS, Labels.model_validate(LABELS))
    side = np.array([row[-1] for row in LEDGER], np.int8)
    dealt = Dealt(side, np.zeros(len(side), np.int8), np.zeros(len(side), bool))
    return add_corrections(said, base, dealt, FIELDS, "vendor", strategy)


def counted(added) -> dict:
    return {reason: count for reason, count in added.counts.items() if count}


def test_a_correction_becomes_a_row_of_the_base_table_behind_its_last(base):
    added = add(
        base,
        ("bell", "phone", DAYS[3], 30.0, "0102"),
        ("new", "thing", DAYS[3], 5.0, "0777"),
        ("old", "thing", None, None, "9999"),
    )
    assert counted(added) == {"added": 2, IN_LEDGER: 1}
    assert added.rows.schema == pq.read_schema(base)
    own = {"source_file": "data/corrections.csv", "source_sheet": "", "amount_bucket": ""}
    assert added.rows.to_pylist() == [
        {"row_id": 5, "source_row": 3, "vendor": "new", "memo": "thing", "date": DAYS[3],
         "amount": 5.0, "group": "new", "acct_code": "0001", **own},
        {"row_id": 6, "source_row": 4, "vendor": "old", "memo": "thing", "date": None,
         "amount": None, "group": "old", "acct_code": "9999", **own},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("day", "amount"), [(DAYS[0], 10.0), (DAYS[0], 10.004), (None, 10.0), (DAYS[0], None)]
)
def test_the_row_of_the_ledger_counts_and_not_its_correction(base, day, amount):
    added = add(base, ("ESSO", "fuel", day, amount, "0101"))
    assert counted(added) == {IN_LEDGER: 1}
    assert (added.rows.num_rows, added.remarks) == (0, [])


def test_one_row_of_the_ledger_is_the_return_of_one_correction(base):
    twice = ("esso", "fuel", DAYS[0], 10.0, "0101")
    added = add(base, twice, twice)
    assert counted(added) == {"added": 1, IN_LEDGER: 1}
    added = add(base, ("esso", "fuel", DAYS[2], 10.0, "0101"), ("esso", "fuel", DAYS[0], 11.0, "2"))
    assert counted(added) == {"added": 2}


def test_a_ledger_with_another_account_counts_and_is_named(base):
    added = add(base, ("esso", "fuel", DAYS[1], 10.0, "0102"))
    assert counted(added) == {IN_LEDGER: 1}
    assert added.remarks == [
        "data/corrections.csv, key 0000000000000000: the correction says 0102, the ledger 0101 "
        "(row_id 1), which counts"
    ]


def test_corrections_that_show_a_validation_or_test_row_are_held_back(base):
    added = add(
        base,
        ("acme", "bolts", DAYS[0], 99.0, "0101"),
        ("Bell", "phone", DAYS[0], 99.0, "0101"),
        ("bell", "cable", DAYS[0], 99.0, "0101"),
        ("esso", "cable", DAYS[2], 99.0, "0101"),
        ("esso", "cable", None, 98.0, "0101"),
    )
    assert counted(added) == {IDENTICAL: 2, "added": 3}


def test_the_strategy_keeps_its_promise(base):
    rows = [
        ("bell", "cable", DAYS[0], 99.0, "0101"),
        ("esso", "cable", DAYS[2], 99.0, "0101"),
        ("esso", "cable", None, 98.0, "0101"),
        ("esso", "cable", DAYS[1], 97.0, "0101"),
        ("", "cable", DAYS[1], 97.0, "0101"),
    ]
    assert counted(add(base, *rows, strategy="group")) == {VENDOR: 1, "added": 4}
    assert counted(add(base, *rows, strategy="time")) == {LATER: 2, "added": 3}


def test_without_corrections_nothing_is_read(base):
    base.unlink()
    assert add(base) == (None, {}, [])
