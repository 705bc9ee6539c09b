"""The stage `train`: what it writes, and what it refuses."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from project import run_stage
from refusals import refused
from torch import nn
from training import (
    PLAIN,
    adapter,
    assert_alike,
    copy_of,
    curve,
    results,
    train_in,
)
from transformers import AutoModelForCausalLM

from stages import train
from stages.lib.model.scoring import load_trained_model, score_rows
from stages.lib.process import only_one

# What it writes ---------------------------------------------------------------------------------


def test_a_process_in_another_folder_writes_the_same_bytes(trained, tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "elsewhere")
    done = run_stage("train", folder, PYTHONHASHSEED="3")
    assert (done.returncode, done.stderr) == (0, "")
    assert results(folder) == results(trained)
    assert {name.rpartition("/")[2] for name in results(folder)} >= {
        "adapter_model.safetensors",
        "adapter_config.json",
        "label_map.json",
        "manifest.json",
        "metrics.json",
        "train_loss.tsv",
        "val_accuracy.tsv",
    }
    assert list((folder / ".scratch").glob("train-*")) == []  # a run that succeeded leaves none


def test_no_output_names_the_folder(trained):
    for name, content in results(trained).items():
        assert str(trained).encode() not in content, name


def test_it_learns(trained):
    losses = curve(trained, "train_loss")
    assert len(losses) == 10
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(w.abs().max() > 0 for n, w in adapter(trained).items() if "lora_B" in n)


def validation_rows(folder: Path) -> datasets.Dataset:
    return datasets.load_from_disk(str(folder / "data/tokenize/val"), keep_in_memory=True)


def test_the_saved_model_is_the_trained_one(trained, tiny_model):
    """Against the plain model: adapters added to its weights by hand, its head replaced."""
    saved = adapter(trained)
    config = json.loads((trained / "models/train/adapter_config.json").read_text())
    plain = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    modules = dict(plain.named_modules())
    head, used = None, set()
    for name, tensor in saved.items():
        if name.endswith("lm_head.weight"):
            head = tensor
        elif name.endswith(".lora_A.weight"):
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = saved[name.replace("lora_A", "lora_B")]
            modules[module].weight.data += config["lora_alpha"] / config["r"] * (b @ tensor)
            used.add(module)
    parts = [f"self_attn.{p}_proj" for p in "qkvo"]
    parts += [f"mlp.{p}_proj" for p in ("gate", "up", "down")]
    assert used == {f"model.layers.{layer}.{part}" for layer in (0, 1) for part in parts}

    rows = validation_rows(trained)
    with torch.inference_mode():
        hidden = [
            plain.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            for ids in rows["input_ids"]
        ]
    expected = (torch.stack(hidden) @ head.T).numpy()
    model = load_trained_model(trained / "models/train", trust_remote_code=False)
    found = score_rows(model, rows["input_ids"], 100, 1, "test")
    np.testing.assert_allclose(found, expected, atol=1e-4)

    accuracy = np.mean(found.argmax(1) == np.array(rows["label"]))
    assert curve(trained, "val_accuracy")[-1] == pytest.approx(accuracy)


def test_the_manifest_pins_base_model_versions_and_files(trained, tiny_model):
    manifest = json.loads((trained / "models/train/manifest.json").read_text())
    assert manifest["base_model"]["name"] == str(tiny_model)
    assert len(manifest["base_model"]["revision"]) == 64
    listed = (trained / "requirements-model.txt").read_text().split()
    assert {*manifest["versions"]} == {line.partition("==")[0] for line in listed}
    names = {path.name for path in (trained / "models/train").iterdir()}
    assert set(manifest["files"]) == names - {"manifest.json"}


# Without dropout the layers are fused, and parts of 8 rows have a thread each.
FUSED = {
    "lora__lora_dropout": 0.0,
    "training__threads": 2,
    "training__per_device_train_batch_size": 16,
    "training__learning_rate": 0.02,
}
VARIANTS = {
    "all weights": {"lora__enabled": False, "training__learning_rate": 3e-3},
    "rsLoRA": {"lora__use_rslora": True},
    "DoRA": {"lora__use_dora": True},
    "DoRA in bfloat16": {"lora__use_dora": True, "model__dtype": "bfloat16"},
    "attention only, biases": {"lora__target_modules": ["q_proj", "v_proj"], "lora__bias": "all"},
    "frozen head": {"lora__train_label_head": False},
    "batches of tokens": {"training__train_batch_tokens": 150},
    "bfloat16": {"model__dtype": "bfloat16"},
    "cosine": {"training__lr_scheduler_type": "cosine"},
    "best accuracy": {"training__keep_best": "val_accuracy"},
    "best step between checkpoints": {"training__save_steps": 50},
    "gradient checkpointing": {"training__gradient_checkpointing": True},
    "fused, two threads": FUSED,
    "fused, two threads, bfloat16": {**FUSED, "model__dtype": "bfloat16"},
    "fused, gradient checkpointing": {**FUSED, "training__gradient_checkpointing": True},
}
FAST = {"all weights", "bfloat16", "fused, two threads"}


@pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=[] if v in FAST else pytest.mark.slow) for v in VARIANTS]
)
def test_a_variant_learns_saves_and_reloads(tokenized, tmp_path, variant):
    values = VARIANTS[variant]
    folder = copy_of(tokenized, tmp_path / "project", training__num_train_epochs=4, **values)
    train_in(folder)
    losses = curve(folder, "train_loss")
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])

    metric = values.get("training__keep_best", "val_loss")
    best = (max if metric == "val_accuracy" else min)(curve(folder, metric))
    rows = validation_rows(folder)
    model = load_trained_model(folder / "models/train", trust_remote_code=False)
    scores = torch.from_numpy(score_rows(model, rows["input_ids"], 100, 1, "test"))
    labels = torch.tensor(rows["label"])
    found = {
        "val_loss": float(nn.functional.cross_entropy(scores, labels)),
        "val_accuracy": float((scores.argmax(1) == labels).float().mean()),
    }
    tolerance = 1e-4 if values.get("model__dtype") is None else 3e-2  # merged, then rounded
    assert found[metric] == pytest.approx(best, rel=tolerance)
    best_step = json.loads((folder / "metrics/train/report.json").read_text())["best_step"]
    assert curve(folder, metric)[best_step // 2 - 1] == best  # validated after every second step


@pytest.mark.slow
def test_early_stopping_ends_a_run_that_no_longer_improves(tokenized, tmp_path):
    folder = copy_of(
        tokenized,
        tmp_path / "project",
        training__num_train_epochs=60,
        training__learning_rate=0.1,
        training__early_stopping_patience=3,
    )
    train_in(folder)
    losses = curve(folder, "val_loss")
    assert int(np.argmin(losses)) == len(losses) - 4  # three validations later it ended
    assert len(curve(folder, "train_loss")) < 300


@pytest.mark.slow
def test_accumulated_passes_give_the_adapter_of_one_pass(tokenized, tmp_path):
    one = copy_of(tokenized, tmp_path / "one", **PLAIN)
    passes = {"training__per_device_train_batch_size": 4}
    passes |= {"training__gradient_accumulation_steps": 2, **PLAIN}
    two = copy_of(tokenized, tmp_path / "two", **passes)
    for folder in (one, two):
        train_in(folder)
    assert_alike(one, two)


def test_fused_layers_in_two_threads_give_the_adapter_of_peft_s_own_layers(
    tokenized, tmp_path, monkeypatch, capfd
):
    fused, plain = (copy_of(tokenized, tmp_path / name, **FUSED) for name in ("fused", "plain"))
    train_in(fused)
    assert "not fused" not in capfd.readouterr().out
    monkeypatch.setattr(train, "cannot_be_fused", lambda model: "this is a test")
    train_in(plain)
    assert "not fused, which is slower: this is a test" in capfd.readouterr().out
    assert_alike(fused, plain)


@pytest.mark.slow
def test_two_threads_give_the_same_bytes_again(tokenized, tmp_path):
    folders = [copy_of(tokenized, tmp_path / name, **FUSED) for name in ("one", "two")]
    for folder in folders:
        train_in(folder)
    assert results(folders[0]) == results(folders[1])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "lora.lora_dropout is above 0"),
        ({"lora__enabled": False}, "more than adapters is trained"),
        ({"lora__lora_dropout": 0.0, "lora__use_dora": True}, "lora.use_dora is true"),
    ],
)
def test_a_model_that_cannot_be_fused_is_trained_and_said(
    tokenized, tmp_path, capfd, values, reason
):
    folder = copy_of(tokenized, tmp_path / "project", training__num_train_epochs=0.2, **values)
    train_in(folder)
    assert f"not fused, which is slower: {reason}" in capfd.readouterr().out
    assert (folder / "models/train/manifest.json").is_file()


# What it refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "code", "part"),
    [
        ({"deepspeed__enabled": True, "model__dtype": "bfloat16"}, "precision-mismatch", "dtype"),
        ({"training__keep_best": "loss"}, "invalid-parameter", "training.keep_best"),
        ({"model__name": "./none"}, "no-base-model", "model.name"),
    ],
)
def test_a_training_that_cannot_begin_is_one_line(tokenized, tmp_path, values, code, part):
    folder = copy_of(tokenized, tmp_path / "project", **values)
    with refused(code, part) as caught:
        train_in(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "models").exists()


def test_a_lost_label_map_is_one_line(tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project")
    (folder / "data/tokenize/label_map.json").unlink()
    with refused("file-not-found", "data/tokenize/label_map.json", "dvc repro tokenize"):
        train_in(folder)


def test_more_processes_than_rows_are_refused(tokenized, tmp_path, monkeypatch):
    folder = copy_of(tokenized, tmp_path / "project")
    monkeypatch.setenv("WORLD_SIZE", "41")
    with refused("too-many-processes", "training.launcher", "40"):
        train_in(folder)


def test_a_second_training_at_once_is_refused(tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project")
    with (
        only_one(folder / ".scratch/train.lock", "a training"),
        refused("already-running", ".scratch/train.lock"),
    ):
        train_in(folder)
    assert not (folder / "models").exists()
