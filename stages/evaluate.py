"""Combine the experts into the coder, and judge it on the test rows.

The weights of the experts and the thresholds are fitted on the validation rows and reported on the
test rows. No expert runs here: their scores are read.

Reads data/score, data/classify, data/split, data/baseline/predictions.parquet,
data/preprocess/accounts.parquet, data/feature/rows.json and metrics/train/plots; and for what
people read the rows and rejects of data/ingest and the rejects of data/preprocess. Writes
models/evaluate (what `predict` needs of it), metrics/evaluate (metrics.json, report.json,
report.html and its curves as plots/*.csv) and data/evaluate (predictions, suspects and rejects as
.parquet and .xlsx, and what the report lists as CSV). Parameters: evaluate, and for the report
feature.fields, ingest.source, split.strategy, model.name, model.revision and predict.language.
"""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa

from stages.lib.contracts.evaluate import CALIBRATION, Calibration
from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.ingest import REJECTS as READ_REJECTS
from stages.lib.contracts.ingest import TRANSACTIONS
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.names import SIDES
from stages.lib.contracts.preprocess import REJECTS as CLEAN_REJECTS
from stages.lib.contracts.split import SET_ASIDE, side_path
from stages.lib.contracts.train import CURVES
from stages.lib.evaluation.comparison import measure
from stages.lib.evaluation.curves import quality_curves, read_learning_curves
from stages.lib.evaluation.facts import digests_of, ledger_facts, plain_name
from stages.lib.evaluation.findings import description_field, find
from stages.lib.evaluation.inputs import (
    Experts,
    read_account_names,
    read_baselines,
    read_cross_fitted,
    read_experts,
    read_neighbours,
)
from stages.lib.evaluation.judging import Scored, judge, row_counts
from stages.lib.evaluation.posting import target_name
from stages.lib.evaluation.report import render_report, summary
from stages.lib.evaluation.row_texts import (
    in_ledger_spelling,
    ledger_columns,
    ledger_texts,
    shown_fields,
)
from stages.lib.evaluation.sheets import (
    finding_sheets,
    prediction_sheet,
    prediction_table,
    record_sheet,
    reject_sheet,
    reject_words,
    suspect_sheet,
    table_rows,
    without_nan,
)
from stages.lib.evaluation.suspects import scores_of_all_rows, suspect_table
from stages.lib.evaluation.words import load_words, say_slice
from stages.lib.evaluation.workbook import write_book
from stages.lib.model.manifest import write_manifest
from stages.lib.params.evaluate import EvaluateParams
from stages.lib.params.files import load_params
from stages.lib.params.report import (
    BaseModelName,
    LedgerSource,
    ReportLanguage,
    SplitStrategy,
)
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv
from stages.lib.tables import (
    open_table,
    read_json,
    read_table,
    replace_file,
    write_json,
    write_table,
)

DATA = Path("data/evaluate")
METRICS = Path("metrics/evaluate")
REPORT = METRICS / "report.html"
# Of the report, what report.json has too.
FIGURES = ("values", "bounds", "postable95", "parts", "baselines", "contributions", "slices")
COUNTS = ("rows", "train_rows", "trained", "untrained_rows", "untrained_accounts")
# What `dvc exp show` compares.
HEADLINE = (
    "accuracy",
    "top3_accuracy",
    "macro_f1",
    "log_loss",
    "ece",
    "amount_accuracy",
    "accuracy_gain",
    "certified95_rate",
    "certified95_precision",
    "autopost95_rate",
    "autopost95_precision",
)


def read_ledger(fields: list[str]) -> pa.Table:
    """Return the origin and the visible fields of all rows, as the ledger has them."""
    with open_table(TRANSACTIONS) as file:
        names = file.schema_arrow.names
    return read_table(TRANSACTIONS, ledger_columns(fields, names))


def write_data(
    predictions: pa.Table,
    tables: dict[str, pa.Table],
    sheets: dict[str, tuple[list[str], list[list]]],
    words: Mapping,
) -> list[tuple[str, int, list[str]]]:
    """Write what people and machines open; return name, rows and formats of each table."""
    written = {}
    for name, table in tables.items():
        write_book(table, DATA / f"{name}.xlsx", words["sheets"][name], words)
        # Machines need no text of the rows beside the predictions: the split has it.
        write_table(predictions if name == "predictions" else table, DATA / f"{name}.parquet")
        written[name] = (table.num_rows, ["xlsx", "parquet"])
    for name, (header, rows) in sheets.items():
        # The byte order mark makes Excel read Hangul.
        write_csv(header, rows, DATA / f"{name}.csv", "utf-8-sig")
        written.setdefault(name, (len(rows), []))[1].append("csv")
    return [(name, count, formats) for name, (count, formats) in written.items()]


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


def write_report(report: dict, language: str) -> None:
    """Write the report, its curves for ``dvc plots``, and the metrics."""
    for name, points in report["curves"].items():
        write_csv(*record_sheet(points, list(points[0])), METRICS / f"plots/{name}.csv")
    with replace_file(REPORT) as path:
        path.write_text(render_report(report, language), encoding="utf-8", newline="")
    figures = {key: report[key] for key in (*COUNTS, *FIGURES)}
    write_json(without_nan(figures), METRICS / "report.json")
    headline = {name: report["values"][name] for name in HEADLINE}
    write_json(without_nan(headline), METRICS / "metrics.json")


def facts_of(
    sides: dict[str, pa.Table], experts: Experts, params: SimpleNamespace, description: str | None
) -> dict:
    """Return what the report tells of ledger, model and parameters."""
    data = [TRANSACTIONS, *map(side_path, SIDES)]
    digests = digests_of([*data, CALIBRATION.parent / MANIFEST], experts.models)
    return {
        **ledger_facts(sides, params.ingest.source),
        "aside": read_table(SET_ASIDE).num_rows,
        "currency": params.evaluate.currency,
        "strategy": params.split.strategy,
        "base_model": plain_name(params.model.name),
        "revision": params.model.revision,
        "data": digests[TRANSACTIONS.as_posix()],
        "model": digests[(CALIBRATION.parent / MANIFEST).as_posix()],
        "digests": digests,
        "description": description,
    }


def read_params() -> SimpleNamespace:
    """Return the parameters that the stage depends on."""
    return load_params(
        evaluate=EvaluateParams,
        feature=VisibleFields,
        ingest=LedgerSource,
        split=SplitStrategy,
        model=BaseModelName,
        predict=ReportLanguage,
    )


def main() -> None:
    params = read_params()
    settings, visible, made = params.evaluate, params.feature.fields, read_json(ROWS)
    description = description_field(settings.description_field, visible, made["roles"])
    sides = {side: read_table(side_path(side)) for side in SIDES}
    names, experts = read_account_names(), read_experts(sides)
    fields, words = shown_fields(visible), load_words(params.predict.language)
    ledger = read_ledger(fields)
    shown = {side: in_ledger_spelling(table, fields, ledger) for side, table in sides.items()}

    scored = judge(experts, sides, read_baselines(sides), visible)
    scores = scores_of_all_rows(scored, read_cross_fitted(sides, experts))
    least, neighbours = settings.suspect_probability, read_neighbours(sides)
    suspects = suspect_table(scores, shown, fields, scored.known, names, least, neighbours)
    findings = find(scored, sides, shown["test"], fields, description, names, settings)
    predictions = prediction_table(scored.coder, sides["test"], scored.known)
    write_calibration(scored, experts.models, made["made_with"])

    refused = read_table(CLEAN_REJECTS)
    texts, say = ledger_texts(refused, fields, ledger), reject_words(params.predict.language)
    tables = {
        "suspects": suspect_sheet(suspects, fields),
        "predictions": prediction_sheet(predictions, shown["test"], fields, names),
        "rejects": reject_sheet(read_table(READ_REJECTS), refused, texts, say),
    }
    edges = made["made_with"]["feature.amount_edges"]
    sizes = (settings.middle_account_rows, settings.frequent_account_rows)
    sheets = finding_sheets(findings, partial(say_slice, words, edges, sizes))
    sheets["suspects"] = table_rows(tables["suspects"])
    report = {
        **findings,
        **measure(scored, sides["test"], settings.bootstrap_resamples, settings.seed),
        **row_counts(scored),
        "suspects": suspects,
        "curves": quality_curves(scored.coder.scores, scored.rival),
        "learning": read_learning_curves(CURVES),
        "names": names,
        "suspect_probability": least,
        "resamples": settings.bootstrap_resamples,
        "facts": facts_of(sides, experts, params, description),
        "fields": fields,
        "edges": edges,
        "sizes": sizes,
        "files": write_data(predictions, tables, sheets, words),
        "path": REPORT.as_posix(),
    }
    write_report(report, params.predict.language)
    print(summary(words, report))


if __name__ == "__main__":
    run_stage(main)
