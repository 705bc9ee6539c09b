"""Code new transactions with the trained model: the account of each row, and how sure it is.

    python -m stages.predict NEW OUT.csv [--posted FILE ...] [--model FOLDER]

This is not a stage of ``dvc.yaml``: run it whenever new rows arrive. It changes nothing in the
repository.

Reads NEW, a file or folder in the form of the ledger (its accounts, if it has any, are not read),
``models/`` and the parameters; with ``--posted``, also rows that were posted since the training,
which join the past postings. Writes OUT.csv: each row with its account, probability, next best
accounts and nearest past postings, then each refused row with the reason.
Parameters: ``ingest``, ``preprocess``, ``feature``, ``score``, ``model.trust_remote_code``.
"""

import stages.lib.openmp  # isort: skip  # noqa: F401
import argparse
import os
import sys
from pathlib import Path

from stages.lib.coding import MODELS, Coded, code_rows
from stages.lib.errors import UserError
from stages.lib.params.feature import FeatureParams
from stages.lib.params.files import load_params
from stages.lib.params.ingest import IngestParams
from stages.lib.params.model import ModelTrust
from stages.lib.params.preprocess import PreprocessParams
from stages.lib.params.score import ScoreParams
from stages.lib.process import run_stage
from stages.lib.spreadsheet import write_csv


def parse_arguments() -> argparse.Namespace:
    """Return `new`, `out`, `posted` and `model` of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict", description="Code new transactions with the trained model."
    )
    parser.add_argument("new", help="file or folder of new rows, in the ledger's form")
    parser.add_argument("out", help="CSV file to write, which must not exist yet")
    parser.add_argument(
        "--posted",
        nargs="+",
        default=[],
        metavar="FILE",
        help="rows posted since the training, in the ledger's form: they count as past postings",
    )
    parser.add_argument(
        "--model",
        default=MODELS,
        type=Path,
        metavar="FOLDER",
        help="folder of a released model; default: models",
    )
    return parser.parse_args()


def check_paths(new: list[str], out: str, others: list[str]) -> None:
    """Raise UserError if a file of `new` does not exist, or `out` cannot be written without harm.

    Parameters
    ----------
    new : list of str
        Files and folders of the command line that are read.
    out : str
        Of the command line.
    others : list of str
        Other folders that are read or made by the pipeline.
    """
    for path in new:
        if not os.path.exists(path):
            raise UserError("file-not-found", path, "there is no such file or folder")
    if not out.lower().endswith(".csv"):
        raise UserError("unsuitable-output", out, "expected the name of a CSV file: coded.csv")
    if os.path.lexists(out):
        raise UserError("output-exists", out, "exists already", "delete it, or name another file")
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
        os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
        partial = Path(f"{out}.partial")  # the name under which it is written first
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UserError(
            "cannot-write", out, f"cannot be written: {error.strerror}", "name another file"
        ) from None


def print_summary(out: str, coded: Coded) -> None:
    """Print how many rows were coded, refused and left out."""
    # To stderr, because stdout may be unable to encode every letter.
    print(
        f"{out}: {len(coded.rows):,} rows coded, {len(coded.refused):,} refused; {coded.silent:,} "
        "without content are left out",
        file=sys.stderr,
    )
    for name, count in coded.posted.items():
        print(f"{name}: {count:,} rows ({count / len(coded.rows):.1%})", file=sys.stderr)


def main() -> None:
    arguments = parse_arguments()
    params = load_params(
        ingest=IngestParams,
        preprocess=PreprocessParams,
        feature=FeatureParams,
        score=ScoreParams,
        model=ModelTrust,
    )
    read = [arguments.new, *arguments.posted]
    others = [params.ingest.source, str(arguments.model)]
    check_paths(read, arguments.out, others)
    coded = code_rows(arguments.new, params, arguments.posted, arguments.model)
    for remark in coded.remarks:
        print(f"predict: {remark}", file=sys.stderr)
    check_paths(read, arguments.out, others)
    write_csv(coded.header, coded.rows + coded.refused, arguments.out, "utf-8-sig")
    print_summary(arguments.out, coded)


if __name__ == "__main__":
    run_stage(main)
