"""Time, memory and size of the text classifier and the past postings, for a ledger of any size.

    python -m benchmarks.classify [--rows 280000] [--queries 28000]

Run it on an idle machine after ``split`` has run: it needs data/split and data/feature/rows.json.
It writes nothing but a temporary folder.

The training rows are repeated until there are enough. In each repetition but the first, a fifth of
the words is replaced by words that no other row has, so that the vocabulary grows as in a real
ledger. Each part runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.split import side_path
from stages.lib.model.text_experts import (
    fit_text_experts,
    load_text_experts,
    save_text_experts,
    score_text_experts,
)
from stages.lib.parallel import cores
from stages.lib.params.classify import ClassifyParams
from stages.lib.params.files import load_params
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.tables import read_json, read_table

NEW_WORDS = 0.2


def enlarge(rows: pa.Table, fields: list[str], count: int) -> pa.Table:
    """Return `count` rows: those of the table again and again, with some words changed."""
    random = np.random.default_rng(0)
    repeats = -(-count // len(rows))
    larger = pa.concat_tables([rows] * repeats).slice(0, count).combine_chunks()
    for name in fields:
        cells = larger[name].to_pylist()
        for place in range(len(rows), count):
            words = cells[place].split(" ")
            changed = np.flatnonzero(random.random(len(words)) < NEW_WORDS)
            for word in changed:
                words[word] = f"{words[word]}{random.integers(20_000)}"
            cells[place] = " ".join(words)
        larger = larger.set_column(larger.column_names.index(name), name, pa.array(cells))
    return larger


def measure(part: str, count: int, folder: Path) -> dict[str, float]:
    """Fit or score, and return seconds and gigabytes."""
    params = load_params(classify=ClassifyParams, feature=VisibleFields)
    fields = params.feature.fields
    side = "train" if part == "fit" else "test"
    rows = enlarge(read_table(side_path(side)), fields, count)
    start = perf_counter()
    if part == "fit":
        roles = read_json(ROWS)["roles"]
        experts = fit_text_experts(rows, fields, roles, params.classify, cores())
        seconds = perf_counter() - start
        save_text_experts(experts, folder)
    else:
        score_text_experts(load_text_experts(folder), rows, cores())
        seconds = perf_counter() - start
    own, workers = (
        resource.getrusage(who).ru_maxrss / 1e6
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {"seconds": seconds, "own": own, "worker": workers}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.classify", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=280_000, help="training rows")
    parser.add_argument("--queries", type=int, default=28_000, help="rows to score")
    parser.add_argument("--part", choices=("fit", "score"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        count = arguments.rows if arguments.part == "fit" else arguments.queries
        print(json.dumps(measure(arguments.part, count, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for part, count in (("fit", arguments.rows), ("score", arguments.queries)):
            options = ["--rows", str(arguments.rows), "--queries", str(arguments.queries)]
            command = [sys.executable, "-m", "benchmarks.classify", *options]
            done = subprocess.run(
                [*command, "--part", part, "--folder", folder],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{part} {count:,} rows: {found['seconds']:.0f} s, {found['own']:.2f} GB, and "
                f"{found['worker']:.2f} GB the largest worker",
                flush=True,
            )
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"on disk: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
