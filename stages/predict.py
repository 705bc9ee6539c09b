"""Code new transactions with the trained model: the account of each row, and how sure it is.

    python -m stages.predict NEW OUT.csv

No stage of ``dvc.yaml``: it runs whenever new rows arrive, and leaves the experiment as it is.

Reads NEW, a file or folder in the form of the ledger (its columns of accounts are not read),
``models/train/``, ``data/evaluate/calibration.json``, ``dvc.lock`` and the parameters. Takes the
rows through ``ingest``, ``preprocess`` and ``feature`` in a temporary folder, so that they become
what the model was trained on. Writes OUT.csv: each row with its account, probability and next best
accounts, and each refused row with the reason. Parameters: ``ingest``, ``preprocess``, ``feature``,
``evaluate.batch_tokens``, ``model.trust_remote_code``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ruamel.yaml import YAML

from stages.feature import FeatureParams
from stages.ingest import IngestParams
from stages.lib.evaluation.metrics import RowScores, summarise_scores
from stages.lib.ledger.rows import NOT_TRANSACTIONS
from stages.lib.model.base_model import (
    ModelParams,
    file_sha256,
    load_tokenizer,
    resolve_base_model,
)
from stages.lib.model.prompt import encode_prompts
from stages.lib.params import (
    PARAM_FILES,
    Section,
    UserError,
    load_params,
    read_param_files,
    read_yaml,
)
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv
from stages.lib.tables import read_json, read_table
from stages.preprocess import PreprocessParams

SHARED = ("ingest", "preprocess", "feature")
MODEL = Path("models/train")
CALIBRATION = Path("data/evaluate/calibration.json")
ORIGIN = ("source_file", "source_sheet", "source_row")


class BatchTokens(Section, extra="ignore"):
    """The one key of the section ``evaluate`` that is read here."""

    batch_tokens: int


class ModelTrust(Section, extra="ignore"):
    """The one key of the section ``model`` that is read here."""

    trust_remote_code: bool


class Fitted(NamedTuple):
    """What belongs to the trained model beside its weights.

    `accounts` are code and name in the order of the scores; `thresholds` are confidences by name,
    None where no confidence was enough.
    """

    accounts: list[dict[str, str]]
    fields: list[str]
    max_tokens: int
    base_model: dict
    temperature: float
    thresholds: dict[str, float | None]


# The model ---------------------------------------------------------------------------------------


def load_fitted(fields: list[str]) -> Fitted:
    """Return what belongs to the model in ``models/train/``.

    Raises
    ------
    UserError
        There is no model, it was trained on other fields than `fields`, or the calibration is
        that of another model.
    """
    if not (MODEL / "manifest.json").is_file():
        raise UserError(f"{MODEL}: holds no model; run 'dvc repro', or fetch it with 'dvc pull'")
    label_map, calibration = read_json(MODEL / "label_map.json"), read_json(CALIBRATION)
    if calibration["model"] != file_sha256(MODEL / "manifest.json"):
        raise UserError(
            f"{CALIBRATION}: belongs to another model than the one in {MODEL}; run 'dvc repro'"
        )
    prompt = label_map["prompt"]
    if prompt["fields"] != fields:
        raise UserError(
            f"params.yaml: feature.fields: expected {', '.join(prompt['fields'])}, which the model "
            f"in {MODEL} was trained on, got {', '.join(fields)}; run 'dvc repro'"
        )
    return Fitted(
        accounts=label_map["accounts"],
        fields=fields,
        max_tokens=prompt["max_tokens"],
        base_model=read_json(MODEL / "manifest.json")["base_model"],
        temperature=calibration["temperature"],
        thresholds=calibration["thresholds"],
    )


def check_lock(lock: dict, sections: dict[str, tuple[str, object]]) -> None:
    """Raise UserError if rows would be made in another way than those that the model learned.

    How files are read (``ingest``) may differ: new files may have other headers.

    Parameters
    ----------
    lock : dict
        The content of ``dvc.lock``.
    sections : dict of str to (str, object)
        As `read_param_files` returns them.
    """
    for stage in ("preprocess", "feature"):
        file, content = sections[stage]
        locked = lock.get("stages", {}).get(stage, {}).get("params", {}).get(file, {}).get(stage)
        if locked != content:
            raise UserError(
                f"{file}: {stage} is not what the rows of the model were made with (dvc.lock); "
                "undo the change, or run 'dvc repro'"
            )


def score(base: pa.Table, fitted: Fitted, batch_tokens: int, trust_remote_code: bool) -> RowScores:
    """Return the scores of the rows of a base table; their accounts are unknown."""
    from stages.lib.model.scoring import load_trained_model, score_rows

    trained = load_trained_model(MODEL, trust_remote_code)
    model = ModelParams(**fitted.base_model, trust_remote_code=trust_remote_code)
    columns = [base[field].to_pylist() for field in fitted.fields]
    tokenizer = load_tokenizer(resolve_base_model(model))
    input_ids, _ = encode_prompts(tokenizer, columns, fitted.max_tokens)
    logits = score_rows(trained, input_ids, batch_tokens, "score")
    unknown = np.full(len(logits), len(fitted.accounts))
    return summarise_scores(logits, unknown, fitted.temperature)


# The rows ----------------------------------------------------------------------------------------


def params_of_new_rows(params: SimpleNamespace, source: Path) -> dict[str, dict]:
    """Return the sections of the shared stages for rows that have no account yet.

    Columns that neither the model sees nor ``ingest.required`` names may be missing. No row is
    left out as a duplicate, and none fails a stage: each refused one is listed with its reason.
    """
    ingest, preprocess, feature = (getattr(params, name).model_dump() for name in SHARED)
    label = params.ingest.label
    names = {name for name, column in ingest["columns"].items() if column["role"] == "label_name"}
    used = {feature[f"{kind}_column"] for kind in ("date", "amount", "credit", "group")}
    used = (used | {*feature["fields"], *ingest["required"]}) - {label} - names
    columns = {name: column for name, column in ingest["columns"].items() if name in used}
    ingest |= {
        "source": str(source),
        "columns": columns | {label: {"role": "label", "names": []}},
        "required": [name for name in ingest["required"] if name in used],
        "fill_down": [name for name in ingest["fill_down"] if name in used],
        "patterns": {name: ingest["patterns"][name] for name in ingest["patterns"] if name in used},
        "max_reject_fraction": 1.0,
    }
    for reading in ingest["reading"]:
        places = reading["positions"].items()
        reading["positions"] = {name: place for name, place in places if name in used}
    any_label = {"pattern": ".*", "pad_to": 0, "masked": "", "masked_rule": "reject"}
    preprocess |= {
        "labels": any_label | {"merge": {}, "retire": []},
        "duplicates": "keep",
        "max_reject_fraction": 1.0,
    }
    feature |= {"max_leak_rate": 1.0, "max_copy_rate": 1.0}
    return {"ingest": ingest, "preprocess": preprocess, "feature": feature}


def run_shared_stages(sections: dict[str, dict], folder: Path) -> None:
    """Run the shared stages in `folder` with these parameters; exit as they do if one fails."""
    for name, content in zip(PARAM_FILES, (sections, {}), strict=True):
        with (folder / name).open("w", encoding="utf-8") as file:
            YAML().dump(content, file)
    code = str(Path(__file__).resolve().parents[1])
    for stage in SHARED:
        command = [sys.executable, "-m", f"stages.{stage}"]
        done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": code})
        if done.returncode:
            sys.exit(done.returncode)


def read_refused(folder: Path) -> list[dict]:
    """Return origin and reason of each transaction that a shared stage refused."""
    refused = read_table(folder / "data/ingest/rejects.parquet", [*ORIGIN, "reason"])
    refused = refused.filter(pc.invert(pc.is_in(refused["reason"], pa.array(NOT_TRANSACTIONS))))
    rows = refused.to_pylist()
    for row in read_table(folder / "data/preprocess/rejects.parquet").to_pylist():
        column = row.pop("column")
        rows.append({**row, "reason": f"{row['reason']} in {column}" if column else row["reason"]})
    return rows


def count_others(folder: Path, coded: int, refused: int) -> dict[str, int]:
    """Return how many rows are no transactions, by reason; every row must be one of the three."""
    report = read_json(folder / "metrics/ingest/report.json")
    others = {r: n for r, n in report["reasons"].items() if r in NOT_TRANSACTIONS}
    if report["rows_read"] != coded + refused + sum(others.values()):
        raise RuntimeError(f"rows were lost: {report['rows_read']} read, {coded} coded")
    return others


def coded_rows(base: pa.Table, scores: RowScores, fitted: Fitted) -> list[dict]:
    """Return one record a row: where it came from, its account, the next best, what it says."""
    records = []
    shown = list(dict.fromkeys([*ORIGIN, "date", "amount", *fitted.fields]))
    rows = zip(
        base.select(shown).to_pylist(),
        scores.top.tolist(),
        scores.probability.tolist(),
        strict=True,
    )
    for row, top, probability in rows:
        best = fitted.accounts[top[0]]
        record = {
            **{name: row[name] for name in ORIGIN},
            "predicted": best["acct_code"],
            "predicted_name": best["acct_name"],
            "probability": round(probability[0], 4),
        }
        for place in range(1, len(top)):
            record[f"choice_{place + 1}"] = fitted.accounts[top[place]]["acct_code"]
            record[f"probability_{place + 1}"] = round(probability[place], 4)
        for name, threshold in fitted.thresholds.items():
            posted = threshold is not None and probability[0] >= threshold
            record[name] = "yes" if posted else "no"
        records.append({**record, "refused": "", **{name: row[name] for name in shown[3:]}})
    return records


def write_coded(records: list[dict], refused: list[dict], path: Path) -> None:
    """Write the coded rows, then the refused ones, as CSV."""
    header = list(records[0])
    rows = [[record[name] for name in header] for record in records]
    for row in refused:
        record = {**row, "refused": row["reason"]}
        rows.append([record.get(name, "") for name in header])
    write_csv(header, rows, path, "utf-8-sig")


def parse_arguments() -> argparse.Namespace:
    """Return `new` and `out`, paths, of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict", description="Code new transactions with the trained model."
    )
    parser.add_argument("new", type=Path, help="file or folder of new rows, in the ledger's form")
    parser.add_argument("out", type=Path, help="CSV file to write")
    arguments = parser.parse_args()
    source, out = arguments.new.resolve(), arguments.out.resolve()
    if not source.exists():
        raise UserError(f"{arguments.new}: there is no such file or folder")
    if out.is_dir():
        raise UserError(f"{arguments.out}: is a folder; name the CSV file to write")
    if source == out or source in out.parents:
        raise UserError(f"{arguments.out}: would be read as new rows next time; write elsewhere")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    params = load_params(
        ingest=IngestParams,
        preprocess=PreprocessParams,
        feature=FeatureParams,
        evaluate=BatchTokens,
        model=ModelTrust,
    )
    fitted = load_fitted(params.feature.fields)
    check_lock(read_yaml(Path("dvc.lock")), read_param_files(Path(".")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_shared_stages(params_of_new_rows(params, arguments.new.resolve()), folder)
        base = read_table(folder / "data/feature/base.parquet")
        refused = read_refused(folder)
        others = count_others(folder, len(base), len(refused))
    scores = score(base, fitted, params.evaluate.batch_tokens, params.model.trust_remote_code)
    records = coded_rows(base, scores, fitted)
    write_coded(records, refused, arguments.out)
    print(f"{len(records):,} rows coded, {len(refused):,} refused: {arguments.out}")
    for name in fitted.thresholds:
        count = sum(record[name] == "yes" for record in records)
        print(f"{name}: {count:,} ({count / len(records):.1%})")
    for reason, count in others.items():
        print(f"{reason}: {count:,}, no transactions")


if __name__ == "__main__":
    run_stage(main)
