"""Judge the trained model on the test rows: what may be posted unseen, what goes wrong and where.

Reads ``models/train/``, ``metrics/train/plots/``, ``data/tokenize/{val,test}``,
``data/split/{train,val,test}.parquet``, ``data/preprocess/accounts.parquet`` and
``data/baseline/predictions.parquet``. Writes ``metrics/evaluate/metrics.json``,
``metrics/evaluate/report.html`` with its curves as ``metrics/evaluate/plots/*.csv``, and in
``data/evaluate/`` the predictions as parquet, what the report lists as CSV for a spreadsheet, and
``calibration.json``, which `predict` reads. Parameters: ``evaluate``, ``feature``, ``preprocess``,
``ingest.mask``, ``model.trust_remote_code``.

The temperature and the auto-post thresholds are fitted on the validation rows and reported on the
test rows.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stages.lib.errors import UserError
from stages.lib.evaluation import metrics
from stages.lib.evaluation.findings import (
    account_table,
    amounts,
    confusion_table,
    slice_table,
    slice_values,
    suspect_table,
)
from stages.lib.evaluation.metrics import RowScores
from stages.lib.evaluation.report import render_report
from stages.lib.model.base_model import file_sha256
from stages.lib.params.files import load_params
from stages.lib.params.section import Section
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv
from stages.lib.tables import read_table, replace_file, write_json, write_table

MODEL = Path("models/train")
TOKENIZED = Path("data/tokenize")
SPLIT = Path("data/split")
CHART = Path("data/preprocess/accounts.parquet")
LEARNING = Path("metrics/train/plots/metrics")
BASELINE = Path("data/baseline/predictions.parquet")
OUT = Path("data/evaluate")
METRICS = Path("metrics/evaluate")
LABEL = "acct_code"
TARGETS = (0.95, 0.99)  # precisions that rows are posted at without a look
CURVE_POINTS = 200
VENDOR = ("vendor_rows", "vendor_predicted", "vendor_ledger")


class EvaluateParams(Section):
    batch_tokens: int = Field(ge=1)
    bootstrap_resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)
    middle_account_rows: int = Field(ge=1)
    frequent_account_rows: int = Field(ge=1)
    description_field: str | None
    suspect_probability: float = Field(gt=0, lt=1)


class PersonalData(Section, extra="ignore"):
    """The one key of the section ``ingest`` that this stage notes."""

    mask: list[str]


class Preprocess(Section, extra="allow"):
    """The section ``preprocess``, which this stage notes."""


class Feature(Section, extra="allow"):
    """The section ``feature``, which this stage notes, and the key that it reads."""

    fields: list[str]


class ModelTrust(Section, extra="ignore"):
    """The one key of the section ``model`` that this stage reads."""

    trust_remote_code: bool


# Scores ------------------------------------------------------------------------------------------


def evaluate_model(
    batch_tokens: int, trust_remote_code: bool
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Score the validation and test rows with the trained model, one forward pass a row.

    Returns
    -------
    accounts : list of str, length K
        Codes in the order of the columns.
    logits : dict of float32 (n, K)
        For ``val`` and ``test``, in the order of the split tables.
    """
    from datasets import load_from_disk

    from stages.lib.model.scoring import load_trained_model, score_rows

    trained = load_trained_model(MODEL, trust_remote_code)
    logits = {}
    for side in ("val", "test"):
        rows = load_from_disk(TOKENIZED / side)
        table = read_table(SPLIT / f"{side}.parquet", ["row_id"])
        check_rows(TOKENIZED / side, rows["row_id"], table)
        logits[side] = score_rows(trained, rows["input_ids"], batch_tokens, f"score {side}")
    return trained.accounts, logits


def check_rows(path: Path, row_ids, table: pa.Table) -> None:
    """Raise a UserError unless `row_ids`, found in `path`, are those of the split table."""
    if not np.array_equal(np.asarray(row_ids), table["row_id"].to_numpy()):
        raise UserError(f"{path}: not the rows of {SPLIT}; rebuild both with 'dvc repro evaluate'")


def load_baselines(sides: dict[str, pa.Table]) -> dict[str, dict[str, pa.Table]]:
    """Return ``{side: {baseline: predictions}}`` for validation and test rows, rows checked."""
    predictions = read_table(BASELINE)
    found: dict[str, dict[str, pa.Table]] = {}
    for side in ("val", "test"):
        found[side] = {}
        for name in predictions["baseline"].unique().to_pylist():
            chosen = (pc.field("side") == side) & (pc.field("baseline") == name)
            found[side][name] = predictions.filter(chosen)
            check_rows(BASELINE, found[side][name]["row_id"], sides[side])
    return found


def baseline_scores(predictions: pa.Table, label: np.ndarray, known: list[str]) -> RowScores:
    """Return the `RowScores` of a baseline; `top` holds its best account only."""
    position = {code: index for index, code in enumerate(known)}
    return RowScores(
        label=label,
        top=np.array([[position[code]] for code in predictions["predicted"].to_pylist()]),
        probability=predictions["probability"].to_numpy()[:, None],
        label_probability=predictions["label_probability"].to_numpy(),
        label_rank=predictions["label_rank"].to_numpy(),
    )


@dataclass(frozen=True)
class Scored:
    """The test rows as the model and the baselines see them; K accounts were trained.

    Attributes
    ----------
    known : list of str
        Codes of the K trained accounts, then of those that stand in other rows only.
    trained : int
        K.
    label : dict of int64 (n,)
        Accounts of the training, validation and test rows.
    temperature : float
        Fitted on validation rows.
    thresholds : dict of {target precision: confidence or None}
        Fitted on validation rows.
    model : RowScores
        Of the test rows.
    baselines : dict of {name: (RowScores of the test rows, thresholds)}
        The thresholds are their own, fitted on validation rows.
    best : str
        The baseline with the highest accuracy on validation rows.
    """

    known: list[str]
    trained: int
    label: dict[str, np.ndarray]
    temperature: float
    thresholds: dict[float, float | None]
    model: RowScores
    baselines: dict[str, tuple[RowScores, dict[float, float | None]]]
    best: str

    @property
    def rival(self) -> RowScores:
        """The best baseline's `RowScores` of the test rows."""
        return self.baselines[self.best][0]


def judge(
    accounts: list[str],
    logits: dict[str, np.ndarray],
    sides: dict[str, pa.Table],
    predictions: dict[str, dict[str, pa.Table]],
) -> Scored:
    """Fit on the validation rows what is to be fitted, and apply it to the test rows."""
    codes = {side: table[LABEL].to_pylist() for side, table in sides.items()}
    _, known = metrics.encode_accounts([code for side in codes.values() for code in side], accounts)
    label = {side: metrics.encode_accounts(codes[side], known)[0] for side in codes}
    temperature = metrics.fit_temperature(logits["val"], label["val"])
    model = {
        side: metrics.summarise_scores(logits[side], label[side], temperature) for side in logits
    }
    baselines = {
        side: {
            name: baseline_scores(table, label[side], known)
            for name, table in predictions[side].items()
        }
        for side in logits
    }
    return Scored(
        known=known,
        trained=len(accounts),
        label=label,
        temperature=temperature,
        thresholds=fit_thresholds(model["val"]),
        model=model["test"],
        baselines={
            name: (scores, fit_thresholds(baselines["val"][name]))
            for name, scores in baselines["test"].items()
        },
        best=max(baselines["val"], key=lambda name: baselines["val"][name].correct.mean()),
    )


# Metrics -----------------------------------------------------------------------------------------


def fit_thresholds(scores: RowScores) -> dict[float, float | None]:
    """Return for each target precision the confidence that reaches it on these rows."""
    curve = metrics.precision_coverage(scores.confidence, scores.correct)
    return {target: metrics.auto_post_threshold(curve, target) for target in TARGETS}


def all_metrics(
    scores: RowScores,
    thresholds: dict[float, float | None],
    amount: np.ndarray,
    n_accounts: int,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the metrics of one classifier, NaN where one is undefined."""
    values = metrics.headline(scores, n_accounts, weights)
    values["amount_accuracy"] = metrics.amount_accuracy(scores.correct, amount, weights)
    for target, threshold in thresholds.items():
        rate, precision = metrics.auto_post(scores.confidence, scores.correct, threshold, weights)
        values[f"autopost{target * 100:.0f}_rate"] = rate
        values[f"autopost{target * 100:.0f}_precision"] = precision
    return values


def vendor_clusters(vendors: list[str]) -> np.ndarray | None:
    """Return the number of each row's vendor, int64 (n,); a row without one is its own.

    None: no row has a vendor.
    """
    if not any(vendors):
        return None
    keys = [vendor or index for index, vendor in enumerate(vendors)]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys])


def intervals(
    scored: Scored, test: pa.Table, params: EvaluateParams
) -> dict[str, dict[str, list[float] | None]]:
    """Return ``{metric: {"rows": [low, high], "vendors": [low, high]}}``, 95 % each.

    The metrics are those of `all_metrics` and ``accuracy_gain``: the model's accuracy less that
    of the best baseline on the same resampled rows. Thresholds and temperature stay as fitted.
    Without vendors their interval is None.
    """
    amount, gain = amounts(test), scored.model.correct.astype(float) - scored.rival.correct

    def numbers(weights=None):
        values = all_metrics(scored.model, scored.thresholds, amount, len(scored.known), weights)
        return {**values, "accuracy_gain": metrics.mean(gain, weights)}

    clusters = {
        "rows": np.arange(test.num_rows),
        "vendors": vendor_clusters(test["group"].to_pylist()),
    }
    bounds = {
        kind: metrics.bootstrap(
            lambda weights: np.array([*numbers(weights).values()]),
            cluster,
            params.bootstrap_resamples,
            params.seed,
        )
        for kind, cluster in clusters.items()
        if cluster is not None
    }
    return {
        name: {
            kind: bounds[kind][:, index].tolist() if kind in bounds else None for kind in clusters
        }
        for index, name in enumerate(numbers())
    }


def compare(scored: Scored, name: str, amount: np.ndarray) -> dict[str, float]:
    """Return the metrics of a baseline, and how it differs from the model row by row."""
    scores, thresholds = scored.baselines[name]
    only_model, only_baseline, p = metrics.mcnemar(scored.model.correct, scores.correct)
    return {
        **all_metrics(scores, thresholds, amount, len(scored.known)),
        "only_model": only_model,
        "only_baseline": only_baseline,
        "p": p,
    }


def verdict(gain: list[float]) -> str:
    """Return what the 95 % interval of the accuracy gain allows to say of the model."""
    if gain[0] > 0:
        return "better"
    return "unclear" if gain[1] > 0 else "worse"


def posts(values: dict, bounds: dict, thresholds: dict[float, float | None]) -> list[dict]:
    """Return what each auto-post threshold, fitted on validation rows, does on the test rows."""
    return [
        {
            "target": target,
            "threshold": threshold,
            "rate": values[f"autopost{target * 100:.0f}_rate"],
            "precision": values[f"autopost{target * 100:.0f}_precision"],
            "bounds": bounds[f"autopost{target * 100:.0f}_precision"]["rows"],
        }
        for target, threshold in thresholds.items()
    ]


# Tables and curves --------------------------------------------------------------------------------


def prediction_table(
    scores: RowScores, test: pa.Table, known: list[str], thresholds: dict[float, float | None]
) -> pa.Table:
    """Return one row for each test row: label, predicted account, probability, next best ones."""
    codes = pa.array(known)
    columns: dict[str, object] = {
        "row_id": test["row_id"],
        LABEL: test[LABEL],
        "predicted": codes.take(pa.array(scores.predicted)),
        "probability": scores.confidence,
    }
    for place in range(1, scores.top.shape[1]):
        columns[f"choice_{place + 1}"] = codes.take(pa.array(scores.top[:, place]))
        columns[f"probability_{place + 1}"] = scores.probability[:, place]
    columns["label_probability"] = scores.label_probability
    columns["correct"] = scores.correct
    for target, threshold in thresholds.items():
        least = np.inf if threshold is None else threshold
        columns[f"autopost{target * 100:.0f}"] = scores.confidence >= least
    return pa.table(columns)


def coverage_points(scores: RowScores) -> list[dict]:
    """Return at most 200 points of the precision-coverage curve, evenly spaced, the last one too.

    The first hundredth is left out: precision over a handful of rows jumps.
    """
    curve = metrics.precision_coverage(scores.confidence, scores.correct)
    wanted = np.linspace(0.01, 1, CURVE_POINTS)
    index = np.unique(np.searchsorted(curve.coverage, wanted - 1e-12))
    columns = (curve.coverage[index], curve.precision[index], curve.threshold[index])
    return [
        {"coverage": coverage, "precision": precision, "threshold": threshold}
        for coverage, precision, threshold in zip(*(c.tolist() for c in columns), strict=True)
    ]


def reliability_points(scores: RowScores) -> list[dict]:
    """Return the bins of the reliability diagram."""
    bins = metrics.reliability(scores.confidence, scores.correct)
    columns = (bins.confidence, bins.accuracy, bins.rows)
    return [
        {"confidence": confidence, "accuracy": accuracy, "rows": int(rows)}
        for confidence, accuracy, rows in zip(*(c.tolist() for c in columns), strict=True)
    ]


def learning_curves() -> dict[str, list[tuple[int, float]]]:
    """Return the (step, loss) points that training recorded, of training and validation rows."""
    curves = {}
    for name, title in (("train_loss", "training rows"), ("val_loss", "validation rows")):
        path = LEARNING / f"{name}.tsv"
        if path.is_file():  # a short training records no validation loss
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file, delimiter="\t")
                curves[title] = [(int(row["step"]), float(row[name])) for row in rows]
    return curves


# Files -------------------------------------------------------------------------------------------


def write_records(records: list[dict], columns: list[str], path: Path, encoding: str) -> None:
    """Write these keys of `records` as CSV."""
    write_csv(columns, [[record[name] for name in columns] for record in records], path, encoding)


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """Return `values` with None for NaN, which JSON has no word for."""
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def write_findings(findings: dict[str, list[dict]], fields: list[str]) -> None:
    """Write the tables of the report as CSV; the byte order mark makes Excel read Hangul."""
    place = ["row_id", "source_file", "source_sheet", "source_row", "date", "amount"]
    columns = {
        "slices": list(findings["slices"][0]),
        "accounts": list(findings["accounts"][0]),
        "confusions": ["account", "name", "predicted", "predicted_name", "rows", "amount"],
    }
    for name, header in columns.items():
        write_records(findings[name], header, OUT / f"{name}.csv", "utf-8-sig")
    header = ["probability", "account", "name", "predicted", "predicted_name", *VENDOR, *place]
    rows = [
        [*(suspect[key] for key in header), *suspect["text"]] for suspect in findings["suspects"]
    ]
    write_csv([*header, *fields], rows, OUT / "suspects.csv", "utf-8-sig")


def write_calibration(scored: Scored, rows_made_with: dict[str, object]) -> None:
    """Write what `predict` must know of the model: what was fitted on the validation rows, and the
    parameters by which a row becomes what the model has learned to read."""
    calibration = {
        "model": file_sha256(MODEL / "manifest.json"),
        "temperature": scored.temperature,
        "thresholds": {
            f"autopost{target * 100:.0f}": threshold
            for target, threshold in scored.thresholds.items()
        },
        "rows_made_with": rows_made_with,
    }
    write_json(calibration, OUT / "calibration.json")


def write_plots(scores: RowScores, rival: RowScores) -> dict[str, list[dict]]:
    """Write the curves for ``dvc plots`` and return them."""
    curves = {
        "precision_coverage": coverage_points(scores),
        "precision_coverage_baseline": coverage_points(rival),
        "reliability": reliability_points(scores),
    }
    for name, points in curves.items():
        write_records(points, list(points[0]), METRICS / "plots" / f"{name}.csv", "utf-8")
    return curves


def main() -> None:
    sections = load_params(
        evaluate=EvaluateParams,
        model=ModelTrust,
        ingest=PersonalData,
        preprocess=Preprocess,
        feature=Feature,
    )
    params, fields = sections.evaluate, sections.feature.fields
    sides = {side: read_table(SPLIT / f"{side}.parquet") for side in ("train", "val", "test")}
    train, test = sides["train"], sides["test"]
    chart = read_table(CHART, ["acct_code", "acct_name"]).to_pylist()
    names = {row["acct_code"]: row["acct_name"] or "" for row in chart}
    predictions = load_baselines(sides)
    slices = slice_values(
        test,
        train,
        params.middle_account_rows,
        params.frequent_account_rows,
        params.description_field,
    )

    accounts, logits = evaluate_model(params.batch_tokens, sections.model.trust_remote_code)
    scored = judge(accounts, logits, sides, predictions)
    model, known, amount = scored.model, scored.known, amounts(test)
    values = all_metrics(model, scored.thresholds, amount, len(known))
    values["accuracy_gain"] = values["accuracy"] - metrics.mean(scored.rival.correct)
    train_rows = np.bincount(scored.label["train"], minlength=len(known))
    least = params.suspect_probability
    findings = {
        "slices": slice_table(slices, model, scored.rival, scored.thresholds[0.95], amount),
        "accounts": account_table(model, train_rows, known, names),
        "confusions": confusion_table(model, test, fields, known, names),
        "suspects": suspect_table(model, test, train, fields, known, names, least),
    }
    bounds = intervals(scored, test, params)

    write_table(
        prediction_table(model, test, known, scored.thresholds), OUT / "predictions.parquet"
    )
    write_findings(findings, fields)
    write_calibration(
        scored,
        {
            f"{section}.{key}": value
            for section in ("ingest", "preprocess", "feature")
            for key, value in getattr(sections, section)
        },
    )
    untrained = model.label[model.label >= scored.trained]
    report = {
        **findings,
        "values": values,
        "bounds": bounds,
        "verdict": verdict(bounds["accuracy_gain"]["rows"]),
        "baselines": {name: compare(scored, name, amount) for name in scored.baselines},
        "best": scored.best,
        "posts": posts(values, bounds, scored.thresholds),
        "curves": write_plots(model, scored.rival),
        "learning": learning_curves(),
        "names": names,
        "temperature": scored.temperature,
        "rows": test.num_rows,
        "train_rows": train.num_rows,
        "trained": scored.trained,
        "untrained_rows": len(untrained),
        "untrained_accounts": len(np.unique(untrained)),
        "suspect_probability": params.suspect_probability,
        "resamples": params.bootstrap_resamples,
    }
    with replace_file(METRICS / "report.html") as partial:
        partial.write_text(render_report(report), encoding="utf-8", newline="")
    write_json(without_nan(values), METRICS / "metrics.json")
    for name, value in values.items():
        print(f"{name:22}{value:.4f}")


if __name__ == "__main__":
    run_stage(main)
