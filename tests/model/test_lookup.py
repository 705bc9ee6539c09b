"""The look-up on rows whose answers are known, and the columns that it takes."""

import numpy as np
import pyarrow as pa
import pytest
from refusals import refused

from stages.lib.model.lookup import lookup_columns, lookup_scores, merge_vendors

FIELDS = ["seller", "memo", "kind", "area"]
ROLES = {"seller": "group", "memo": "text", "kind": "category", "area": "category"}


def training_rows(vendor: str) -> pa.Table:
    return pa.table({name: ["x", "x"] for name in FIELDS} | {"group": ["", vendor]})


@pytest.mark.parametrize(
    ("vendor", "roles", "expected"),
    [
        ("ymca", ROLES, ["group", "kind"]),
        ("", ROLES, ["kind"]),
        ("ymca", {"memo": "text"}, ["group"]),
        ("", {"memo": "text"}, ["seller"]),
    ],
)
def test_columns_are_chosen_by_role(vendor, roles, expected):
    assert lookup_columns(None, FIELDS, roles, training_rows(vendor)) == expected


def test_the_sample_ledger_is_looked_up_by_vendor_and_merchant_category():
    fields = ["merchant", "merchant_category", "purpose", "division", "amount_bucket"]
    roles = dict(
        zip(fields, ["group", "category", "text", "category", "amount_bucket"], strict=True)
    )
    train = pa.table({name: ["x"] for name in [*fields, "group"]})
    assert lookup_columns(None, fields, roles, train) == ["group", "merchant_category"]


def test_columns_that_are_named_are_taken():
    assert lookup_columns(["area", "group"], FIELDS, ROLES, training_rows("")) == ["area", "group"]


def test_a_column_that_the_base_table_lacks_is_refused():
    with refused("unsuitable-column", "baseline.lookup_columns", "gone", "seller"):
        lookup_columns(["area", "gone"], FIELDS, ROLES, training_rows(""))


def lookup(keys, train_keys, label, n_accounts=3):
    return lookup_scores(keys, train_keys, np.array(label), n_accounts)


def test_the_vendor_comes_before_the_other_columns():
    scores = lookup(
        [["esso", "new", "new", ""], ["fire", "fire", "parks", "none"]],
        [["esso", "esso", "ymca", "ymca", "x"], ["fire", "fire", "fire", "fire", "parks"]],
        [1, 1, 2, 2, 0],
    )
    # esso; the fire division, where 1 and 2 are equally frequent here and everywhere; parks;
    # nothing known: 1 and 2 are most frequent, the lower comes first
    assert scores.argmax(axis=1).tolist() == [1, 1, 0, 1]


def test_the_probability_is_the_share_with_one_row_of_doubt():
    scores = lookup([["esso"]], [["esso", "esso", "esso", "ymca"]], [0, 0, 1, 2])
    prior = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(np.exp(scores[0]), (np.array([2, 1, 0]) + prior) / 4, rtol=1e-6)


def test_empty_keys_are_passed_over():
    scores = lookup([[""]], [["", "", "esso"]], [1, 1, 0])
    np.testing.assert_allclose(np.exp(scores[0]), [1 / 3, 2 / 3, 0], atol=1e-6)


def test_a_vendor_decides_over_any_prior():
    scores = lookup([["esso"]], [["esso"] + ["ymca"] * 999], [2] + [0] * 999)
    assert scores[0].argmax() == 2


def vendors(*texts: str) -> dict[str, pa.Table]:
    return {side: pa.table({"group": texts, "merchant": texts}) for side in ("train", "test")}


def test_vendors_with_reference_numbers_are_looked_up_without_them():
    sides, (remark,) = merge_vendors(vendors("amzn 1x2", "amzn 3y4", "esso 77", "esso 88", ""))
    assert sides["test"]["group"].to_pylist() == ["amzn", "amzn", "esso", "esso", ""]
    assert sides["test"]["merchant"][0].as_py() == "amzn 1x2"
    assert "100.0%" in remark and "0.0%" in remark


def test_vendors_that_repeat_stay_as_they_are():
    before = vendors("esso 77", "esso 77", "ymca 12", "ymca 12", "a")
    assert merge_vendors(before) == (before, [])
    assert merge_vendors(vendors("", ""))[1] == []


def test_vendors_that_nothing_makes_alike_are_named():
    before = vendors("a", "b", "c")
    sides, (remark,) = merge_vendors(before)
    assert sides == before and "100.0%" in remark
