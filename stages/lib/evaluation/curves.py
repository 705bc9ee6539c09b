"""Points of the curves that the report draws and ``dvc plots`` shows."""

import csv
from pathlib import Path

import numpy as np

from stages.lib.evaluation.metrics import RowScores, reliability
from stages.lib.evaluation.posting import precision_coverage

POINTS = 200  # of the precision-coverage curve, at most


def coverage_points(scores: RowScores) -> list[dict]:
    """Return at most 200 evenly spaced points of the precision-coverage curve, with the last one.

    The first hundredth of the coverage is left out, because precision over a handful of rows jumps.
    """
    curve = precision_coverage(scores.confidence, scores.correct)
    wanted = np.linspace(0.01, 1, POINTS)
    index = np.unique(np.searchsorted(curve.coverage, wanted - 1e-12))
    columns = (curve.coverage[index], curve.precision[index], curve.threshold[index])
    return [
        {"coverage": coverage, "precision": precision, "threshold": threshold}
        for coverage, precision, threshold in zip(*(c.tolist() for c in columns), strict=True)
    ]


def reliability_points(scores: RowScores) -> list[dict]:
    """Return the bins of the reliability diagram."""
    bins = reliability(scores.confidence, scores.correct)
    columns = (bins.confidence, bins.accuracy, bins.rows)
    return [
        {"confidence": confidence, "accuracy": accuracy, "rows": int(rows)}
        for confidence, accuracy, rows in zip(*(c.tolist() for c in columns), strict=True)
    ]


def quality_curves(scores: RowScores, rival: RowScores) -> dict[str, list[dict]]:
    """Return ``{curve: points}`` of the coder and of its rival."""
    return {
        "precision_coverage": coverage_points(scores),
        "precision_coverage_baseline": coverage_points(rival),
        "reliability": reliability_points(scores),
    }


def read_learning_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return ``{train_loss or val_loss: (step, loss) points}`` that training recorded in `folder`.

    A training without a validation has no curve of the validation rows.
    """
    curves = {}
    for name in ("train_loss", "val_loss"):
        path = folder / f"{name}.tsv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                lines = csv.DictReader(file, delimiter="\t")
                curves[name] = [(int(line["step"]), float(line[name])) for line in lines]
    return curves
