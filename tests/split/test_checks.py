"""Splits that cannot be used are refused, missed targets are remarked."""

import numpy as np
import pytest
from base_tables import rows_of, some_rows, split_params
from refusals import refused

from stages.lib.split.checks import check_possible, check_promises, check_usable, find_remarks
from stages.lib.split.deal import deal_rows
from stages.lib.split.sides import TEST, Dealt


def split(ledger: list[tuple], **changes):
    params = split_params(**changes)
    rows = rows_of(ledger)
    return rows, deal_rows(rows, params), params


def remarks(ledger: list[tuple], **changes) -> list[str]:
    return find_remarks(*split(ledger, **changes))


SIXTY = some_rows(["v"] * 60)


@pytest.mark.parametrize(
    ("ledger", "changes", "code", "parts"),
    [
        (SIXTY[:2], {}, "empty-side", ["2 rows"]),
        ([(*r[:3], "0101") for r in SIXTY], {}, "one-account", ["all 42 ", "acct_code"]),
        (SIXTY, {"strategy": "group"}, "empty-side", ["group", "100.0%"]),
        (
            some_rows(["v"] * 40 + ["w"] * 20),
            {"strategy": "group"},
            "empty-side",
            ["val.parquet", "(train 40, val 0, test 20, set aside 0)", "66.7%"],
        ),
        (
            [("2020-01-01", *r[1:]) for r in SIXTY],
            {"strategy": "time"},
            "empty-side",
            ["val.parquet", "time", "100.0%"],
        ),
        ([("2020-01-01", "v", "m", "0101")] * 60, {}, "empty-side", ["100.0%"]),
        (SIXTY, {"min_rows_per_account": 1000}, "empty-side", ["train.parquet", "set aside 60"]),
    ],
)
def test_splits_that_cannot_be_used_are_one_line(ledger, changes, code, parts):
    with refused(code, *parts) as caught:
        check_usable(*split(ledger, **changes))
    assert "\n" not in str(caught.value)


def test_a_strategy_needs_its_column():
    vendorless = rows_of([(day, "", *rest) for day, _, *rest in SIXTY])
    with refused("needs-column", "split.strategy", "feature.group_column"):
        check_possible(vendorless, split_params(strategy="group"))
    undated = rows_of([(None, *rest) for _, *rest in SIXTY])
    with refused("needs-column", "split.strategy", "feature.date_column"):
        check_possible(undated, split_params(strategy="time"))
    for rows in (vendorless, undated):
        check_possible(rows, split_params())


def test_a_lost_row_and_identical_rows_on_two_sides_are_bugs():
    rows, dealt, _ = split(SIXTY + SIXTY)
    check_promises(rows, dealt)
    lost = dealt.side.copy()
    lost[0] = -1
    with pytest.raises(RuntimeError, match="lost"):
        check_promises(rows, Dealt(lost, dealt.aside, dealt.blocks))
    train = int(np.flatnonzero(dealt.side == 0)[0])
    torn = dealt.side.copy()
    torn[train] = TEST
    with pytest.raises(RuntimeError, match="two sides"):
        check_promises(rows, Dealt(torn, dealt.aside, dealt.blocks))


def test_met_targets_get_no_remark():
    vendors = ["big"] * 86 + [f"v{i % 25}" for i in range(114)]
    assert remarks(some_rows(vendors), strategy="group") == []


def test_shares_that_whole_vendors_cannot_meet_are_remarked():
    ledger = some_rows(["big"] * 160 + ["mid"] * 30 + ["low"] * 10)
    (remark,) = remarks(ledger, strategy="group")
    for part in ("train 80.0%", "70.0%", "val 5.0%", "10.0%", "test 15.0%", "20.0%"):
        assert part in remark
    assert remark.endswith("80.0%")


def test_rows_set_aside_by_time_are_part_of_the_remark_on_shares():
    ledger = [(np.datetime64("2020-01-01") + i // 20, "v", f"m {i % 40}", "1") for i in range(80)]
    remark, *_ = remarks(ledger, strategy="time")
    assert "40 rows identical to an earlier side" in remark


def test_most_rows_without_a_vendor_are_remarked():
    ledger = some_rows(["" if i % 5 else f"v{i % 7}" for i in range(200)])
    (remark,) = remarks(ledger, strategy="group")
    assert "80.0%" in remark
    assert remarks(ledger) == []


def test_most_rows_without_a_date_are_remarked():
    ledger = [(None if i % 3 else row[0], *row[1:]) for i, row in enumerate(some_rows(["v"] * 180))]
    assert "66.7%" in remarks(ledger, strategy="time")[-1]
    assert remarks(ledger) == []
