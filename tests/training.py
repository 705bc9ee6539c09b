"""Trainings of the tiny model, in this process or in others, and what they leave."""

import math
import shutil
import sys
from contextlib import chdir
from functools import partial
from pathlib import Path

import pytest
import torch
from base_models import model_params
from project import set_params
from safetensors.torch import load_file
from transformers import TrainerCallback

from stages import train
from stages.lib.model.label_head import load_base_model
from stages.lib.model.optimizer import configure_optimizer
from stages.lib.model.tokenized import load_side
from stages.lib.model.trainable_model import apply_peft_adapters
from stages.lib.model.training_run import make_trainer, training_arguments
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.training import TrainingParams

# Without what differs from rank to rank, or between training and validation.
PLAIN = {"lora__lora_dropout": 0.0, "training__label_smoothing": 0.0}


def copy_of(tokenized: Path, folder: Path, **params) -> Path:
    """Copy a project to `folder` and set ``training__seed=1`` and the like."""
    shutil.copytree(tokenized, folder)
    set_params(folder, {key.replace("__", "."): value for key, value in params.items()})
    return folder


def train_in(folder: Path) -> None:
    """Run the stage `train` of a project in this process."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DVC_ROOT", raising=False)
        with chdir(folder):
            train.main()


def small_trainer(project: Path, model: Path, scratch: Path, **values):
    """Return the trainer of a tiny model with adapters, on the rows of `project`.

    `values` are keys of the section ``training``.
    """
    torch.set_num_threads(1)
    params = load_params(project, training=TrainingParams, lora=LoraParams)
    training = params.training.model_copy(update={"label_smoothing": 0.0, **values})
    torch.manual_seed(0)
    adapted = apply_peft_adapters(
        load_base_model(model, model_params(model), [300, 17, 301, 450, 20]).train(),
        params.lora.model_copy(update={"lora_dropout": 0.0}),
        model_params(model),
    )
    with chdir(project):
        sides = {side: load_side(side) for side in ("train", "val")}
    arguments = training_arguments(training, None, False, scratch)
    optimizer = partial(configure_optimizer, training=training)
    return make_trainer(adapted, optimizer, training, arguments, sides, scratch / "metrics", 1)


def results(folder: Path) -> dict[str, bytes]:
    """Return the files that `train` wrote."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for place in ("models/train", "metrics/train")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file()
    }


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "models/train/adapter_model.safetensors")


def curve(folder: Path, name: str) -> list[float]:
    """Return the points of ``train_loss``, ``val_loss`` or ``val_accuracy``."""
    lines = (folder / f"metrics/train/plots/metrics/{name}.tsv").read_text().splitlines()
    return [float(line.split("\t")[1]) for line in lines[1:]]


def assert_alike(one: Path, two: Path) -> None:
    """Assert that two trainings added the same numbers in different orders.

    float32 sums in another order differ in the seventh digit. Adam divides by their size, so a
    weight with a gradient near zero may move by more.
    """
    assert curve(two, "train_loss") == pytest.approx(curve(one, "train_loss"), rel=1e-3)
    first, second = adapter(one), adapter(two)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], atol=2e-3, rtol=0, msg=name)


def scratch(folder: Path) -> Path:
    """Return the folder of the checkpoints of the one training that was interrupted."""
    (found,) = (folder / ".scratch").glob("train-*")
    return found


def torchrun(*options: str) -> list[str]:
    """Return the command that starts the stage `train` in several processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", *options]
    return [*launcher, "-m", "stages.train"]


def flip(path: Path) -> None:
    """Change the last bit of a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


class Recorder(TrainerCallback):
    """Note the optimizer that runs, its weight decay, and the learning rate of each step."""

    def __init__(self):
        self.optimizer, self.decay, self.rates = None, set(), []

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        groups = optimizer.param_groups
        while hasattr(optimizer, "optimizer"):  # those of accelerate and DeepSpeed
            optimizer = optimizer.optimizer
        self.optimizer = type(optimizer)
        self.decay |= {group["weight_decay"] for group in groups}
        (rate,) = {group["lr"] for group in groups}
        self.rates.append(rate)


def schedule(name: str, step: int, warmup_steps: int, steps: int) -> float:
    """Return the share of the peak learning rate after `step` optimizer steps."""
    if step < warmup_steps:
        return step / warmup_steps
    done = (step - warmup_steps) / (steps - warmup_steps)
    return {
        "linear": 1 - done,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "constant_with_warmup": 1.0,
    }[name]
