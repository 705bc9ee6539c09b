"""Combine the experts into the coder, and judge it on the test rows.

The weights of the experts and the thresholds are fitted on the validation rows and reported on the
test rows. No expert runs here: their scores are read.

Reads data/score, data/classify, data/split, data/baseline/predictions.parquet,
data/preprocess/accounts.parquet, data/feature/rows.json and metrics/train/plots. Writes
models/evaluate (what `predict` needs of it), metrics/evaluate (metrics.json, report.json,
report.html and its curves as plots/*.csv) and data/evaluate (predictions.parquet, and what the
report lists as CSV). Parameters: evaluate, feature.fields.
"""

import shutil
from pathlib import Path

import pyarrow as pa

from stages.lib.contracts.evaluate import CALIBRATION, Calibration
from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.names import SIDES
from stages.lib.contracts.split import side_path
from stages.lib.contracts.train import CURVES
from stages.lib.evaluation.comparison import measure
from stages.lib.evaluation.curves import quality_curves, read_learning_curves
from stages.lib.evaluation.findings import description_field, find
from stages.lib.evaluation.inputs import (
    read_account_names,
    read_baselines,
    read_experts,
    read_neighbours,
)
from stages.lib.evaluation.judging import Scored, judge, row_counts
from stages.lib.evaluation.posting import target_name
from stages.lib.evaluation.report import render_report
from stages.lib.evaluation.sheets import (
    finding_sheets,
    prediction_table,
    record_sheet,
    without_nan,
)
from stages.lib.model.manifest import write_manifest
from stages.lib.params.evaluate import EvaluateParams
from stages.lib.params.files import load_params
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv
from stages.lib.tables import read_json, read_table, replace_file, write_json, write_table

DATA = Path("data/evaluate")
METRICS = Path("metrics/evaluate")
# Of the report, what report.json has too.
FIGURES = ("values", "bounds", "postable95", "parts", "baselines", "contributions", "slices")
COUNTS = ("rows", "train_rows", "trained", "untrained_rows", "untrained_accounts")
# What `dvc exp show` and `dvc metrics show` compare: few enough for a terminal of 120 columns. All
# others are in report.json.
HEADLINE = ("accuracy", "top3_accuracy", "macro_f1", "log_loss", "certified95_rate")


def write_data(
    scored: Scored, test: pa.Table, sheets: dict[str, tuple[list[str], list[list]]]
) -> None:
    """Write the predictions and the spreadsheets."""
    predictions = prediction_table(scored.coder, test, scored.known)
    write_table(predictions, DATA / "predictions.parquet")
    for name, (header, rows) in sheets.items():
        # The byte order mark makes Excel read Hangul.
        write_csv(header, rows, DATA / f"{name}.csv", "utf-8-sig")


def write_calibration(scored: Scored, models: dict[str, str], made_with: dict[str, object]) -> None:
    """Write what `predict` must know beside the models."""
    thresholds = scored.coder.thresholds.items()
    calibration = Calibration(
        models=models,
        weights=scored.weights,
        confidence=list(scored.coder.confidence),
        thresholds={target_name(target): least for target, least in thresholds},
        certificate=[list(step) for step in scored.coder.certificate],
        rows_made_with=made_with,
    )
    shutil.rmtree(CALIBRATION.parent, ignore_errors=True)
    write_json(calibration.model_dump(), CALIBRATION)
    write_manifest(CALIBRATION.parent, {})


def write_report(report: dict) -> None:
    """Write the report, its curves for ``dvc plots``, and the metrics."""
    for name, points in report["curves"].items():
        write_csv(*record_sheet(points, list(points[0])), METRICS / f"plots/{name}.csv")
    with replace_file(METRICS / "report.html") as partial:
        partial.write_text(render_report(report), encoding="utf-8", newline="")
    figures = {key: report[key] for key in (*COUNTS, *FIGURES)}
    write_json(without_nan(figures), METRICS / "report.json")
    headline = {name: report["values"][name] for name in HEADLINE}
    write_json(headline, METRICS / "metrics.json")


def main() -> None:
    params = load_params(evaluate=EvaluateParams, feature=VisibleFields)
    settings, fields = params.evaluate, params.feature.fields
    made = read_json(ROWS)
    description = description_field(settings.description_field, fields, made["roles"])
    sides = {side: read_table(side_path(side)) for side in SIDES}
    test, names = sides["test"], read_account_names()
    experts = read_experts(sides)

    scored = judge(experts, sides, read_baselines(sides), fields)
    neighbours = read_neighbours(sides)
    findings = find(scored, sides, fields, description, names, neighbours, settings)
    report = {
        **findings,
        **measure(scored, test, settings.bootstrap_resamples, settings.seed),
        **row_counts(scored),
        "curves": quality_curves(scored.coder.scores, scored.rival),
        "learning": read_learning_curves(CURVES),
        "names": names,
        "suspect_probability": settings.suspect_probability,
        "resamples": settings.bootstrap_resamples,
    }

    write_data(scored, test, finding_sheets(findings, fields))
    write_calibration(scored, experts.models, made["made_with"])
    write_report(report)
    for name in HEADLINE:
        print(f"{name:22}{report['values'][name]:.4f}")


if __name__ == "__main__":
    run_stage(main)
