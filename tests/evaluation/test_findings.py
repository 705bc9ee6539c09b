"""Findings on literals; the tables as wholes are tested with the stage `evaluate`."""

import datetime

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


def test_a_suspect_row_has_its_vendors_history_and_its_nearest_past_rows():
    day = datetime.date(2024, 5, 1)
    train = pa.table(
        {
            "acct_code": ["b", "a", "b"],
            "group": ["esso", "esso", "ymca"],
            "date": pa.array([day, None, None], pa.date32()),
            "merchant": ["esso", "", ""],
            "purpose": ["fuel", "car", ""],
        }
    )
    confidence = np.array([0.7, 0.95, 0.99, 0.5])
    scores = RowScores(
        label=np.array([0, 0, 1, 0]),
        top=np.ones((4, 1), np.int64),
        probability=confidence[:, None],
        label_probability=1 - confidence,
        label_rank=np.array([1, 1, 0, 1]),
    )
    test = make_table(40, 4, ["a", "a", "b", "a"], 0)
    column = test.column_names.index("group")
    test = test.set_column(column, "group", [["esso", "", "esso", "esso"]])
    neighbours = [[(0, 0.876), (1, 0.5)], [], [(2, 1.0)], [(2, 1.0)]]
    surest, second = findings.suspect_table(
        scores, test, train, FIELDS, ["a", "b"], {"b": "Fuel"}, 0.6, neighbours
    )
    assert (surest["row_id"], surest["probability"], surest["past"]) == (41, 0.95, [])
    assert (surest["vendor_rows"], second["vendor_rows"]) == (0, 2)
    assert (second["vendor_predicted"], second["vendor_ledger"]) == (1, 1)
    assert (second["row_id"], second["predicted_name"], second["name"]) == (40, "Fuel", "")
    assert second["past"] == ["b (0.88) 2024-05-01 | esso | fuel", "a (0.50) car"]


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
        "vendor": "in training",
        "account size": "middle (2 and more)",
        "month": "no date",
        "amount": "none",
        "description": "filled",
    }
    assert values("", "2")["vendor"] == "no vendor"
    assert values("c", "2")["vendor"] == "not in training"
    assert values("c", "2")["account size"] == "rare (under 2 training rows)"
    assert values("c", "3")["account size"] == "never in training"
    assert "description" not in values("c", "3", None)


def given(predicted, confidence):
    """Return the `RowScores` of rows of account 1 that are given the accounts `predicted`."""
    sure, top = np.array(confidence), np.array(predicted)[:, None]
    return RowScores(np.ones(len(sure), np.int64), top, sure[:, None], sure, 1 - top[:, 0])


def test_a_slice_has_the_accuracy_of_the_coder_of_its_parts_and_of_the_rival():
    coder = Judged(given([1, 1, 0], [0.9, 0.5, 0.8]), {0.95: 0.7, 0.99: None})
    others = {"part": given([0, 1, 1], [0.9] * 3), "rival": given([0, 0, 0], [0.9] * 3)}
    values = {"vendor": ["new", "seen", "new"]}
    new, seen = findings.slice_table(values, coder, others, np.zeros(3))
    assert new == {
        "slice": "vendor",
        "value": "new",
        "rows": 2,
        "accuracy": 0.5,
        "part_accuracy": 0.5,
        "rival_accuracy": 0.0,
        "autopost95_rate": 1.0,
        "autopost95_precision": 0.5,
    }
    assert (seen["accuracy"], seen["part_accuracy"], seen["autopost95_rate"]) == (1.0, 1.0, 0.0)
    assert np.isnan(seen["autopost95_precision"])
