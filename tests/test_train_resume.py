"""Trainings that are interrupted: they resume, and end in the same bytes.

Here a training dies of an exception within the test's process. Real kills are slow.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from forked_stages import Forked
from project import environment, run, set_params
from refusals import refused
from training import (
    copy_of,
    curve,
    flip,
    results,
    scratch,
    torchrun,
    train_in,
)

from stages import train
from stages.lib.model import trainer as training_loop
from stages.lib.params.files import load_params


class Killed(BaseException):
    """What ends a training here in place of a signal."""


def die(*arguments):
    raise Killed


@pytest.fixture(scope="module")
def interrupted(tokenized, tmp_path_factory) -> Path:
    """Return a project whose training died before it saved the model, after ten steps."""
    folder = copy_of(tokenized, tmp_path_factory.mktemp("interrupted") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "save_model", die)
        with pytest.raises(Killed):
            train_in(folder)
    return folder


DAMAGE = {
    "none": (lambda c: None, 10),
    "truncated optimizer": (lambda c: os.truncate(c / "optimizer.pt", 100), 8),
    "no random state": (lambda c: (c / "rng_state.pth").unlink(), 8),
    "flipped adapter": (lambda c: flip(c / "adapter_model.safetensors"), 8),
    "no manifest": (lambda c: (c / "sha256.json").unlink(), 8),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_resumes_from_its_newest_whole_checkpoint_and_ends_in_the_same_bytes(
    interrupted, trained, tmp_path, capfd, damage
):
    folder = shutil.copytree(interrupted, tmp_path / "project")
    do_damage, step = DAMAGE[damage]
    do_damage(scratch(folder) / "checkpoint-10")
    train_in(folder)
    printed = capfd.readouterr().out
    assert f"resuming from checkpoint-{step}\n" in printed
    assert ("checkpoint-10 is not whole" in printed) == (step == 8)
    assert results(folder) == results(trained)
    assert list((folder / ".scratch").glob("train-*")) == []


@pytest.mark.slow
def test_a_run_in_two_threads_resumes_and_ends_in_the_same_bytes(tokenized, tmp_path, capfd):
    values = {"lora__lora_dropout": 0.0, "training__threads": 2}
    values |= {"training__per_device_train_batch_size": 16, "training__num_train_epochs": 4}
    whole, killed = (copy_of(tokenized, tmp_path / name, **values) for name in ("whole", "killed"))
    train_in(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "save_model", die)
        with pytest.raises(Killed):
            train_in(killed)
    newest = max(scratch(killed).glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    flip(newest / "optimizer.pt")
    train_in(killed)
    assert "resuming from checkpoint-" in capfd.readouterr().out
    assert results(killed) == results(whole)


def test_a_step_that_goes_wrong_keeps_what_was_good(
    tokenized, trained, tmp_path, capfd, monkeypatch
):
    folder = copy_of(tokenized, tmp_path / "project")
    sound, calls = training_loop.label_loss, []

    def fail_in_step_5(outputs, labels, num_items_in_batch=None, **settings):
        calls.append(torch.is_grad_enabled())
        if calls[-1] and sum(calls) == 5:
            outputs = SimpleNamespace(logits=outputs.logits * float("nan"))
        return sound(outputs, labels, num_items_in_batch, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "label_loss", fail_in_step_5)
        with refused("not-finite", "step 5"):
            train_in(folder)
    assert not (folder / "models/train").exists()
    assert (scratch(folder) / "checkpoint-4/sha256.json").exists()
    assert len(curve(folder, "train_loss")) == 4

    train_in(folder)  # the cause is gone
    assert "resuming from checkpoint-4" in capfd.readouterr().out
    assert results(folder) == results(trained)


def scratch_name(folder: Path) -> str:
    sections = {
        "lora": train.LoraParams,
        "model": train.ModelParams,
        "deepspeed": train.DeepSpeedParams,
        "training": train.TrainingParams,
    }
    with chdir(folder):
        return train.scratch_of(load_params(**sections)).name


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: set_params(folder, {"lora.r": 4}),
        lambda folder: set_params(folder, {"training.seed": 1}),
        lambda folder: set_params(folder, {"model.dtype": "bfloat16"}),
        lambda folder: flip(next((folder / "data/tokenize/train").glob("*.arrow"))),
        lambda folder: flip(next((folder / "data/tokenize/val").glob("*.arrow"))),
        lambda folder: flip(folder / "data/tokenize/label_map.json"),
        lambda folder: flip(folder / "stages/train.py"),
        lambda folder: flip(folder / "stages/lib/model/batches.py"),
        lambda folder: flip(folder / "stages/lib/model/optimizer.py"),
    ],
)
def test_no_checkpoint_of_other_parameters_data_or_code_is_found(tokenized, tmp_path, change):
    folder = copy_of(tokenized, tmp_path / "project")
    before = scratch_name(folder)
    assert scratch_name(folder) == before
    change(folder)
    assert scratch_name(folder) != before


def test_no_checkpoint_of_other_libraries_is_found(tokenized, monkeypatch):
    before = scratch_name(tokenized)
    monkeypatch.setattr(train, "library_versions", lambda: {"torch": "0.1"})
    assert scratch_name(tokenized) != before


def _kill_after_step(step: int, share: float) -> None:
    """End this process after a share of a step's CPU time, from the loss of its step `step` on.

    The length of a step is that of the steps before, checkpoints included, of this process alone.
    """
    sound, moments = training_loop.label_loss, []

    def counted(*arguments, **settings):
        if torch.is_grad_enabled():
            moments.append(time.process_time())
            if len(moments) == step:
                length = (moments[-1] - moments[0]) / (step - 1)
                # Nothing handles this signal: the process ends between two instructions.
                signal.setitimer(signal.ITIMER_PROF, max(share * length, 1e-6))
        return sound(*arguments, **settings)

    training_loop.label_loss = counted


def train_and_die(step: int, share: float) -> None:
    if step:
        _kill_after_step(step, share)
    train.main()


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tokenized, trained, tmp_path):
    """Moments lie within two steps of a drawn one of ten; every second step saves a checkpoint."""
    draw = random.Random(42)
    folder = copy_of(tokenized, tmp_path / "project")
    kills, resumed, finished = 0, 0, 0
    while kills < 20 or not finished:
        step = draw.randint(2, 7) if kills < 20 else 0
        done = Forked(partial(train_and_die, step, draw.uniform(0, 2)), folder).end()
        resumed += "resuming from" in done.stdout
        if done.returncode == -signal.SIGPROF:
            kills += 1
            continue
        assert done.returncode == 0, done.stderr
        finished += 1
        assert results(folder) == results(trained)
        shutil.rmtree(folder / "models")  # as dvc does before it runs the stage again
        shutil.rmtree(folder / "metrics/train")
    assert resumed >= 8


@pytest.mark.slow
def test_a_killed_dvc_takes_the_training_with_it(tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project", training__num_train_epochs=100_000)
    (folder / "data/check").mkdir()
    (folder / "data/check/valid.txt").write_text("as the stage `check` leaves it")
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "x"]):
        assert run(command, folder).returncode == 0
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", "train"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(folder.glob(".scratch/train-*/checkpoint-*")):
        assert process.poll() is None
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("stages.train" in child.cmdline() for child in family)
    process.kill()
    process.wait()
    assert psutil.wait_procs(family, timeout=60)[1] == []


def wait_for_first_checkpoint(folder: Path, is_alive: Callable[[], bool]) -> None:
    while not list(folder.glob(".scratch/train-*/checkpoint-2/sha256.json")):
        assert is_alive()
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_fails_and_resumes(tokenized, trained, tmp_path, number):
    folder = copy_of(tokenized, tmp_path / "project")
    training = Forked(train.main, folder)
    wait_for_first_checkpoint(folder, training.process.is_alive)
    family = psutil.Process(training.process.pid).children(recursive=True)
    os.kill(training.process.pid, number)
    done = training.end()
    assert done.returncode == {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM}[number]
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not (folder / "models/train").exists()
    assert ("error[interrupted]" in done.stderr) == (number == signal.SIGINT)
    assert "Traceback" not in done.stderr
    done = Forked(train.main, folder).end()
    assert done.returncode == 0, done.stderr
    assert "resuming from checkpoint-" in done.stdout
    assert results(folder) == results(trained)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ranks_that_are_stopped_fail_and_leave_no_orphan(tokenized, tmp_path, number):
    folder = copy_of(tokenized, tmp_path / "project")
    process = subprocess.Popen(
        torchrun("--standalone", "--nproc_per_node=2"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_first_checkpoint(folder, lambda: process.poll() is None)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(timeout=120) != 0
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not (folder / "models/train").exists()
