"""Check all parameters before DVC deletes anything.

DVC deletes the outputs of a stage before it runs the stage. So a wrong value must be found by a
stage of its own, which all others depend on.

Reads params.yaml and params_train.yaml, and looks whether the ledger is there. Writes
``data/check/valid.txt``, which is always the same, so that a valid change reruns only the stages
that read it. Parameters: all.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from stages.lib.errors import UserError, UserErrors
from stages.lib.params.agreement import check_agreement
from stages.lib.params.baseline import BaselineParams
from stages.lib.params.classify import ClassifyParams
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.evaluate import EvaluateParams
from stages.lib.params.feature import FeatureParams
from stages.lib.params.files import PARAM_FILES, check_places, load_params, read_yaml
from stages.lib.params.ingest import IngestParams
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.predict import PredictParams
from stages.lib.params.preprocess import PreprocessParams
from stages.lib.params.score import ScoreParams
from stages.lib.params.section import Section
from stages.lib.params.split import SplitParams
from stages.lib.params.tokenize import TokenizeParams
from stages.lib.params.training import TrainingParams
from stages.lib.process import run_stage

OUTPUT = Path("data/check/valid.txt")

SECTIONS: dict[str, type[Section]] = {
    "ingest": IngestParams,
    "preprocess": PreprocessParams,
    "feature": FeatureParams,
    "split": SplitParams,
    "tokenize": TokenizeParams,
    "model": ModelParams,
    "lora": LoraParams,
    "deepspeed": DeepSpeedParams,
    "training": TrainingParams,
    "score": ScoreParams,
    "classify": ClassifyParams,
    "baseline": BaselineParams,
    "evaluate": EvaluateParams,
    "predict": PredictParams,
}
# All other sections are in the second file.
IN_FIRST_FILE = ("ingest", "preprocess", "feature", "lora")


def repository() -> Path:
    """Return the top folder of the repository. It is another one than this folder where DVC runs an
    experiment in a copy (``--temp``, and the queue)."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def not_in_copy(source: str, root: Path) -> str:
    """Return a line if the path `source` leads nowhere because this is a copy of the repository
    at `root`; else an empty text."""
    there = os.path.normpath(root / source)
    if os.path.isabs(source) or root == Path.cwd() or os.path.exists(source):
        return ""
    if not os.path.exists(there):
        return ""
    where = f"there is no {source} here: dvc exp run --temp and the queue run in a copy of"
    if root in Path(there).parents:
        return f"{where} what git tracks; add -C {shlex.quote(source)}, or --allow-missing"
    return f"{where} the repository, and this path leads out of it; set it to {there}"


def check_history(root: Path) -> list[UserError]:
    """Return an error if this is a copy of a shallow clone: DVC would run the experiment, say that
    it has succeeded, and keep nothing of it."""
    if root == Path.cwd():
        return []
    asked = ["git", "-C", str(root), "rev-parse", "--is-shallow-repository"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True).stdout
    except OSError:  # there is no git
        return []
    if said.strip() != "true":
        return []
    problem = "this is a shallow clone, where DVC keeps no experiment of --temp or the queue"
    action = "run git fetch --unshallow, or dvc exp run without --temp and --queue"
    return [UserError("shallow-clone", root / ".git", problem, action)]


def check_source(source: str, lock: Path = Path("dvc.lock")) -> list[UserError]:
    """Return an error if there is no `source`, unless `ingest` has read it elsewhere.

    The ledger may be on one machine only. Its path is then in dvc.lock, and ``--allow-missing``
    makes DVC use the tables that were made from it.
    """
    if os.path.exists(source):
        return []
    elsewhere = not_in_copy(source, repository())
    stages = read_yaml(lock).get("stages") if lock.exists() else None
    locked = (stages or {}).get("ingest") or {}
    where, problem = "params.yaml: ingest.source", f"there is no file or folder {source}"
    action = "correct the path; patterns such as *.csv belong in ingest.files"
    if source in [dep.get("path") for dep in locked.get("deps") or []]:
        if elsewhere:
            print(f"check: {where}: {elsewhere}", file=sys.stderr)
        return []
    if elsewhere:
        return [UserError("file-not-found", where, elsewhere)]
    return [UserError("file-not-found", where, problem, action)]


def main() -> None:
    others = check_places({name: PARAM_FILES[name not in IN_FIRST_FILE] for name in SECTIONS})
    try:
        params = load_params(**SECTIONS)
    except UserErrors as errors:
        raise UserErrors([*errors.errors, *others]) from None
    errors = [*others, *check_agreement(params), *check_source(params.ingest.source)]
    if errors := [*errors, *check_history(repository())]:
        raise UserErrors(errors)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("All parameters are valid.\n", encoding="utf-8", newline="\n")
    print("check: all parameters are valid")


if __name__ == "__main__":
    run_stage(main)
