"""Findings on literals; the tables as wholes are tested with the stage `evaluate`."""

import numpy as np
import pyarrow as pa
import pytest
from refusals import refused
from scored_ledger import ACCOUNTS, FIELDS, NAMES, make_table

from stages.lib.evaluation import findings
from stages.lib.evaluation.judging import Judged
from stages.lib.evaluation.metrics import RowScores


def test_examples_of_a_confusion_are_its_most_probable_rows():
    confidence = np.array([0.5, 0.9, 0.7, 0.8, 0.6])
    zeros = np.zeros((5, 1), np.int64)
    scores = RowScores(np.ones(5, np.int64), zeros, confidence[:, None], confidence, zeros[:, 0])
    table = make_table(0, 5, ["2260"] * 5, 0)
    (pair,) = findings.confusion_table(scores, table, FIELDS, ACCOUNTS, NAMES)
    assert [example["row_id"] for example in pair["examples"]] == [1, 3, 2]
    assert pair["examples"][0]["text"] == [
        table["merchant"][1].as_py(),
        table["purpose"][1].as_py(),
    ]


ROLES = {"vendor": "group", "memo": "text", "note": "text"}


@pytest.mark.parametrize(
    ("chosen", "fields", "expected"),
    [
        (None, ["vendor", "note", "memo"], "note"),
        (None, ["vendor"], None),
        ("vendor", ["vendor", "memo"], "vendor"),
    ],
)
def test_the_description_is_the_first_visible_text_unless_it_is_chosen(chosen, fields, expected):
    assert findings.description_field(chosen, fields, ROLES) == expected


def test_a_description_that_the_model_does_not_see_is_refused():
    with refused("unsuitable-column", "evaluate.description_field", "'memo'", "vendor"):
        findings.description_field("memo", ["vendor"], ROLES)


def test_slice_values():
    day = pa.array([None], pa.date32())
    train = pa.table({"group": ["a", "a", "b"], "acct_code": ["1", "1", "2"]})
    row = {"date": day, "amount_bucket": [""], "memo": ["x"]}

    def values(group, code, description="memo"):
        test = pa.table({"group": [group], "acct_code": [code], **row})
        found = findings.slice_values(test, train, 2, 3, description)
        return {name: value for name, (value,) in found.items()}

    assert values("b", "1") == {
        "vendor": "seen",
        "account_size": "middle",
        "month": "",
        "amount": "",
        "description": "filled",
    }
    assert values("", "2")["vendor"] == "none"
    assert values("c", "2")["vendor"] == "unseen"
    assert values("c", "2")["account_size"] == "rare"
    assert values("c", "3")["account_size"] == "untrained"
    assert "description" not in values("c", "3", None)


def given(predicted, confidence):
    """Return the `RowScores` of rows of account 1 that are given the accounts `predicted`."""
    sure, top = np.array(confidence), np.array(predicted)[:, None]
    return RowScores(np.ones(len(sure), np.int64), top, sure[:, None], sure, 1 - top[:, 0])


def test_a_slice_has_the_accuracy_of_the_coder_of_its_parts_and_of_the_rival():
    coder = Judged(given([1, 1, 0], [0.9, 0.5, 0.8]), {0.95: 0.7, 0.99: None})
    others = {"part": given([0, 1, 1], [0.9] * 3), "rival": given([0, 0, 0], [0.9] * 3)}
    values = {"vendor": ["unseen", "seen", "unseen"]}
    seen, new = findings.slice_table(values, coder, others, np.zeros(3))
    assert new == {
        "slice": "vendor",
        "value": "unseen",
        "rows": 2,
        "accuracy": 0.5,
        "part_accuracy": 0.5,
        "rival_accuracy": 0.0,
        "posted": 2,
        "posted_right": 1,
    }
    assert (seen["accuracy"], seen["part_accuracy"], seen["posted"]) == (1.0, 1.0, 0)


def test_months_and_bands_stand_in_their_order_and_rows_without_them_last():
    coder = Judged(given([1, 1, 1], [0.9] * 3), {0.95: None, 0.99: None})
    values = {"month": ["", "2018-02", "2017-12"], "amount": ["<50", "<0", ""]}
    found = findings.slice_table(values, coder, {}, np.array([20.0, -3.0, np.nan]))
    assert [row["value"] for row in found] == ["2017-12", "2018-02", "", "<0", "<50", ""]
