"""Copies of the project with small data, and commands run in them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from small_ledger import ACCOUNTS, ledger_rows, write_ledger

ROOT = Path(__file__).parents[1]


def set_params(repository: Path, values: dict[str, object]) -> None:
    """Set ``{"training.seed": 1}`` in whichever parameter file has the section."""
    yaml = YAML()
    for name in ("params.yaml", "params_train.yaml"):
        content = yaml.load(repository / name)
        for key, value in values.items():
            section, *middle, last = key.split(".")
            if section in content:
                node = content[section]
                for part in middle:
                    node = node[part]
                assert last in node, key
                node[last] = value
        yaml.dump(content, repository / name)


def tiny_params(model: Path) -> dict[str, object]:
    """Return parameters with which the whole experiment takes seconds."""
    return {
        "model.name": str(model),
        "model.revision": None,
        "model.dtype": "float32",
        "deepspeed.bf16.enabled": False,
        "lora.lora_dropout": 0.1,
        "training.threads": 1,
        "training.num_train_epochs": 2,
        "training.per_device_train_batch_size": 8,
        "training.per_device_eval_batch_size": 8,
        "training.gradient_accumulation_steps": 1,
        "training.learning_rate": 0.01,
        "training.warmup_steps": 2,
        "training.logging_steps": 1,
        "training.eval_strategy": "steps",
        "training.eval_steps": 2,
        "training.save_strategy": "steps",
        "training.save_steps": 2,
        "score.threads": 1,
        "classify.text_classifier.hidden": 8,
        "classify.text_classifier.networks": 1,
        "evaluate.bootstrap_resamples": 100,
    }


def environment(**extra: str) -> dict[str, str]:
    """Return an environment without network, git identity of the user, or threads to spare."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    names = {f"GIT_{who}_{what}": "tester@localhost" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **names, **offline, "PATH": path, **extra}


def run(command: list[str], folder: Path, **extra: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=folder, env=environment(**extra), text=True, capture_output=True, timeout=900
    )


def run_stage(name: str, folder: Path, **extra: str) -> subprocess.CompletedProcess:
    return run([sys.executable, "-m", f"stages.{name}"], folder, **extra)


def copy_project(folder: Path) -> Path:
    """Copy code and parameters as they are now, without data, to `folder`."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        top = Path(name).parts[0]
        if top not in ("data", "models", "metrics", "dvc.lock") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "data").mkdir(exist_ok=True)
    shutil.copy2(ROOT / "data/corrections.csv", folder / "data/corrections.csv")
    return folder


def clone_project(folder: Path, model: Path) -> Path:
    """Make a git repository of the project as it is now, with the small ledger and tiny model."""
    copy_project(folder)
    write_ledger(folder / "data/raw/ledger.csv", ledger_rows())
    set_params(folder, tiny_params(model))
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "x"]):
        done = run(command, folder)
        assert done.returncode == 0, done.stderr
    return folder


def write_split(folder: Path, model: Path) -> Path:
    """Copy the project to `folder` with tiny parameters, and deal the small ledger by hand.

    So tests of the model's stages do not depend on the ledger's.
    """
    import pyarrow as pa

    from stages.lib.tables import write_table

    copy_project(folder)
    set_params(folder, tiny_params(model))
    set_params(folder, {"feature.fields": ["merchant", "purpose", "division"]})
    rows = ledger_rows()
    table = pa.table(
        {
            "row_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
            "merchant": [row[2].casefold() for row in rows],
            "purpose": [row[8].casefold() for row in rows],
            "division": [row[9].casefold() for row in rows],
            "group": [row[2].casefold() for row in rows],
            "acct_code": [row[4] for row in rows],
        }
    )
    parts = {"train": (0, 40), "val": (40, 8), "test": (48, 12)}  # only test has 5999
    for side, (start, size) in parts.items():
        write_table(table.slice(start, size), folder / f"data/split/{side}.parquet")
    chart = {code: name for code, (name, *_) in ACCOUNTS.items()}
    accounts = {"acct_code": sorted(chart), "acct_name": [chart[c] for c in sorted(chart)]}
    write_table(pa.table(accounts), folder / "data/preprocess/accounts.parquet")
    return folder


def stages_that_ran(output: str) -> list[str]:
    """Return the stages that `dvc` said it ran, in order."""
    return re.findall(r"Running stage '(\w+)'", output)


def stages_restored(output: str) -> list[str]:
    """Return the stages that `dvc` said it took from its run cache, in order."""
    return re.findall(r"Stage '(\w+)' is cached", output)


def locked_outputs(repository: Path) -> dict[str, str]:
    """Return the md5 of each output in dvc.lock."""
    lock = YAML(typ="safe").load(repository / "dvc.lock")
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def files(repository: Path, *folders: str) -> dict[str, bytes]:
    """Return the content of each file below these folders of a repository."""
    paths = (path for folder in folders for path in (repository / folder).rglob("*"))
    return {str(p.relative_to(repository)): p.read_bytes() for p in paths if p.is_file()}
