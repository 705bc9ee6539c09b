"""Stages in processes that fork from a server which has imported the libraries once.

The imports of a training take seconds, its steps in a test take less.
"""

import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from base_models import closed_port
from project import ROOT, environment

from stages import train
from stages.lib.process import run_stage

# The last one is what takes longest of DeepSpeed's own imports when a training starts.
LIBRARIES = [
    *("forked_stages", "stages.predict", "dvclive", "dvc.repo", "dvc.scm"),
    *("transformers.models.qwen3.modeling_qwen3", "deepspeed.runtime.zero.muon.muon_optimizer"),
]


class Forked:
    """A stage's `main` that runs in `folder`, in a process of its own with these variables."""

    def __init__(self, main: Callable[[], None], folder: Path, name: str = "log", **variables: str):
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(LIBRARIES)
        self.logs = [folder / f"{name}.{stream}" for stream in ("out", "err")]
        arguments = (main, folder, self.logs, environment(**variables))
        self.process = server.Process(target=_run, args=arguments)
        with pytest.MonkeyPatch.context() as patch:  # for the server, if it starts now
            patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
            for name, value in environment().items():
                patch.setenv(name, value)
            self.process.start()

    def end(self) -> subprocess.CompletedProcess:
        """Wait for its end; return what `subprocess.run` would."""
        self.process.join(300)
        if self.process.exitcode is None:
            self.process.kill()
        texts = [log.read_text(encoding="utf-8") for log in self.logs]
        return subprocess.CompletedProcess(self.process.name, self.process.exitcode, *texts)


def two_ranks(folder: Path, main: Callable[[], None] = train.main) -> list[Forked]:
    """Start the stage `train` in two processes with the variables that torchrun sets."""
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(closed_port())}
    return [
        Forked(main, folder, f"rank{rank}", RANK=rank, LOCAL_RANK=rank, **common) for rank in "01"
    ]


def _run(main: Callable[[], None], folder: Path, logs: list[Path], variables: dict) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    for number, log in enumerate(logs, start=1):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    run_stage(main)
