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


def test_the_last_cell_of_a_suspect_has_one_line_for_each_past_posting():
    keys = ["probability", "account", "name", "predicted", "predicted_name"]
    keys += ["vendor_rows", "vendor_predicted", "vendor_ledger"]
    keys += ["row_id", "source_file", "source_sheet", "source_row", "date", "amount"]
    suspect = {name: name.upper() for name in keys}
    suspects = [
        {**suspect, "text": ["esso", "fuel"], "past": ["1 (0.90) esso", "2 (0.80) ymca"]},
        {**suspect, "text": ["", ""], "past": []},
    ]
    others = {"slices": [{"a": 1}], "accounts": [{"b": 2}], "confusions": []}
    found = sheets.finding_sheets({**others, "suspects": suspects}, ["shop", "memo"])
    header, rows = found["suspects"]
    assert header == [*keys, "shop", "memo", "past_postings"]
    values = [name.upper() for name in keys]
    assert rows == [
        [*values, "esso", "fuel", "1 (0.90) esso\n2 (0.80) ymca"],
        [*values, "", "", ""],
    ]
