"""A repository with two experiments of DVC, whose stage writes in a second what ours write."""

import os
import subprocess
from pathlib import Path

from project import environment

FIT = """
import json, pathlib, sys
rank = int(sys.argv[1])
def write(path, text):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text, encoding="utf-8")
write("models/train/adapter.bin", "x" * rank)
curve = f"step\\tval_loss\\n50\\t2.5\\n100\\t{1 / rank}\\n"
write("metrics/train/plots/metrics/val_loss.tsv", curve)
write("metrics/evaluate/report.html", f"<p>계정 {rank}</p>")
write("metrics/evaluate/metrics.json", json.dumps({"accuracy": rank / 64, "none": None}))
"""
STAGE = """
stages:
  fit:
    cmd: python fit.py ${lora.r}
    params: [lora, ingest]
    outs: [models/train, metrics/train/plots, metrics/evaluate/report.html]
    metrics:
      - metrics/evaluate/metrics.json:
          cache: false
"""
PARAMS = """
ingest:
  source: /home/kim/ledger
  columns: {적요: {role: text, names: [적요]}}
  other_formats: {"*.csv": {decimal: comma}}
lora:
  r: 16
predict:
  review: {vendors: ["*kim*"]}
"""


def call(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def write_experiments(folder: Path) -> Path:
    """Make the repository: rank 16 is committed, `rank8` and `rank32` are experiments."""
    folder.mkdir()
    for name, text in (("fit.py", FIT), ("dvc.yaml", STAGE), ("params.yaml", PARAMS)):
        (folder / name).write_text(text, encoding="utf-8")
    call(["git", "init", "-q", "-b", "main"], folder)
    call(["dvc", "init", "-q"], folder)
    (folder / ".gitignore").write_text(".scratch/\n")
    call(["dvc", "repro", "-q"], folder)
    call(["git", "add", "-A"], folder)
    call(["git", "commit", "-qm", "rank 16"], folder)
    for rank in (8, 32):
        call(["dvc", "exp", "run", "-q", "-n", f"rank{rank}", "-S", f"lora.r={rank}"], folder)
    call(["git", "reset", "-q", "--hard"], folder)
    call(["dvc", "checkout", "-q"], folder)
    return folder


def head(folder: Path) -> str:
    return call(["git", "rev-parse", "HEAD"], folder)


def without_cache(folder: Path) -> None:
    """Remove every object from DVC's cache."""
    for path in (folder / ".dvc/cache/files").rglob("*"):
        if path.is_file():
            os.chmod(path, 0o600)
            path.unlink()
