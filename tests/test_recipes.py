"""Every file in recipes/: its options are those of `dvc exp run`, and they train a model."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from project import ROOT, run, set_params, stages_that_ran, tiny_params
from s3_server import commit

from stages.check import IN_FIRST_FILE, SECTIONS
from stages.lib.params.agreement import check_agreement
from stages.lib.params.files import PARAM_FILES, check_places, load_params, read_yaml
from stages.lib.tables import read_table

pytest_plugins = ["team"]

RECIPES = sorted((ROOT / "recipes").glob("*.args"))


def words(recipe: Path) -> list[str]:
    """Return the words that xargs passes on, by the documented command."""
    echo = f"xargs {sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
    command = f"grep -v '^#' {recipe} | {echo}"
    return json.loads(subprocess.run(command, shell=True, check=True, capture_output=True).stdout)


def overrides(recipe: Path) -> list[str]:
    """Return what follows each ``-S``."""
    found = words(recipe)
    assert found[::2] == ["-S"] * (len(found) // 2), found
    return found[1::2]


def applied(folder: Path, changes: list[str]) -> dict[str, object]:
    """Apply `changes` to copies of the parameter files in `folder`; return all values by key."""
    for name in PARAM_FILES:
        (folder / name).write_bytes((ROOT / name).read_bytes())
    for name, values in to_path_overrides(changes).items():
        apply_overrides(folder / name, values)
    return flat({k: v for name in PARAM_FILES for k, v in read_yaml(folder / name).items()})


def flat(values: dict, prefix: str = "") -> dict[str, object]:
    found = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def test_there_is_a_recipe():
    assert RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_has_one_option_a_line(recipe):
    lines = recipe.read_text(encoding="utf-8").splitlines()
    options = [line for line in lines if line and not line.startswith("#")]
    assert all(line.startswith("-S ") for line in options)
    assert len(overrides(recipe)) == len(options)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_valid_and_changes_exactly_the_keys_that_it_names(recipe, tmp_path):
    default = applied(tmp_path, [])
    changed = applied(tmp_path, overrides(recipe))
    params = load_params(tmp_path, **SECTIONS)
    places = {name: PARAM_FILES[name not in IN_FIRST_FILE] for name in SECTIONS}
    assert check_places(places, tmp_path) == []
    assert check_agreement(params) == []
    named = {text.partition("=")[0].rpartition(":")[2] for text in overrides(recipe)}
    assert {key for key in changed if changed[key] != default[key]} == named
    assert changed.keys() == default.keys()


def test_a_launcher_of_several_words_passes_xargs_and_dvc_whole(tmp_path):
    recipe = tmp_path / "two.args"
    line = "-S 'params_train.yaml:training.launcher=\"torchrun --standalone --nproc_per_node=2\"'"
    recipe.write_text(f"# It's two GPUs.\n{line}\n")
    launcher = applied(tmp_path, overrides(recipe))["training.launcher"]
    assert launcher == "torchrun --standalone --nproc_per_node=2"
    (commented,) = (
        text
        for text in (ROOT / "recipes/qwen3-4b.args").read_text(encoding="utf-8").splitlines()
        if "launcher" in text
    )
    assert commented == f"#{line}"  # the line that the recipe offers


def test_the_recipe_for_qwen3_4b_is_the_one_described(tmp_path):
    params = applied(tmp_path, overrides(ROOT / "recipes/qwen3-4b.args"))
    expected = {
        "model.name": "Qwen/Qwen3-4B",
        "model.revision": "1cfa9a7208912126459214e8b04321603b3df60c",
        "model.dtype": "bfloat16",
        "tokenize.max_train_rows": None,
        "lora.r": 16,
        "lora.lora_alpha": 32,
        "lora.lora_dropout": 0.1,
        "lora.target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "deepspeed.enabled": True,
        "deepspeed.bf16.enabled": True,
        "deepspeed.zero_optimization.stage": 2,
        "deepspeed.zero_optimization.offload_optimizer.device": "cpu",
        "training.gradient_checkpointing": True,
        "training.gradient_accumulation_steps": 4,
        "training.per_device_train_batch_size": 4,
        "training.per_device_eval_batch_size": 8,
        "training.learning_rate": 2e-4,
        "training.label_smoothing": 0,
        "training.num_train_epochs": 3,
        "training.warmup_steps": 100,
        "training.weight_decay": 0.01,
        "training.logging_steps": 10,
        "training.eval_steps": 100,
        "training.save_steps": 500,
    }
    assert {key: params[key] for key in expected} == expected


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_trains_a_small_random_model_in_place_of_its_weights(
    recipe, reproduced, tiny_model, tmp_path
):
    """What does not depend on the model has run already."""
    repository = shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)
    for name in PARAM_FILES:
        shutil.copy2(ROOT / name, repository / name)
    tiny = tiny_params(tiny_model)
    quick = {key: tiny[key] for key in tiny if key.startswith(("classify.", "evaluate."))}
    set_params(repository, quick)
    commit(repository, "all other parameters as they are")

    small = repository / "recipes/small.args"
    lines = recipe.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not re.search(r":model\.(name|revision)=", line)]
    lines += [
        f"-S params_train.yaml:model.{key}" for key in (f"name={tiny_model}", "revision=null")
    ]
    small.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = f"grep -v '^#' {small.relative_to(repository)} | xargs dvc exp run"
    done = run(["bash", "-o", "pipefail", "-c", command], repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_that_ran(done.stdout) == ["check", "tokenize", "train", "score", "evaluate"]

    params = applied(tmp_path, overrides(recipe))
    saved = json.loads((repository / "models/train/adapter_config.json").read_text())
    if params["lora.target_modules"] != "all-linear":
        assert saved["target_modules"] == sorted(params["lora.target_modules"])
    assert saved["layers_to_transform"] is None  # adapters in all layers
    manifest = json.loads((repository / "models/train/manifest.json").read_text())
    assert manifest["base_model"]["name"] == str(tiny_model)
    predictions = read_table(repository / "data/evaluate/predictions.parquet")
    assert predictions.num_rows == 12
