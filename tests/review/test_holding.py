"""Whether a model still holds is said with tests that a few unlucky rows do not fail."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from coded_files import sections

from stages.lib.review.holding import (
    by_month,
    figures,
    interval,
    model_report,
    months_of,
    paired,
    reasons_to_retrain,
    unused_accounts,
    verdict,
)
from stages.lib.review.posted_rows import CodedByModel

TRAINED = {"0101": 90, "0102": 10}


def coded(correct: list[int], folder: str = "models", **arrays: list[int]) -> CodedByModel:
    """Return what a model says of rows: which are right, posted, learned or of a new vendor."""
    given = {name: np.array(values, bool) for name, values in arrays.items()}
    right, nothing = np.array(correct, bool), np.zeros(len(correct), bool)
    return CodedByModel(
        folder=folder,
        correct=right,
        in_top3=given.get("in_top3", right),
        posts=given.get("posts", nothing),
        learned=given.get("learned", nothing),
        new_vendor=given.get("new_vendor", nothing),
        trained_rows=TRAINED,
        remarks=[],
    )


def month(rows: int, right: int, posted: int = 0, posted_right: int = 0, **new: int) -> dict:
    """Return the figures of a month."""
    wrong = posted - posted_right
    correct = [1] * posted_right + [0] * wrong
    correct += [1] * (right - posted_right) + [0] * (rows - right - wrong)
    accounts = [code for code, count in new.items() for _ in range(count)]
    accounts += ["0101"] * (rows - len(accounts))
    every = coded(correct, posts=[1] * posted + [0] * (rows - posted))
    return figures(every, accounts, np.ones(rows, bool))


def test_figures_of_rows_are_shares_with_exact_intervals():
    one = coded([1, 1, 0, 1], in_top3=[1, 1, 1, 1], posts=[1, 0, 1, 0], new_vendor=[0, 0, 1, 1])
    found = figures(one, ["0101", "0102", "0900", "0101"], np.array([1, 1, 1, 0], bool))
    assert (found["rows"], found["accuracy"], found["top3_accuracy"]) == (3, 2 / 3, 1.0)
    assert (found["posted_rows"], found["posted_rate"], found["posted_precision"]) == (
        2,
        2 / 3,
        0.5,
    )
    assert found["new_vendor_rows"] == 1
    assert found["new_accounts"] == {"0900": 1}
    # Clopper and Pearson: all of 3 right leaves 1 - 0.025 ** (1 / 3) = 0.7076 below.
    assert interval(3, 3) == pytest.approx([0.025 ** (1 / 3), 1.0])
    assert interval(0, 0) is None


def test_nothing_is_said_of_posted_rows_where_none_is():
    found = figures(coded([1]), ["0101"], np.array([True]))
    assert (found["posted_rate"], found["posted_precision"]) == (0.0, None)
    assert found["posted_precision_interval"] is None


def test_months_are_in_order_and_learned_rows_do_not_count():
    days = pa.table({"date": [date(2019, 2, 1), None, date(2019, 1, 31), date(2018, 12, 1)]})
    months = months_of(days)
    assert months.tolist() == ["2019-02", "no date", "2019-01", "2018-12"]
    found = by_month(coded([1, 1, 0, 1], learned=[0, 0, 0, 1]), ["0101"] * 4, months)
    assert {name: rows["accuracy"] for name, rows in found.items()} == {
        "no date": 1.0,
        "2019-01": 0.0,
        "2019-02": 1.0,
    }
    assert list(found) == ["no date", "2019-01", "2019-02"]


def test_an_account_is_no_longer_used_only_if_chance_would_not_leave_it_out():
    # A tenth of the rows: 0.9 ** 36 = 0.0225 is at most 0.05 / 2 accounts, 0.9 ** 35 is not.
    assert unused_accounts(coded([1] * 36), ["0101"] * 36) == {"0102": pytest.approx(3.6)}
    assert unused_accounts(coded([1] * 35), ["0101"] * 35) == {}
    assert unused_accounts(coded([1] * 36), ["0101"] * 35 + ["0102"]) == {}


def test_a_retraining_is_due_if_fewer_posted_rows_are_right_than_promised():
    # Of 20 rows with 95 % right, 3 or more are wrong with a probability of 0.075, 4 with 0.016.
    for wrong, due in ((3, False), (4, True)):
        now = month(20, 20 - wrong, posted=20, posted_right=20 - wrong)
        reasons = reasons_to_retrain({"2019-01": now}, now, 0.95, TRAINED)
        assert bool(reasons) == due
    assert reasons == [
        "2019-01: 16 of 20 posted rows are right (80.0%); predict.precision promises 95.0% (exact "
        "binomial test, p = 0.016)"
    ]


def test_two_tests_of_the_posted_rows_share_the_risk():
    # Of 7 rows with 95 % right, 2 or more are wrong with a probability of 0.044.
    one, before = month(10, 8, posted=7, posted_right=5), month(100, 80, posted=50, posted_right=49)
    total = month(110, 88, posted=57, posted_right=54)
    assert len(reasons_to_retrain({"2019-02": one}, one, 0.95, TRAINED)) == 1
    assert reasons_to_retrain({"2019-01": before, "2019-02": one}, total, 0.95, TRAINED) == []
    # 9 or more of 57 with 0.002, whatever the newest month says.
    worse = month(110, 85, posted=57, posted_right=48)
    (reason,) = reasons_to_retrain({"2019-01": before, "2019-02": one}, worse, 0.95, TRAINED)
    assert reason.startswith("all months: 48 of 57 posted rows are right (84.2%)")


def test_a_retraining_is_due_if_the_accuracy_falls_and_not_if_it_rises():
    good, bad = month(100, 80), month(100, 60)
    total = month(200, 140)
    (reason,) = reasons_to_retrain({"2019-01": good, "2019-02": bad}, total, 0.95, TRAINED)
    assert reason == (
        "2019-02: the accuracy is 60.0%, and was 80.0% in the months before (Fisher's exact test, "
        "p = 0.0016)"
    )
    assert reasons_to_retrain({"2019-01": bad, "2019-02": good}, total, 0.95, TRAINED) == []
    assert reasons_to_retrain({"no date": good, "2019-02": bad}, total, 0.95, TRAINED) == []


def test_a_retraining_is_due_if_more_rows_have_new_accounts_than_the_training_rows_let_expect():
    # No account has one training row, so 1 of 101 rows: of 20, 2 or more with 0.017, 1 with 0.18.
    now = month(20, 15, **{"비품": 1, "0900": 1})
    assert reasons_to_retrain({"2019-01": now}, now, 0.95, TRAINED) == [
        "2 of 20 rows have an account that the model never learned (10.00%); 0.99% were to be "
        "expected (exact binomial test, p = 0.017)"
    ]
    often = {"0101": 80, **dict.fromkeys(map(str, range(20)), 1)}
    assert reasons_to_retrain({"2019-01": now}, now, 0.95, often) == []
    one = month(20, 15, **{"0900": 1})
    assert reasons_to_retrain({"2019-01": one}, one, 0.95, TRAINED) == []


def test_two_models_are_compared_on_rows_that_neither_has_learned():
    months = np.array(["2019-01"] * 4 + ["2019-02"] * 8, object)
    first = coded([1] * 4 + [0] * 8, "released/v1", learned=[1, 0, 0, 0] + [0] * 8)
    second = coded([0] * 4 + [1] * 8, learned=[0, 1, 0, 0] + [0] * 7 + [1])
    found = paired(first, second, ["0101"] * 12, months)
    assert {name: rows["rows"] for name, rows in found.items()} == {"2019-02": 7, "all months": 9}
    newest = found["2019-02"]
    assert (newest["only_first"], newest["only_second"]) == (0, 7)
    assert newest["p"] == pytest.approx(2 * 0.5**7)
    assert (newest["released/v1"]["accuracy"], newest["models"]["accuracy"]) == (0.0, 1.0)
    assert verdict("released/v1", "models", newest) == "models is better"
    assert verdict("released/v1", "models", found["all months"]) == "they cannot be told apart"
    every = coded([1] * 12, learned=[1] * 12)
    assert paired(first, every, ["0101"] * 12, months) == {}


def test_where_every_row_is_learned_nothing_is_said_of_the_model(light_project, monkeypatch):
    monkeypatch.chdir(light_project)
    predict, months = sections().predict, np.array(["2019-01"], object)
    found = model_report(coded([1], learned=[1]), ["0101"], months, predict)
    assert found == {"rows": 0, "learned_rows": 1}
    found = model_report(coded([1]), ["0101"], months, predict)
    assert (found["retraining_due"], found["reasons"], list(found["months"])) == (
        False,
        [],
        ["2019-01"],
    )
