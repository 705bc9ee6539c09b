"""Tables that people open."""

import numpy as np
import pyarrow as pa

from stages.lib.evaluation import sheets
from stages.lib.evaluation.judging import Judged
from stages.lib.evaluation.metrics import RowScores


def test_predictions_have_the_next_best_accounts_and_what_is_posted():
    scores = RowScores(
        label=np.array([1, 0]),
        top=np.array([[1, 0], [1, 0]]),
        probability=np.array([[0.97, 0.03], [0.6, 0.4]]),
        label_probability=np.array([0.97, 0.4]),
        label_rank=np.array([0, 1]),
    )
    test = pa.table({"row_id": [7, 8], "acct_code": ["b", "a"]})
    found = sheets.prediction_table(Judged(scores, {0.95: 0.9, 0.99: None}), test, ["a", "b"])
    assert found.to_pylist()[1] == {
        "row_id": 8,
        "acct_code": "a",
        "predicted": "b",
        "probability": 0.6,
        "choice_2": "a",
        "probability_2": 0.4,
        "label_probability": 0.4,
        "correct": False,
        "autopost95": False,
        "autopost99": False,
    }
    assert found["autopost95"].to_pylist() == [True, False]


def test_an_undefined_figure_is_null_however_deep_it_stands():
    nan = float("nan")
    values = {
        "a": nan,
        "b": 0.5,
        "c": {"d": [np.float64(nan), 1, None]},
        "e": [{"f": nan}],
        "g": "nan",
    }
    assert sheets.without_nan(values) == {
        "a": None,
        "b": 0.5,
        "c": {"d": [None, 1, None]},
        "e": [{"f": None}],
        "g": "nan",
    }


def test_the_value_of_a_slice_is_written_in_words():
    others = {"accounts": [{"b": 2}], "confusions": []}
    slices = [{"slice": "vendor", "value": "seen", "rows": 3}]
    found = sheets.finding_sheets({**others, "slices": slices}, lambda name, value: f"({value})")
    assert found["slices"] == (["slice", "value", "rows"], [["vendor", "(seen)", 3]])
    assert found["accounts"] == (["b"], [[2]])


SUSPECT = {
    "probability": 0.97,
    "side": "val",
    "account": "0101",
    "name": "사무용품비",
    "predicted": "2260",
    "predicted_name": "",
    "vendor_rows": 5,
    "vendor_predicted": 4,
    "vendor_ledger": 1,
    "past": ["2260 (0.90) esso"],
    "row_id": 7,
    "source_file": "a.csv",
    "source_sheet": "",
    "source_row": 2,
    "date": None,
    "amount": None,
    "text": ["esso", "fuel"],
}


def test_a_suspect_has_a_column_for_each_field_and_for_each_past_posting():
    table = sheets.suspect_sheet([SUSPECT], ["shop", "memo"])
    (row,) = table.to_pylist()
    assert (row["acct_code"], row["acct_name"]) == ("0101", "사무용품비")
    assert (row["shop"], row["memo"]) == ("esso", "fuel")
    assert (row["past_1"], row["past_2"]) == ("2260 (0.90) esso", None)
    # So that the file has its types where nothing is suspected.
    assert sheets.suspect_sheet([], ["shop", "memo"]).schema == table.schema


def test_a_field_that_has_the_name_of_a_column_of_ours_keeps_a_column_of_its_own():
    (row,) = sheets.suspect_sheet([SUSPECT], ["probability", "text"]).to_pylist()
    assert (row["probability"], row["ledger_probability"]) == (0.97, "esso")
    assert row["ledger_text"] == "fuel"


def test_predictions_stand_beside_their_rows_with_the_names_of_the_accounts():
    predictions = pa.table(
        {"row_id": [7], "acct_code": ["b"], "predicted": ["a"], "probability": [1]}
    )
    origin = {"source_file": ["f"], "source_sheet": [""], "source_row": [2]}
    shown = pa.table({"row_id": [7], "date": [None], "amount": [1.5], "shop": ["ESSO"], **origin})
    found = sheets.prediction_sheet(predictions, shown, ["shop"], {"b": "Fuel"})
    assert found.to_pylist() == [
        {
            "date": None,
            "amount": 1.5,
            "acct_code": "b",
            "acct_name": "Fuel",
            "predicted": "a",
            "predicted_name": "",
            "probability": 1,
            "shop": "ESSO",
            **{name: cells[0] for name, cells in origin.items()},
            "row_id": 7,
        }
    ]
