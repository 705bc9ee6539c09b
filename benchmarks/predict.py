"""Speed of coding new rows: the rate of ``predict`` against the bare forward passes.

    python -m benchmarks.predict [--rows 20000] [--ending .xlsx]

Run it after ``dvc repro`` or ``dvc pull``, on an idle machine: it needs models/ and data/ingest. It
writes nothing but temporary files.

The rows are the ledger's, drawn with replacement, and each has a number of its own in its first
visible text, so all differ and none is scored for another. The models are loaded before the clock
starts. Reading, past postings, reasons and the sheet are what ``predict`` adds to the forward
passes of the language model, which are timed inside of the same run.
"""

import argparse
import csv
import random
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import SimpleNamespace

from stages.lib.coding import MODELS, load_coder
from stages.lib.contracts.ingest import TRANSACTIONS
from stages.lib.contracts.scores import LANGUAGE_MODEL
from stages.lib.model import scoring
from stages.lib.params.coding import SECTIONS
from stages.lib.params.files import load_params
from stages.lib.review import coding_run
from stages.lib.review.writing import ENDINGS
from stages.lib.tables import read_table


def with_own_titles(params: SimpleNamespace) -> SimpleNamespace:
    """Return the parameters for files whose titles are the names of the ledger's columns."""
    columns = {
        name: column.model_copy(update={"names": [name]})
        for name, column in params.ingest.columns.items()
    }
    ingest = params.ingest.model_copy(update={"columns": columns})
    return SimpleNamespace(**{**vars(params), "ingest": ingest})


def write_rows(path: Path, params: SimpleNamespace, count: int) -> None:
    """Write `count` rows of the ledger without accounts, which all differ for the model."""
    ingest, choose = params.ingest, random.Random(0)
    hidden = {name for name, role in ingest.roles.items() if role.startswith("label")}
    names = [name for name in ingest.columns if name not in hidden]
    text = next(name for name in params.feature.fields if ingest.roles.get(name) == "text")
    rows = read_table(TRANSACTIONS, names).to_pylist()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for number in range(count):
            row = choose.choice(rows)
            writer.writerow({**row, text: f"{row[text]} {number}"})


def timed(function, spent: list[float]):
    """Return `function` with its seconds added to `spent`."""

    def run(*arguments):
        start = perf_counter()
        found = function(*arguments)
        spent.append(perf_counter() - start)
        return found

    return run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.predict",
        description="Speed of predict against bare forward passes.",
    )
    parser.add_argument("--rows", type=int, default=20_000, help="rows, which all differ (20000)")
    parser.add_argument("--ending", default=".xlsx", choices=ENDINGS, help="of the file (.xlsx)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    params, spent = with_own_titles(load_params(**SECTIONS)), []
    start = perf_counter()
    coder, _ = load_coder(MODELS, params)
    if coder.calibration.weights[LANGUAGE_MODEL]:
        _ = coder.language_model
    print(f"ready to score after {perf_counter() - start:.1f} s")
    coding_run.load_coder = lambda *_: (coder, [])
    scoring.score_rows = timed(scoring.score_rows, spent)
    with TemporaryDirectory() as folder:
        new, out = Path(folder) / "new.csv", Path(folder) / f"coded{arguments.ending}"
        write_rows(new, params, arguments.rows)
        start = perf_counter()
        done = coding_run.code_files([str(new)], out, params, MODELS)
        total = perf_counter() - start
        size = out.stat().st_size / 1e6
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rest = total - sum(spent)
    print(f"{done.rows:,} rows in {total:.0f} s, {done.rows / total:.1f} rows/s; {size:.1f} MB")
    each = 1e3 * rest / done.rows
    print(f"forward passes {sum(spent):.0f} s, all else {rest:.0f} s ({each:.2f} ms a row)")
    print(f"{sum(spent) / total:.1%} of the rate of the bare forward passes; {memory:.1f} GB")


if __name__ == "__main__":
    main()
