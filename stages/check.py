"""Check all parameters before DVC deletes anything.

DVC deletes the outputs of a stage before it runs the stage. So a wrong value must be found by a
stage of its own, which all others depend on.

Reads params.yaml and params_train.yaml, and looks whether the ledger is there. Writes
``data/check/valid.txt``, which is always the same, so that a valid change reruns only the stages
that read it. Parameters: all.
"""

import os
from pathlib import Path

from stages.lib.errors import UserError, UserErrors
from stages.lib.params.agreement import check_agreement
from stages.lib.params.baseline import BaselineParams
from stages.lib.params.classify import ClassifyParams
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.evaluate import EvaluateParams
from stages.lib.params.feature import FeatureParams
from stages.lib.params.files import check_no_other_sections, load_params, read_yaml
from stages.lib.params.ingest import IngestParams
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
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
}


def check_source(source: str, lock: Path = Path("dvc.lock")) -> list[UserError]:
    """Return an error if there is no `source`, unless `ingest` has read it elsewhere.

    The ledger may be on one machine only. Its path is then in dvc.lock, and ``--allow-missing``
    makes DVC use the tables that were made from it.
    """
    if os.path.exists(source):
        return []
    stages = read_yaml(lock).get("stages") if lock.exists() else None
    locked = (stages or {}).get("ingest") or {}
    if source in [dep.get("path") for dep in locked.get("deps") or []]:
        return []
    where, problem = "params.yaml: ingest.source", f"there is no file or folder {source}"
    action = "correct the path; patterns such as *.csv belong in ingest.files"
    return [UserError("file-not-found", where, problem, action)]


def main() -> None:
    others = check_no_other_sections(SECTIONS)
    try:
        params = load_params(**SECTIONS)
    except UserErrors as errors:
        raise UserErrors([*errors.errors, *others]) from None
    if errors := [*others, *check_agreement(params), *check_source(params.ingest.source)]:
        raise UserErrors(errors)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("All parameters are valid.\n", encoding="utf-8", newline="\n")
    print("check: all parameters are valid")


if __name__ == "__main__":
    run_stage(main)
