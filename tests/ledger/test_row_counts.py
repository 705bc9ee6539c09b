"""The lines about rows that were taken and rows that were not."""

from pathlib import Path

from stages.lib.ledger.row_counts import row_counts

REJECTS = Path("data/ingest/rejects.parquet")


def test_rows_that_are_not_taken_are_counted_by_reason():
    report = {
        "rows_out": 20534,
        "rows_rejected": 4473,
        "reasons": {"subtotal": 4471, "금액 없음": 2},
    }
    assert row_counts(report, 25007, REJECTS) == [
        "20,534 of 25,007 rows taken",
        "not taken, but kept in data/ingest/rejects.parquet: 4,471 subtotal, 2 금액 없음",
    ]


def test_a_ledger_without_rejects_has_one_line():
    assert row_counts({"rows_out": 3, "rows_rejected": 0, "reasons": {}}, 3, REJECTS) == [
        "3 of 3 rows taken"
    ]


def test_many_reasons_are_added_up_after_the_fifth():
    reasons = {f"reason {n}": 9 - n for n in range(8)}
    _, line = row_counts({"rows_out": 0, "rows_rejected": 44, "reasons": reasons}, 44, REJECTS)
    assert line.endswith(": 9 reason 0, 8 reason 1, 7 reason 2, 6 reason 3, 5 reason 4, "
                         "9 for other reasons")  # fmt: skip
