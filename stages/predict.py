"""Code new transactions with the trained model: the account of each row, and how sure it is.

    python -m stages.predict NEW OUT.csv

No stage of ``dvc.yaml``: it runs whenever new rows arrive, and leaves the experiment as it is.

Reads NEW, a file or folder in the form of the ledger (its columns of accounts are not read),
``models/train/``, ``data/evaluate/calibration.json`` and the parameters. Takes the rows through
``ingest``, ``preprocess`` and ``feature`` in a temporary folder, so that they become what the model
was trained on. Writes OUT.csv: each row with its account, probability and next best accounts, then
each refused row with the reason. Parameters: ``ingest``, ``preprocess``, ``feature``,
``evaluate.batch_tokens``, ``model.trust_remote_code``.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from stages.feature import FeatureParams
from stages.ingest import IngestParams
from stages.lib.errors import UserError
from stages.lib.evaluation.metrics import RowScores, summarise_scores
from stages.lib.ledger.rows import NOT_TRANSACTIONS
from stages.lib.model.base_model import (
    ModelParams,
    file_sha256,
    load_tokenizer,
    resolve_base_model,
)
from stages.lib.model.prompt import encode_prompts
from stages.lib.params.files import PARAM_FILES, load_params, read_param_files
from stages.lib.params.section import Section
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv
from stages.lib.tables import read_json, read_table, replace_file
from stages.preprocess import PreprocessParams

SHARED = ("ingest", "preprocess", "feature")
MODEL = Path("models/train")
CALIBRATION = Path("data/evaluate/calibration.json")
ORIGIN = ("source_file", "source_sheet", "source_row")
# Rows that say nothing. A subtotal is listed: where no row has an account, it may be none.
SILENT = tuple(reason for reason in NOT_TRANSACTIONS if reason != "subtotal")


class BatchTokens(Section, extra="ignore"):
    """The one key of the section ``evaluate`` that is read here."""

    batch_tokens: int = Field(ge=1)


class ModelTrust(Section, extra="ignore"):
    """The one key of the section ``model`` that is read here."""

    trust_remote_code: bool


class Calibration(Section):
    """What `evaluate` wrote of the model; a threshold is None where no confidence was enough."""

    model: str
    temperature: float = Field(gt=0)
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)] | None]
    rows_made_with: dict[str, object]


# The model ---------------------------------------------------------------------------------------


def load_calibration() -> Calibration:
    """Return what `evaluate` wrote of the model in ``models/train/``.

    Raises
    ------
    UserError
        There is no model, it is damaged, or the calibration is that of another one.
    """
    from stages.lib.model.scoring import verify_manifest

    if not (MODEL / "manifest.json").is_file():
        raise UserError(f"{MODEL}: holds no model; run 'dvc repro', or fetch it with 'dvc pull'")
    verify_manifest(MODEL)
    try:
        calibration = Calibration.model_validate(read_json(CALIBRATION))
    except ValidationError as error:
        what = error.errors()[0]
        key = ".".join(map(str, what["loc"]))
        raise UserError(
            f"{CALIBRATION}: {key}: {what['msg']}; make it again with 'dvc repro evaluate'"
        ) from None
    if calibration.model != file_sha256(MODEL / "manifest.json"):
        raise UserError(
            f"{CALIBRATION}: belongs to another model than the one in {MODEL}; fetch both with "
            "'dvc pull', or make it again with 'dvc repro evaluate'"
        )
    return calibration


def check_params(noted: dict[str, object], params: dict[str, tuple[str, object]]) -> None:
    """Raise UserError if rows would be made in another way than those that the model has learned.

    How files are read may differ, as new files may have other headers; what is masked may not.

    Parameters
    ----------
    noted : dict of str to object
        Values by section and key, as in ``feature.fields``, as `evaluate` noted them.
    params : dict of str to (str, object)
        As `read_param_files` returns them.
    """
    now = {"ingest.mask": params["ingest"][1]["mask"]}
    for section in ("preprocess", "feature"):
        now |= {f"{section}.{key}": value for key, value in params[section][1].items()}
    for name in sorted(noted.keys() | now.keys()):
        if noted.get(name) != now.get(name):
            raise UserError(
                f"{PARAM_FILES[0]}: {name}: expected {noted.get(name)}, with which the model in "
                f"{MODEL} was trained, got {now.get(name)}; undo the change, or run 'dvc repro'"
            )


def score(
    base: pa.Table, calibration: Calibration, params: SimpleNamespace
) -> tuple[list[dict], RowScores]:
    """Return the model's accounts, and the scores of the rows of a base table.

    The accounts, in the order of the scores, have the keys acct_code and acct_name.
    """
    from stages.lib.model.scoring import load_trained_model, score_rows

    trust = params.model.trust_remote_code
    trained = load_trained_model(MODEL, trust)
    label_map, manifest = (read_json(MODEL / f"{n}.json") for n in ("label_map", "manifest"))
    if calibration.model != file_sha256(MODEL / "manifest.json"):
        raise UserError(f"{MODEL}: was replaced meanwhile; run the same command again")
    model = ModelParams(**manifest["base_model"], trust_remote_code=trust)
    prompt, accounts = label_map["prompt"], label_map["accounts"]
    columns = [base[field].to_pylist() for field in prompt["fields"]]
    tokenizer = load_tokenizer(resolve_base_model(model))
    input_ids, _ = encode_prompts(tokenizer, columns, prompt["max_tokens"])
    logits = score_rows(trained, input_ids, params.evaluate.batch_tokens, "score")
    unknown = np.full(len(logits), len(accounts))
    return accounts, summarise_scores(logits, unknown, calibration.temperature)


# The rows ----------------------------------------------------------------------------------------


def params_of_new_rows(params: SimpleNamespace, source: str) -> dict[str, dict]:
    """Return the sections of the shared stages for rows that have no account yet.

    Columns that the model does not see may be missing, and no row is left out as a duplicate.
    """
    ingest, preprocess, feature = (getattr(params, name).model_dump() for name in SHARED)
    roles = {name: column["role"] for name, column in ingest["columns"].items()}
    label, fields = params.ingest.label, feature["fields"]
    unused = {name for name, role in roles.items() if role in ("id", "label", "label_name")}
    kinds = ("date", "amount", "credit", *(["group"] if "group" in fields else []))
    used = {feature[f"{kind}_column"] for kind in kinds}
    used = {*fields, *used, *ingest["required"]} & roles.keys() - unused
    columns = {name: column for name, column in ingest["columns"].items() if name in used}
    ingest |= {
        "source": source,
        "columns": columns | {label: {"role": "label", "names": []}},
        "required": [name for name in ingest["required"] if name in used]
        or [name for name in fields if name in used][:1],
        # Says that a row without an account need not be a total.
        "fill_down": [*(name for name in ingest["fill_down"] if name in used), label],
        "patterns": {name: text for name, text in ingest["patterns"].items() if name in used},
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
    group = feature["group_column"] if feature["group_column"] in used else None
    feature |= {"group_column": group, "max_leak_rate": 1.0, "max_copy_rate": 1.0}
    return {"ingest": ingest, "preprocess": preprocess, "feature": feature}


def run_shared_stages(sections: dict[str, dict], folder: Path) -> None:
    """Run the shared stages in `folder` with these parameters; exit as they do if one fails."""
    for name, content in zip(PARAM_FILES, (sections, {}), strict=True):
        with replace_file(folder / name) as partial, partial.open("w", encoding="utf-8") as file:
            YAML().dump(content, file)
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    for stage in SHARED:
        command = [sys.executable, "-m", f"stages.{stage}"]
        # In a session of its own it is not interrupted by itself: Ctrl-C ends it from here.
        done = subprocess.run(command, cwd=folder, env=environment, start_new_session=True)
        if done.returncode < 0:
            raise UserError(
                f"{stage} was killed by signal {-done.returncode}; is the machine short of memory?"
            )
        if done.returncode:  # it has said why
            sys.exit(done.returncode)


def read_refused(folder: Path) -> list[list]:
    """Return origin and reason of each row that a shared stage refused."""
    ingest = read_table(folder / "data/ingest/rejects.parquet", [*ORIGIN, "reason"])
    ingest = ingest.filter(pc.invert(pc.is_in(ingest["reason"], pa.array(SILENT)))).to_pylist()
    rows = [[*(row[name] for name in ORIGIN), row["reason"]] for row in ingest]
    for row in read_table(folder / "data/preprocess/rejects.parquet").to_pylist():
        reason = f"{row['reason']} in {row['column']}"
        rows.append([*(row[name] for name in ORIGIN), reason])
    return rows


def count_silent(folder: Path, coded: int, refused: int) -> int:
    """Return how many rows say nothing; every row must be coded, refused or silent."""
    report = read_json(folder / "metrics/ingest/report.json")
    silent = sum(report["reasons"].get(reason, 0) for reason in SILENT)
    if report["rows_read"] != coded + refused + silent:
        raise RuntimeError(f"rows were lost: {report['rows_read']} read, {coded} coded")
    return silent


def coded_table(
    base: pa.Table, accounts: list[dict], scores: RowScores, calibration: Calibration
) -> tuple[list[str], list[list]]:
    """Return header and rows: where each came from, its account, the next best, what it says."""
    thresholds = calibration.thresholds
    shown = ["date", "amount", *calibration.rows_made_with["feature.fields"]]
    places = range(1, scores.top.shape[1])
    header = [*ORIGIN, "refused", "predicted", "predicted_name", "probability", *thresholds]
    header += [f"{name}_{place + 1}" for place in places for name in ("choice", "probability")]
    origins, cells = (
        zip(*(base[name].to_pylist() for name in names), strict=True) for names in (ORIGIN, shown)
    )
    rows = []
    for origin, top, chances, said in zip(
        origins, scores.top.tolist(), scores.probability.tolist(), cells, strict=True
    ):
        best = accounts[top[0]]
        row = [*origin, "", best["acct_code"], best["acct_name"], round(chances[0], 4)]
        for least in thresholds.values():
            row.append("yes" if least is not None and chances[0] >= least else "no")
        for place in places:
            row += [accounts[top[place]]["acct_code"], round(chances[place], 4)]
        rows.append([*row, *said])
    return [*header, *shown], rows


# The command -------------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Return `new` and `out`, texts, of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict", description="Code new transactions with the trained model."
    )
    parser.add_argument("new", help="file or folder of new rows, in the ledger's form")
    parser.add_argument("out", help="CSV file to write, which must not exist yet")
    return parser.parse_args()


def check_paths(new: str, out: str, ledger: str) -> None:
    """Raise UserError if `new` cannot be read, or `out` not be written without harm."""
    if not os.path.exists(new):
        raise UserError(f"{new}: there is no such file or folder")
    if not out.lower().endswith(".csv"):
        raise UserError(f"{out}: expected the name of a CSV file to write, such as coded.csv")
    if os.path.lexists(out):
        raise UserError(f"{out}: exists already; delete it, or name another file")
    for taken in (new, ledger, "data", "models", "metrics"):
        folder = os.path.realpath(taken)
        if os.path.commonpath([folder, os.path.realpath(out)]) == folder:
            raise UserError(f"{out}: lies in {taken}, where the next run reads or deletes it")
    try:
        os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
        partial = Path(f"{out}.partial")  # as it will be written
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that nothing is left behind
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    arguments = parse_arguments()
    params = load_params(
        ingest=IngestParams,
        preprocess=PreprocessParams,
        feature=FeatureParams,
        evaluate=BatchTokens,
        model=ModelTrust,
    )
    calibration = load_calibration()
    check_params(calibration.rows_made_with, read_param_files(Path(".")))
    check_paths(arguments.new, arguments.out, params.ingest.source)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_shared_stages(params_of_new_rows(params, os.path.abspath(arguments.new)), folder)
        base = read_table(folder / "data/feature/base.parquet")
        refused = read_refused(folder)
        silent = count_silent(folder, len(base), len(refused))
    accounts, scores = score(base, calibration, params)
    header, rows = coded_table(base, accounts, scores, calibration)
    padding = [""] * (len(header) - len(ORIGIN) - 1)
    check_paths(arguments.new, arguments.out, params.ingest.source)
    write_csv(header, rows + [row + padding for row in refused], arguments.out, "utf-8-sig")
    # The other stream may not take every letter.
    print(
        f"{arguments.out}: {len(rows):,} rows coded, {len(refused):,} refused; {silent:,} that say "
        "nothing are not in it",
        file=sys.stderr,
    )
    for name in calibration.thresholds:
        count = sum(row[header.index(name)] == "yes" for row in rows)
        print(f"{name}: {count:,} rows ({count / len(rows):.1%})", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
