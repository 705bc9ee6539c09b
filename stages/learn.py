"""Learn from reviewed sheets: what a person corrected or confirmed counts at once.

    python -m stages.learn REVIEWED [REVIEWED ...] [--new-account CODE ...] [--model FOLDER]

This is not a stage of ``dvc.yaml``: run it when a sheet that predict wrote comes back. Reads the
sheets (.xlsx, .ods, .xls, .csv or .parquet), the chart of accounts in ``models/`` and
``data/preprocess``, and the parameters. Adds each row whose column ``corrected`` is filled to
``data/corrections.csv``, to be committed to git: the next predict follows it, and the next ``dvc
repro`` trains on it. Rows that cannot be read are named; they can be repaired, and the same sheet
given again. Parameters: ``feature.fields``, ``preprocess.labels``.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from stages.lib.contracts.evaluate import CALIBRATION
from stages.lib.errors import UserError
from stages.lib.normalize import padded
from stages.lib.params.files import load_params
from stages.lib.params.preprocess import Labels, PreprocessParams
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.review.account_finder import AccountFinder, read_chart
from stages.lib.review.columns import keys_of_titles
from stages.lib.review.corrections import (
    CONFIRMED,
    CORRECTED,
    PATH,
    Correction,
    first_of,
    join_corrections,
    read_corrections,
    write_corrections,
)
from stages.lib.review.returned import read_sheets
from stages.lib.review.reviewed_rows import Taken, checked_precision, needed_columns, take_rows


def parse_arguments() -> argparse.Namespace:
    """Return `reviewed`, `new_account` and `model` of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.learn",
        description="Learn from sheets that predict wrote and a person reviewed.",
    )
    parser.add_argument(
        "reviewed",
        nargs="+",
        type=Path,
        help="reviewed sheet; of the same row the later one counts",
    )
    parser.add_argument(
        "--new-account",
        nargs="+",
        default=[],
        metavar="CODE",
        help="accounts that neither the model nor the ledger has yet",
    )
    parser.add_argument(
        "--model",
        default=CALIBRATION.parents[1],
        type=Path,
        metavar="FOLDER",
        help="folder of a released model, for its chart of accounts; default: models",
    )
    return parser.parse_args()


def chart_with(
    chart: dict[str, str], new: list[str], old: list[Correction], labels: Labels
) -> dict[str, str]:
    """Return the chart with the accounts of earlier corrections, and new ones.

    Raises
    ------
    UserError
        A new code does not fit ``preprocess.labels.pattern``.
    """
    codes = [padded(code, labels.pad_to) for code in new]
    for code in codes:
        if not re.fullmatch(labels.pattern, code) or re.fullmatch(labels.masked, code):
            problem = f"does not fit preprocess.labels.pattern, {labels.pattern}"
            raise UserError("unsuitable-account", f"--new-account {code}", problem)
    return {**dict.fromkeys([*codes, *(row.account for row in old)], ""), **chart}


def learn(arguments: argparse.Namespace, params: SimpleNamespace) -> list[str]:
    """Add what the sheets say to the corrections, and return lines that say what was done.

    Raises
    ------
    UserError
        A sheet cannot be read. Then nothing is changed.
    """
    fields, labels = params.feature.fields, params.preprocess.labels
    old = read_corrections()
    chart = chart_with(read_chart(arguments.model), arguments.new_account, old, labels)
    finder, titles = AccountFinder(chart, labels), keys_of_titles(fields)
    taken: list[Taken] = []
    for path in arguments.reviewed:
        for sheet in read_sheets(path, titles, needed_columns(fields)):
            taken.append(take_rows(sheet, fields, finder))
    joined = join_corrections(old, [pair for sheet in taken for pair in sheet.corrections])
    if joined.corrections or PATH.exists():
        write_corrections(joined.corrections.values(), fields)
    return report_lines(taken, joined.counts, joined.remarks, len(joined.corrections))


def report_lines(
    taken: list[Taken], counts: dict[str, int], remarks: list[str], total: int
) -> list[str]:
    """Return what was taken, what was not, and why."""
    problems = [line for sheet in taken for line in sheet.problems]
    lines = first_of([line for sheet in taken for line in sheet.remarks]) + first_of(remarks)
    lines += [f"not taken: {line}" for line in problems]
    if checked := checked_precision(sum((Counter(sheet.checks) for sheet in taken), Counter())):
        lines.append(checked)
    untouched = sum(sheet.untouched for sheet in taken)
    lines.append(
        f"{PATH}: {counts[CORRECTED]:,} corrected and {counts[CONFIRMED]:,} confirmed rows taken, "
        f"{counts['known']:,} known before; {len(problems):,} not taken; {untouched:,} untouched; "
        f"it has {total:,} rows now"
    )
    return lines


def main() -> None:
    params = load_params(preprocess=PreprocessParams, feature=VisibleFields)
    for line in learn(parse_arguments(), params):
        # To stderr, because stdout may be unable to encode every letter.
        print(f"learn: {line}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
