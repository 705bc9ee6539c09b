"""What is fitted on validation rows is not fitted on test rows."""

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.evaluation import judging


def side(codes):
    return pa.table({"acct_code": codes})


def baseline(predicted):
    columns = {
        "predicted": predicted,
        "probability": [0.5] * len(predicted),
        "label_probability": [0.5] * len(predicted),
        "label_rank": [0] * len(predicted),
    }
    return pa.table(columns)


@pytest.fixture
def scored():
    sides = {"train": side(["a", "b", "b"]), "val": side(["a", "b"]), "test": side(["b", "z"])}
    logits = {"val": np.eye(2), "test": np.array([[0.0, 2.0], [1.0, 0.0]])}
    predictions = {
        "val": {"good": baseline(["a", "b"]), "bad": baseline(["a", "a"])},
        "test": {"good": baseline(["a", "a"]), "bad": baseline(["b", "b"])},
    }
    return judging.judge(["a", "b"], logits, sides, predictions)


def test_the_best_baseline_is_that_of_the_validation_rows(scored):
    assert scored.best == "good"
    assert scored.rival is scored.baselines["good"][0]
    assert scored.rival.correct.tolist() == [False, False]


def test_the_temperature_is_that_of_the_validation_rows(scored):
    assert scored.temperature == pytest.approx(0.01)  # they are all right
    assert scored.model.confidence[0] == pytest.approx(1.0)


def test_rows_of_accounts_without_training_rows_are_counted(scored):
    assert scored.known == ["a", "b", "z"]
    assert judging.row_counts(scored) == {
        "rows": 2,
        "train_rows": 3,
        "trained": 2,
        "untrained_rows": 1,
        "untrained_accounts": 1,
    }


def test_metrics_are_named_by_target_and_undefined_without_a_threshold(scored):
    values = judging.all_metrics(scored.model, scored.thresholds, np.array([3.0, -1.0]), 3)
    assert values["accuracy"] == 0.5
    assert values["amount_accuracy"] == 0.75
    assert values["autopost95_rate"] == 0.0  # two validation rows show no 95 %
    assert np.isnan(values["autopost95_precision"])
    assert len(values) == 11


def test_amounts():
    table = pa.table({"amount": pa.array([1.5, None], pa.float64())})
    np.testing.assert_array_equal(judging.amounts(table), [1.5, np.nan])
