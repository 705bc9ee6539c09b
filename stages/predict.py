"""Code new transactions: the account of each row, and whether a person has to look at it.

    python -m stages.predict NEW [NEW ...] OUT.xlsx

This is not a stage of ``dvc.yaml``: run it whenever new rows arrive. It changes nothing in the
repository.

Reads files and folders of new rows, ``models/``, ``data/corrections.csv`` and the parameters; with
``--posted``, also rows that were posted since the training. Writes OUT (.xlsx, .csv or .parquet):
every row of the files, in their order, with its account, what to do with it, why, and the past
postings that it is like. Writes OUT.audit.json: what it was made from. Parameters: ``ingest``,
``preprocess``, ``feature``, ``score``, ``model.trust_remote_code``, ``predict``.
"""

import stages.lib.openmp  # isort: skip  # noqa: F401
import argparse
import json
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from types import SimpleNamespace

from pydantic import ValidationError

from stages.lib.coding import MODELS
from stages.lib.errors import UserError
from stages.lib.ledger.new_rows import find_new_files
from stages.lib.params.coding import SECTIONS
from stages.lib.params.files import load_params
from stages.lib.params.ingest import IngestParams
from stages.lib.params.predict import PredictParams
from stages.lib.process import run_stage
from stages.lib.review.audit import audit_path, verify
from stages.lib.review.coding_run import Done, code_files
from stages.lib.review.writing import check_ending


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line; `out` is the last name."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict",
        description="Code new transactions: the account of each row, and whether a person has to "
        "look at it.",
        epilog="Every row of the files is in OUT, in its order: post (may be posted unseen), "
        "review (a person looks; the reason says why), refused (could not be read) or none (no "
        "transaction). Correct accounts in the column 'corrected', and give the sheet back with "
        "'python -m stages.learn OUT'.",
    )
    parser.add_argument("new", nargs="*", help="files and folders of new rows")
    parser.add_argument("out", help="file to write, which must not exist: .xlsx, .csv or .parquet")
    parser.add_argument(
        "--reading",
        metavar="FILE",
        help="YAML file with the keys of ingest and preprocess that differ for these files, such "
        "as those of a bank: ingest: {columns: {merchant: {names: [payee]}}}",
    )
    parser.add_argument("--precision", type=float, help="share of posted rows that must be right")
    parser.add_argument("--language", choices=["en", "ko"], help="of titles and reasons in OUT")
    parser.add_argument(
        "--posted",
        nargs="+",
        default=[],
        metavar="FILE",
        help="rows posted since the training, in the ledger's form: rows like them follow them",
    )
    parser.add_argument("--chart", metavar="FILE", help="the accounts that may be proposed")
    parser.add_argument(
        "--model", default=MODELS, type=Path, metavar="FOLDER", help="folder of a released model"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON to stdout")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing: compare OUT, the model and NEW with OUT's audit file",
    )
    arguments = parser.parse_args()
    if not arguments.new and not arguments.verify:
        parser.error("expected at least one file of new rows, then the file to write")
    return arguments


def with_choices(params: SimpleNamespace, arguments: argparse.Namespace) -> SimpleNamespace:
    """Return the parameters with what the command line has in place of ``predict``'s keys.

    Raises
    ------
    UserError
        ``--precision`` is no share that can be promised.
    """
    names = ("precision", "language")
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        predict = PredictParams.model_validate({**params.predict.model_dump(), **given})
    except ValidationError as error:
        said = error.errors()[0]
        problem = f"{said['msg']}; got {said['input']}"
        raise UserError("invalid-parameter", f"--{said['loc'][0]}", problem) from None
    return SimpleNamespace(**{**vars(params), "predict": predict})


def check_paths(new: list[str], out: str, others: list[str]) -> None:
    """Raise UserError if `out` cannot be written without harm.

    Parameters
    ----------
    new : list of str
        Files and folders of the command line that are read.
    out : str
        Of the command line.
    others : list of str
        Other folders that are read or made by the pipeline.
    """
    check_ending(Path(out))
    for path in (out, str(audit_path(Path(out)))):
        if os.path.lexists(path):
            raise UserError(
                "output-exists", path, "exists already", "delete it, or name another file"
            )
    for taken in (*new, *others, "data", "models", "metrics"):
        folder = os.path.realpath(taken)
        if os.path.commonpath([folder, os.path.realpath(out)]) == folder:
            raise UserError(
                "unsuitable-output",
                out,
                f"is in {taken}, where the next run would read or delete it",
                "name a file in another folder",
            )
    try:
        folder = os.path.dirname(out) or "."
        os.makedirs(folder, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            "cannot-write", out, f"cannot be written: {error.strerror}", "name another file"
        ) from None


def print_summary(out: str, done: Done, seconds: float, as_json: bool) -> None:
    """Print what became of the rows."""
    # To stderr, because stdout may be unable to encode every letter.
    for remark in done.remarks:
        print(f"predict: {remark}", file=sys.stderr)
    shares = ", ".join(
        f"{count:,} {decision} ({count / max(1, done.rows):.0%})"
        for decision, count in done.counts.items()
    )
    print(f"{out}: {done.rows:,} rows in {seconds:.0f} s: {shares}", file=sys.stderr)
    if as_json:
        print(json.dumps({"rows": done.rows, **done.counts, "threshold": done.threshold}))


def print_verified(out: Path, models: Path, new: list[str]) -> None:
    """Say that `out`, the models and the files `new` are those that the audit file of `out` names.

    Raises
    ------
    UserError
        ``not-verified``: something is not.
    """
    inputs = []
    if new:
        patterns = load_params(ingest=IngestParams).ingest.files
        inputs = [path for path, _ in find_new_files(new, patterns).files]
    if wrong := verify(out, models, inputs):
        raise UserError("not-verified", out, "; ".join(wrong), "code the rows again")
    print(f"{out}: is what its audit file says, and so is the model", file=sys.stderr)


def clean_up_when_stopped() -> None:
    """Let SIGTERM and SIGHUP end this process as an exception does: half-written files go."""

    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)


def main() -> None:
    start, arguments = perf_counter(), parse_arguments()
    clean_up_when_stopped()
    out = Path(arguments.out)
    if arguments.verify:
        return print_verified(out, arguments.model, arguments.new)
    named = (*arguments.new, *arguments.posted, arguments.reading, arguments.chart)
    for path in filter(None, named):
        if not os.path.exists(path):
            raise UserError("file-not-found", path, "there is no such file or folder")
    params = with_choices(load_params(reading=arguments.reading, **SECTIONS), arguments)
    read = [*arguments.new, *arguments.posted]
    check_paths(read, arguments.out, [params.ingest.source, str(arguments.model)])
    done = code_files(
        arguments.new, out, params, arguments.model, arguments.posted, arguments.chart
    )
    print_summary(arguments.out, done, perf_counter() - start, arguments.json)


if __name__ == "__main__":
    run_stage(main)
