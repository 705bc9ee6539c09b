"""The whole pipeline on a ledger of 60 rows, in a repository of its own, by the users' commands."""

import csv
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import (
    ROOT,
    clone_project,
    copy_project,
    ledger_rows,
    run,
    write_ledger,
    write_tiny_model,
)
from ruamel.yaml import YAML

from stages.lib.params import read_yaml
from stages.lib.tables import read_table

pytestmark = pytest.mark.slow

ALL = ["ingest", "preprocess", "feature", "split", "tokenize", "train", "baseline", "evaluate"]


def dvc(command: str, repository: Path) -> str:
    done = run(["dvc", *shlex.split(command)], repository)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stages_that_ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def locked_outputs(repository: Path) -> dict[str, str]:
    lock = YAML(typ="safe").load(repository / "dvc.lock")
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def commit(repository: Path) -> None:
    for command in (["git", "add", "-A"], ["git", "commit", "-qm", "results"]):
        assert run(command, repository).returncode == 0


@pytest.fixture(scope="module")
def reproduced(tiny_model, tmp_path_factory) -> Path:
    """Return a repository in which `dvc repro` has run; tests must not change its results."""
    repository = clone_project(tmp_path_factory.mktemp("clone") / "repository", tiny_model)
    assert sorted(stages_that_ran(dvc("repro", repository))) == sorted(ALL)
    commit(repository)
    return repository


def test_after_a_run_everything_is_up_to_date_and_nothing_runs_again(reproduced):
    assert "up to date" in dvc("status", reproduced)
    assert stages_that_ran(dvc("repro", reproduced)) == []
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""


def test_every_row_of_the_ledger_is_dealt_to_one_side_and_scored(reproduced):
    sides = {
        side: read_table(reproduced / f"data/split/{side}.parquet")["row_id"].to_pylist()
        for side in ("train", "val", "test")
    }
    rows = [row for side in sides.values() for row in side]
    assert sorted(rows) == list(range(60))
    predictions = read_table(reproduced / "data/evaluate/predictions.parquet")
    assert predictions["row_id"].to_pylist() == sides["test"]
    metrics = json.loads((reproduced / "metrics/evaluate/metrics.json").read_text())
    hits = zip(
        predictions["predicted"].to_pylist(), predictions["acct_code"].to_pylist(), strict=True
    )
    assert metrics["accuracy"] == pytest.approx(sum(a == b for a, b in hits) / len(sides["test"]))


def test_metrics_and_reports_are_in_git_and_data_and_models_are_not(reproduced):
    tracked = run(["git", "ls-files"], reproduced).stdout.splitlines()
    assert {"metrics/evaluate/metrics.json", "metrics/train/metrics.json"} <= set(tracked)
    stray = [
        name
        for name in tracked
        if name.startswith(("data/", "models/"))
        and not name.startswith("data/raw/")
        and not name.endswith(".gitignore")
    ]
    assert stray == []


def test_a_forced_run_gives_the_same_bytes_in_every_output(reproduced):
    before = locked_outputs(reproduced)
    assert sorted(stages_that_ran(dvc("repro --force", reproduced))) == sorted(ALL)
    assert locked_outputs(reproduced) == before
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""


def test_another_rank_reruns_train_and_evaluate_only_and_both_are_shown(reproduced, tmp_path):
    repository = shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)
    assert stages_that_ran(dvc("exp run -S lora.r=4", repository)) == ["train", "evaluate"]
    config = json.loads((repository / "models/train/adapter_config.json").read_text())
    assert config["r"] == 4

    table = list(csv.DictReader(io.StringIO(dvc("exp show --csv", repository))))
    (column,) = (name for name in table[0] if name.endswith("lora.r"))
    assert {row[column] for row in table} == {"16", "4"}
    (accuracy,) = (name for name in table[0] if name == "accuracy" or name.endswith(":accuracy"))
    assert all(0 <= float(row[accuracy]) <= 1 for row in table)


# The line of the README for the full-size model --------------------------------------------------

QWEN = "Qwen/Qwen3-4B"


def recipe() -> list[str]:
    """Return the words of the command in the README that trains Qwen3-4B."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    (command,) = (block for block in blocks if QWEN in block)
    return shlex.split(command.replace("\\\n", " "))


def overrides() -> list[str]:
    words = recipe()
    return [words[i + 1] for i, word in enumerate(words) if word in ("-S", "--set-param")]


def test_the_recipe_has_at_most_eight_overrides_and_pins_the_revision():
    assert recipe()[:3] == ["dvc", "exp", "run"]
    assert len(overrides()) <= 8
    pinned = f"{{name:{QWEN},revision:1cfa9a7208912126459214e8b04321603b3df60c}}"
    assert f"params_train.yaml:model={pinned}" in overrides()


def test_the_recipe_runs_with_a_small_random_qwen3_in_place_of_the_weights(tmp_path):
    model = tmp_path / "small-qwen3"
    write_tiny_model(model)
    repository = copy_project(tmp_path / "repository")
    write_ledger(repository / "data/raw/ledger.csv", ledger_rows())
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "x"]):
        assert run(command, repository).returncode == 0

    line = [word.replace(f"name:{QWEN}", f"name:{model}") for word in recipe()]
    line = [re.sub(r"revision:[0-9a-f]{40}", "revision:null", word) for word in line]
    done = run(line, repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_that_ran(done.stdout)[-1] == "evaluate"

    params = read_yaml(repository / "params_train.yaml")
    lora = read_yaml(repository / "params.yaml")["lora"]
    training, zero = params["training"], params["deepspeed"]["zero_optimization"]
    assert params["model"]["dtype"] == "bfloat16"
    assert (lora["r"], lora["lora_alpha"], lora["lora_dropout"]) == (16, 32, 0.1)
    assert lora["target_modules"] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert params["deepspeed"]["enabled"] and params["deepspeed"]["bf16"]["enabled"]
    assert (zero["stage"], zero["offload_optimizer"]["device"]) == (2, "cpu")
    wanted = {
        "gradient_checkpointing": True,
        "gradient_accumulation_steps": 4,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 8,
        "learning_rate": 2e-4,
        "num_train_epochs": 3,
        "warmup_steps": 100,
        "weight_decay": 0.01,
        "logging_steps": 10,
        "eval_steps": 100,
        "save_steps": 500,
    }
    assert {key: training[key] for key in wanted} == wanted

    saved = json.loads((repository / "models/train/adapter_config.json").read_text())
    assert saved["target_modules"] == sorted(lora["target_modules"])
    assert saved["layers_to_transform"] is None  # adapters in all layers
    predictions = read_table(repository / "data/evaluate/predictions.parquet")
    assert predictions.num_rows == 12
