"""Say whether the model in use still holds, by the rows that were posted since its training.

    python -m stages.month POSTED [POSTED ...] [--model FOLDER] [--against FOLDER] [--json]

This is not a stage of ``dvc.yaml``: run it when a month has been posted. It changes nothing.

Reads files and folders of posted rows, ``models/`` or a released model, ``data/corrections.csv``
and the parameters. Codes the rows as if they were new, and prints by month how many get the account
that they were posted to, how many would have been posted unseen, and how many of those are right;
new vendors, new accounts and accounts that are no longer used; and whether a retraining is due, and
why. With ``--against``, compares two models on the rows that neither has learned. Parameters: those
of ``predict``.
"""

import stages.lib.openmp  # isort: skip  # noqa: F401
import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from stages.lib.coding import MODELS
from stages.lib.errors import UserError
from stages.lib.params.coding import SECTIONS
from stages.lib.params.files import load_params
from stages.lib.process import run_stage
from stages.lib.review.holding import model_report, months_of, paired
from stages.lib.review.month_lines import comparison_lines, model_lines
from stages.lib.review.posted_rows import code_posted, read_posted


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.month",
        description="Say whether the model in use still holds, by the rows that were posted since "
        "its training.",
    )
    parser.add_argument(
        "posted", nargs="+", help="files and folders of posted rows, with their accounts"
    )
    parser.add_argument(
        "--reading",
        metavar="FILE",
        help="YAML file with the keys of ingest and preprocess that differ for these files",
    )
    parser.add_argument(
        "--model", default=MODELS, type=Path, metavar="FOLDER", help="the model; default: models"
    )
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="another model, to be compared with it"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    arguments = parser.parse_args()
    if arguments.against and arguments.against.resolve() == arguments.model.resolve():
        parser.error("--against must be another folder than the model's")
    return arguments


def find(arguments: argparse.Namespace, params: SimpleNamespace) -> tuple[dict, list[str]]:
    """Return what the rows say of the models, and what the user should know.

    Raises
    ------
    UserError
        A file or a model cannot be read, or does not fit the parameters.
    """
    rows, left_out, remarks = read_posted(arguments.posted, params)
    accounts, month = rows["acct_code"].to_pylist(), months_of(rows)
    folders = [arguments.model, *([arguments.against] if arguments.against else [])]
    coded = [code_posted(rows, folder, params) for folder in folders]
    remarks += [remark for one in coded for remark in one.remarks]
    found = {
        "rows": rows.num_rows,
        "left_out": dict(left_out),
        "models": {one.folder: model_report(one, accounts, month, params.predict) for one in coded},
    }
    if arguments.against:
        found["compared"] = paired(*coded, accounts, month)
    return found, list(dict.fromkeys(remarks))


def lines_of(found: dict) -> list[str]:
    """Return what was found in lines that a person reads."""
    names = list(found["models"])
    blocks = [model_lines(name, found["models"][name]) for name in names]
    if "compared" in found:
        blocks.append(comparison_lines(*names, found["compared"]))
    return [line for block in blocks for line in ("", *block)][1:]


def main() -> None:
    arguments = parse_arguments()
    for path in filter(None, (*arguments.posted, arguments.reading)):
        if not os.path.exists(path):
            raise UserError("file-not-found", path, "there is no such file or folder")
    found, remarks = find(arguments, load_params(reading=arguments.reading, **SECTIONS))
    for remark in remarks:
        print(f"month: {remark}", file=sys.stderr)
    for reason, number in Counter(found["left_out"]).most_common():
        print(f"month: {number:,} posted rows left out: {reason}", file=sys.stderr)
    # An account that stdout cannot encode must not end the command.
    sys.stdout.reconfigure(errors="backslashreplace")
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(lines_of(found)))


if __name__ == "__main__":
    run_stage(main)
