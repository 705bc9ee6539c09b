"""Trainings of the tiny model, in this process or in others, and what they leave."""

import shutil
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from project import set_params
from safetensors.torch import load_file

PLAIN = {"lora__lora_dropout": 0.0, "training__label_smoothing": 0.0}


def copy_of(tokenized: Path, folder: Path, **params) -> Path:
    """Copy a project to `folder` and set ``training__seed=1`` and the like."""
    shutil.copytree(tokenized, folder)
    set_params(folder, {key.replace("__", "."): value for key, value in params.items()})
    return folder


def train_in(folder: Path) -> None:
    """Run the stage `train` of a project in this process."""
    import torch

    from stages import train

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DVC_ROOT", raising=False)
        with chdir(folder):
            train.main()


def results(folder: Path) -> dict[str, bytes]:
    """Return the files that `train` wrote."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for place in ("models/train", "metrics/train")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file()
    }


def adapter(folder: Path) -> dict:
    return load_file(folder / "models/train/adapter_model.safetensors")


def curve(folder: Path, name: str) -> list[float]:
    """Return the points of ``train_loss``, ``val_loss`` or ``val_accuracy``."""
    lines = (folder / f"metrics/train/plots/metrics/{name}.tsv").read_text().splitlines()
    return [float(line.split("\t")[1]) for line in lines[1:]]


def scratch(folder: Path) -> Path:
    """Return the folder of the checkpoints of the one training that was interrupted."""
    (found,) = (folder / ".scratch").glob("train-*")
    return found


def torchrun(*options: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", *options]
    return [*launcher, "-m", "stages.train"]


def flip(path: Path) -> None:
    """Change the last bit of a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
