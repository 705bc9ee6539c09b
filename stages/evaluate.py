"""Evaluate the model on the test rows: how good it is, what may be posted unseen, what goes wrong.

Temperature and thresholds are fitted on the validation rows and reported on the test rows. The
language model does not run here.

Reads data/score, data/split, data/baseline/predictions.parquet, data/preprocess/accounts.parquet,
data/feature/rows.json and metrics/train/plots. Writes metrics/evaluate (metrics.json, report.html
and its curves as plots/*.csv) and data/evaluate (predictions.parquet, what the report lists as CSV,
and calibration.json for `predict`). Parameters: evaluate, feature.fields.
"""

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
from stages.lib.evaluation.inputs import read_account_names, read_baselines, read_scores
from stages.lib.evaluation.judging import Scored, judge, row_counts
from stages.lib.evaluation.posting import target_name
from stages.lib.evaluation.report import render_report
from stages.lib.evaluation.sheets import (
    finding_sheets,
    prediction_table,
    record_sheet,
    without_nan,
)
from stages.lib.params.evaluate import EvaluateParams
from stages.lib.params.files import load_params
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv
from stages.lib.tables import read_json, read_table, replace_file, write_json, write_table

DATA = Path("data/evaluate")
METRICS = Path("metrics/evaluate")


def write_data(
    scored: Scored,
    test: pa.Table,
    sheets: dict[str, tuple[list[str], list[list]]],
    model: str,
    made_with: dict[str, object],
) -> None:
    """Write the predictions, the spreadsheets, and what `predict` must know of the model."""
    predictions = prediction_table(scored.model, test, scored.known, scored.thresholds)
    write_table(predictions, DATA / "predictions.parquet")
    for name, (header, rows) in sheets.items():
        # The byte order mark makes Excel read Hangul.
        write_csv(header, rows, DATA / f"{name}.csv", "utf-8-sig")
    calibration = Calibration(
        model=model,
        temperature=scored.temperature,
        thresholds={target_name(target): least for target, least in scored.thresholds.items()},
        rows_made_with=made_with,
    )
    write_json(calibration.model_dump(), CALIBRATION)


def write_report(report: dict) -> None:
    """Write the report, its curves for ``dvc plots``, and the metrics."""
    for name, points in report["curves"].items():
        write_csv(*record_sheet(points, list(points[0])), METRICS / f"plots/{name}.csv")
    with replace_file(METRICS / "report.html") as partial:
        partial.write_text(render_report(report), encoding="utf-8", newline="")
    write_json(without_nan(report["values"]), METRICS / "metrics.json")


def main() -> None:
    params = load_params(evaluate=EvaluateParams, feature=VisibleFields)
    settings, fields = params.evaluate, params.feature.fields
    made = read_json(ROWS)
    description = description_field(settings.description_field, fields, made["roles"])
    sides = {side: read_table(side_path(side)) for side in SIDES}
    test, names = sides["test"], read_account_names()
    accounts, logits, model = read_scores(sides)

    scored = judge(accounts, logits, sides, read_baselines(sides))
    findings = find(scored, sides, fields, description, names, settings)
    report = {
        **findings,
        **measure(scored, test, settings.bootstrap_resamples, settings.seed),
        **row_counts(scored),
        "curves": quality_curves(scored.model, scored.rival),
        "learning": read_learning_curves(CURVES),
        "names": names,
        "temperature": scored.temperature,
        "suspect_probability": settings.suspect_probability,
        "resamples": settings.bootstrap_resamples,
    }

    write_data(scored, test, finding_sheets(findings, fields), model, made["made_with"])
    write_report(report)
    for name, value in report["values"].items():
        print(f"{name:22}{value:.4f}")


if __name__ == "__main__":
    run_stage(main)
