"""What `month` finds is said in lines that need no key."""

from stages.lib.review.month_lines import (
    comparison_lines,
    model_lines,
    month_cells,
    table_lines,
    with_interval,
)


def figures(**other: object) -> dict:
    return {
        "rows": 1234,
        "accuracy": 0.615,
        "accuracy_interval": [0.58, 0.649],
        "top3_accuracy": 0.8,
        "posted_rate": 0.25,
        "posted_rows": 308,
        "posted_precision": 0.96,
        "posted_precision_interval": [0.93, 0.98],
        "new_vendor_rows": 617,
        "new_accounts": {},
    } | other


def report(**other: object) -> dict:
    return {
        "rows": 1234,
        "learned_rows": 5,
        "months": {"2019-01": figures()},
        "all_months": figures(),
        "unused_accounts": {},
        "reasons": [],
    } | other


def test_a_share_is_in_percent_and_its_interval_in_points():
    assert with_interval(0.615, [0.58, 0.649]) == "61.5% (58.0 to 64.9)"
    assert with_interval(None, None) == "-"


def test_the_line_of_a_month_has_a_dash_for_what_is_not_known():
    assert month_cells("2019-01", figures()) == [
        *("2019-01", "1,234", "61.5% (58.0 to 64.9)"),
        *("80.0%", "25.0%", "96.0% (93.0 to 98.0)", "50.0%"),
    ]
    none = {"posted_precision": None, "posted_precision_interval": None, "new_vendor_rows": None}
    assert month_cells("no date", figures(**none))[-2:] == ["-", "-"]


def test_numbers_stand_below_each_other():
    assert table_lines([["month", "rows"], ["2019-01", "7"]]) == ["month    rows", "2019-01     7"]


def test_a_single_month_has_no_line_for_all_months():
    lines = model_lines("models", report())
    assert lines[0] == (
        "models: 1,234 rows count; 5 others do not, because the model has learned them"
    )
    assert [line.split()[0] for line in lines[1:]] == ["month", "2019-01", "nothing"]
    both = model_lines("models", report(months={"2018-12": figures(), "2019-01": figures()}))
    assert both[4].startswith("all months  1,234")


def test_drift_and_the_reasons_of_a_retraining_are_named():
    new = {**{f"{code:04}": 1 for code in range(11)}, "0900": 1200}
    lines = model_lines(
        "models",
        report(
            all_months=figures(new_accounts=new),
            unused_accounts={"소모품": 7.6},
            reasons=["it is old", "it is slow"],
        ),
    )
    assert lines[3].startswith(
        "rows with accounts that the model never learned: 0900 (1,200), 0000 (1), 0001 (1)"
    )
    assert lines[3].endswith("0008 (1) and 2 more")
    assert lines[4:] == [
        "accounts no longer used, with the rows to be expected: 소모품 (8)",
        "a retraining is due:",
        "  it is old",
        "  it is slow",
    ]


def test_a_comparison_says_which_model_is_better_or_that_it_cannot_be_told():
    compared = {"rows": 70, "v1": figures(), "models": figures(), "p": 0.01}
    found = {"2019-01": compared | {"only_first": 3, "only_second": 17}}
    lines = comparison_lines("v1", "models", found)
    assert lines[0] == "2019-01: 70 rows that neither has learned"
    assert [line.split()[0] for line in lines[1:4]] == ["model", "v1", "models"]
    assert lines[4] == (
        "only v1 is right on 3 rows, only models on 17 (McNemar, p = 0.01): models is better"
    )
    found["2019-01"] |= {"p": 0.06}
    assert comparison_lines("v1", "models", found)[4].endswith("they cannot be told apart")
    assert comparison_lines("v1", "models", {}) == [
        "v1 and models: each row is one that one of them has learned"
    ]
