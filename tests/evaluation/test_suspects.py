"""Suspected rows on literals; the whole table is tested with the stage `evaluate`."""

import numpy as np
import pyarrow as pa
import pytest
from scored_ledger import FIELDS, make_table

from stages.lib.evaluation import suspects
from stages.lib.evaluation.metrics import RowScores


def scores(label, predicted, confidence) -> RowScores:
    sure = np.array(confidence)
    label, top = np.array(label), np.array(predicted)[:, None]
    return RowScores(label, top, sure[:, None], 1 - sure, (label != top[:, 0]).astype(int))


def of_vendor(first: int, codes: list[str], vendors: list[str]) -> pa.Table:
    table = make_table(first, len(codes), codes, 0)
    return table.set_column(table.column_names.index("group"), "group", [vendors])


@pytest.fixture
def sides():
    return {
        "train": of_vendor(0, ["a", "b", "b", "a"], ["esso", "esso", "esso", ""]),
        "val": of_vendor(10, ["a"], ["esso"]),
        "test": of_vendor(20, ["a", "b"], ["ymca", "esso"]),
    }


def found(sides, least=0.9):
    judged = {
        "train": scores([0, 1, 1, 0], [1, 1, 1, 1], [0.95, 0.99, 0.5, 0.92]),
        "val": scores([0], [1], [0.95]),
        "test": scores([0, 1], [1, 0], [0.97, 0.8]),
    }
    neighbours = {side: [[(1, 0.5)]] * table.num_rows for side, table in sides.items()}
    return suspects.suspect_table(
        judged, sides, FIELDS, ["a", "b"], {"b": "Fuel"}, least, neighbours
    )


def test_rows_of_all_sides_are_listed_the_surest_first_and_equal_ones_in_order(sides):
    assert [(row["side"], row["row_id"]) for row in found(sides)] == [
        ("test", 20),
        ("train", 0),
        ("val", 10),
        ("train", 3),
    ]
    assert {row["row_id"] for row in found(sides, 0.8)} == {20, 0, 10, 3, 21}


def test_a_training_row_is_not_part_of_its_vendor_s_history(sides):
    _, train, val, nobody = found(sides)
    keys = ("vendor_rows", "vendor_predicted", "vendor_ledger")
    assert [train[key] for key in keys] == [2, 2, 0]
    assert [val[key] for key in keys] == [3, 2, 1]
    assert [nobody[key] for key in keys] == [0, 0, 0]
    assert (train["predicted_name"], train["name"]) == ("Fuel", "")
    assert train["past"][0].startswith("b (0.50)")


def test_scores_of_training_rows_are_combined_and_calibrated_on_themselves(monkeypatch):
    generator = np.random.default_rng(0)
    label = generator.integers(0, 5, 3000)
    hint = np.eye(5)[np.where(generator.random(3000) < 0.7, label, generator.integers(0, 5, 3000))]
    noise = generator.normal(size=(3000, 5))
    experts = {"text": (4 * hint).astype(np.float16), "past": noise.astype(np.float16)}
    whole = suspects.cross_fitted_scores(experts, label)
    assert whole.correct.mean() == pytest.approx((hint.argmax(axis=1) == label).mean(), abs=0.01)
    assert whole.confidence.mean() == pytest.approx(whole.correct.mean(), abs=0.01)
    monkeypatch.setattr(suspects, "ROWS_AT_ONCE", 700)
    parts = suspects.cross_fitted_scores(experts, label)
    np.testing.assert_array_equal(parts.probability, whole.probability)
    np.testing.assert_array_equal(parts.label_rank, whole.label_rank)
