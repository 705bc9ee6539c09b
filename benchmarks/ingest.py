"""Time and memory of the shared stages, from ledger files to the base table, and of `split`.

    python -m benchmarks.ingest workbooks FOLDER     # against bare reading by python-calamine
    python -m benchmarks.ingest csv ROWS [ROWS ...]  # the sample ledger, resampled to ROWS rows

``csv`` needs data/ingest (``dvc repro ingest`` or ``dvc pull ingest``). Each stage runs as a
process of its own, in a temporary folder. Memory is the largest sum over all processes of a stage
(PSS). Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from python_calamine import CalamineWorkbook
from ruamel.yaml import YAML

from stages.lib.contracts.ingest import TRANSACTIONS
from stages.lib.tables import read_table

ROOT = Path(__file__).parents[1]
STAGES = ("ingest", "preprocess", "feature", "split")
PLACES = {
    "batch_id": "Batch-Transaction ID", "date": "Transaction Date", "merchant": "Merchant Name",
    "amount": "Transaction Amt.", "acct_code": "G/L Account", "purpose": "Purpose",
    "acct_name": "G/L Account Description", "merchant_category": "Merchant Type Description",
    "cost_centre": "Cost Centre / WBS Element Description", "division": "Division",
}  # fmt: skip


def write_csv(path: Path, rows: int, chunk: int = 100_000) -> None:
    """Write `rows` rows drawn from the sample ledger, each with an id and amount of its own."""
    sample = read_table(ROOT / TRANSACTIONS, list(PLACES))
    sample = sample.rename_columns(list(PLACES.values()))
    draw = np.random.default_rng(0)
    with pa.csv.CSVWriter(path, sample.schema) as writer:
        for start in range(0, rows, chunk):
            count = min(chunk, rows - start)
            part = sample.take(pa.array(draw.integers(0, len(sample), count)))
            ids = pa.array([f"{i // 500}-{i % 500}" for i in range(start, start + count)])
            cents = draw.integers(-5_000, 500_000, count)
            amounts = pa.array([f"{c / 100:,.2f}" for c in cents.tolist()])
            part = part.set_column(0, part.field(0), ids).set_column(3, part.field(3), amounts)
            writer.write_table(part)


def tree_memory(root: int) -> int:
    """Return the bytes of a process and all its descendants, shared ones counted once."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            continue
    family, total = {root}, 0
    for _ in range(4):
        family |= {child for child, parent in parents.items() if parent in family}
    for process in family:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except OSError:
            continue
    return total


def measure(stage: str, folder: Path) -> tuple[float, float, int]:
    """Return wall seconds, processor seconds and peak bytes of one stage."""
    before, start, peak = os.times(), time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        peak = max(peak, tree_memory(process.pid))
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"{stage} failed in {folder}")
    after = os.times()
    used = after[2] + after[3] - before[2] - before[3]
    return time.perf_counter() - start, used, peak


def run(source: Path, folder: Path) -> float:
    """Run the shared stages on `source` in `folder`; return the seconds to the base table."""
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["ingest"]["source"] = str(source.resolve())
    if source.is_file():  # it has only some of the sample's columns
        columns = params["ingest"]["columns"]
        params["ingest"]["columns"] = {name: columns[name] for name in columns if name in PLACES}
    yaml.dump(params, folder / "params.yaml")
    (folder / "params_train.yaml").write_bytes((ROOT / "params_train.yaml").read_bytes())
    total = 0.0
    for stage in STAGES:
        wall, used, peak = measure(stage, folder)
        total += wall * (stage != "split")
        print(
            f"{stage:12} {wall:8.1f} s {used:8.1f} s of processor {peak / 1e9:6.2f} GB", flush=True
        )
    print(f"{'base table':12} {total:8.1f} s")
    return total


def read_bare(source: Path) -> float:
    """Return the seconds that python-calamine needs to read all workbooks of a folder."""
    start = time.perf_counter()
    for path in sorted(source.iterdir()):
        book = CalamineWorkbook.from_path(path)
        for name in book.sheet_names:
            book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    return time.perf_counter() - start


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingest", description="Time and memory of the shared stages."
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    workbooks = kinds.add_parser("workbooks", help="against bare reading by python-calamine")
    workbooks.add_argument("folder", type=Path, help="folder of Excel workbooks")
    csv = kinds.add_parser("csv", help="the sample ledger, resampled")
    csv.add_argument("rows", type=int, nargs="+", help="rows of each ledger")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.kind == "workbooks":
            bare = read_bare(arguments.folder)
            print(f"{'bare':12} {bare:8.1f} s")
            print(f"ratio {run(arguments.folder, folder) / bare:.2f}")
            return
        first = None
        for rows in arguments.rows:
            write_csv(folder / "ledger.csv", rows)
            size = (folder / "ledger.csv").stat().st_size
            print(f"{rows:,} rows, {size / 1e9:.2f} GB")
            total = run(folder / "ledger.csv", folder)
            first = first or total
            print(f"ratio to the first {total / first:.2f}", flush=True)


if __name__ == "__main__":
    main()
