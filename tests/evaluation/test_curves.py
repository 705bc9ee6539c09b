"""Points of the curves."""

import numpy as np
import pytest

from stages.lib.evaluation import curves
from stages.lib.evaluation.metrics import RowScores


def test_coverage_points_lie_on_the_curve_and_are_few():
    generator = np.random.default_rng(0)
    confidence = generator.random(5000)
    label = (generator.random(5000) < 0.5).astype(np.int64)
    scores = RowScores(label, np.ones((5000, 1), int), confidence[:, None], confidence, label)
    points = curves.coverage_points(scores)
    assert len(points) <= 200
    assert points[-1]["coverage"] == 1.0
    for point in points:
        posted = confidence >= point["threshold"]
        assert point["coverage"] == pytest.approx(posted.mean())
        assert point["precision"] == pytest.approx(label[posted].mean())


def test_reliability_points_count_every_row():
    confidence = np.array([0.05, 0.99, 0.98])
    label = np.array([0, 1, 0])
    scores = RowScores(label, np.ones((3, 1), int), confidence[:, None], confidence, label)
    assert curves.reliability_points(scores) == [
        {"confidence": 0.05, "accuracy": 0.0, "rows": 1},
        {"confidence": pytest.approx(0.985), "accuracy": 0.5, "rows": 2},
    ]


def test_a_training_without_validation_has_one_learning_curve(tmp_path):
    (tmp_path / "train_loss.tsv").write_text("step\ttrain_loss\n10\t2.5\n20\t1.25\n")
    assert curves.read_learning_curves(tmp_path) == {"train_loss": [(10, 2.5), (20, 1.25)]}
    (tmp_path / "val_loss.tsv").write_text("step\tval_loss\n20\t1.5\n")
    assert curves.read_learning_curves(tmp_path)["val_loss"] == [(20, 1.5)]
