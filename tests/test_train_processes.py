"""Trainings under DeepSpeed and in several processes: the same model as in one process."""

import json
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from base_models import closed_port
from forked_stages import Forked, two_ranks
from project import environment, run
from training import (
    PLAIN,
    Recorder,
    assert_alike,
    copy_of,
    results,
    schedule,
    torchrun,
    train_in,
)

from stages import train
from stages.lib.model import trainer, training_run

DEEPSPEED = {"deepspeed__enabled": True, **PLAIN}


@pytest.fixture(autouse=True)
def without_compiler(tmp_path, monkeypatch):
    """DeepSpeed finds no compiler, nor what it has compiled before. It must need neither."""
    monkeypatch.setenv("CXX", "no-compiler")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "compiled"))
    yield
    assert not (tmp_path / "compiled").exists()


@pytest.fixture(scope="module")
def plain(tokenized, tmp_path_factory) -> Path:
    """Return a project trained by one process, without DeepSpeed, dropout or smoothing."""
    folder = copy_of(tokenized, tmp_path_factory.mktemp("plain") / "project", **PLAIN)
    train_in(folder)
    return folder


def train_and_tell() -> None:
    """Run the stage, and print which optimizer ran."""
    recorder, make_trainer = Recorder(), training_run.make_trainer

    def observed(*arguments):
        trainer = make_trainer(*arguments)
        trainer.add_callback(recorder)
        return trainer

    training_run.make_trainer = observed
    train.main()
    found = {
        "optimizer": f"{recorder.optimizer.__module__}.{recorder.optimizer.__name__}",
        "decay": sorted(recorder.decay),
        "rates": recorder.rates,
    }
    print("FOUND", json.dumps(found))


def test_deepspeed_trains_the_same_model_with_the_configured_optimizer(plain, tokenized, tmp_path):
    """One process without a launcher. Guards ``_hp_mapping`` and the keys of its configuration."""
    folder = copy_of(tokenized, tmp_path / "project", **DEEPSPEED)
    done = Forked(train_and_tell, folder).end()
    assert (done.returncode, done.stderr) == (0, "")
    assert_alike(plain, folder)
    found = json.loads(done.stdout.rpartition("FOUND ")[2])
    assert found["optimizer"] == "torch.optim.adamw.AdamW"
    assert found["decay"] == [0.01]  # adapters are matrices
    expected = [0.01 * schedule("linear", step, 2, 10) for step in range(10)]
    assert found["rates"] == pytest.approx(expected, abs=1e-12)


def train_with_an_infinite_gradient_in_step_3() -> None:
    sound, calls = trainer.label_loss, []

    def loss(outputs, *arguments, **settings):
        calls.append(torch.is_grad_enabled())
        if calls[-1] and sum(calls) == 3:
            outputs.logits = outputs.logits + (outputs.logits * 0).abs().sqrt()
        return sound(outputs, *arguments, **settings)

    trainer.label_loss = loss
    train.main()


@pytest.mark.slow
def test_deepspeed_stops_at_a_gradient_that_is_not_finite(tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project", **DEEPSPEED)
    done = Forked(train_with_an_infinite_gradient_in_step_3, folder).end()
    assert done.returncode == 1
    assert "error[not-finite]: step 3: " in done.stderr


STAGES = {
    "no DeepSpeed": {"deepspeed__enabled": False},
    "ZeRO-1": {"deepspeed__zero_optimization__stage": 1},
    "ZeRO-2, no offload": {"deepspeed__zero_optimization__offload_optimizer__device": "none"},
    "ZeRO-3, parameters offloaded": {
        "deepspeed__zero_optimization__stage": 3,
        "deepspeed__zero_optimization__offload_param__device": "cpu",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_give_the_model_of_one_plain_process(plain, tokenized, tmp_path, stage):
    """Same global batch, no dropout (its masks differ from rank to rank). The ranks add gradients
    in another order than one process. Guards ``ds_id`` and ``even_batches``."""
    values = {"training__per_device_train_batch_size": 4, **DEEPSPEED, **STAGES[stage]}
    folder = copy_of(tokenized, tmp_path / "project", **values)
    ended = [rank.end() for rank in two_ranks(folder)]
    assert [(done.returncode, done.stderr) for done in ended] == [(0, ""), (0, "")]
    assert_alike(plain, folder)


@pytest.mark.slow
def test_two_ranks_that_torchrun_starts_give_the_model_of_one_process(plain, tokenized, tmp_path):
    values = {"training__per_device_train_batch_size": 4, **DEEPSPEED}
    folder = copy_of(tokenized, tmp_path / "project", **values)
    done = run(torchrun("--standalone", "--nproc_per_node=2"), folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert_alike(plain, folder)


@pytest.mark.slow
def test_two_nodes_that_meet_by_network_give_the_model_of_one_process(plain, tokenized, tmp_path):
    """Each node has a checkout of its own, as hosts have; the first writes the model."""
    options = ["--nnodes=2", "--nproc_per_node=1", "--rdzv-backend=c10d", "--rdzv-id=test"]
    options += [f"--rdzv-endpoint=127.0.0.1:{closed_port()}", "--local-addr=127.0.0.1"]
    values = {"training__per_device_train_batch_size": 4, **DEEPSPEED}
    folders = [copy_of(tokenized, tmp_path / name, **values) for name in ("one", "two")]
    nodes = [
        subprocess.Popen(
            torchrun(*options),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders
    ]
    logs = [node.communicate(timeout=600)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "".join(logs)
    wrote = [folder for folder in folders if (folder / "models/train").exists()]
    assert len(wrote) == 1
    assert_alike(plain, wrote[0])


def train_and_wait_in_step_7() -> None:
    sound, calls = trainer.label_loss, []

    def loss(*arguments, **settings):
        calls.append(torch.is_grad_enabled())
        if calls[-1] and sum(calls) == 7:
            threading.Event().wait()
        return sound(*arguments, **settings)

    trainer.label_loss = loss
    train.main()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_killed_deepspeed_run_resumes(plain, tokenized, tmp_path, stage):
    values = {"training__per_device_train_batch_size": 4, **DEEPSPEED}
    values |= {"deepspeed__zero_optimization__stage": stage}
    whole = copy_of(tokenized, tmp_path / "whole", **values)
    killed = copy_of(tokenized, tmp_path / "killed", **values)
    ended = [rank.end() for rank in two_ranks(whole)]
    assert [(done.returncode, done.stderr) for done in ended] == [(0, ""), (0, "")]
    assert_alike(plain, whole)
    ranks = two_ranks(killed, train_and_wait_in_step_7)
    while not list(killed.glob(".scratch/train-*/checkpoint-6/sha256.json")):
        assert all(rank.process.is_alive() for rank in ranks)
        time.sleep(0.01)
    for rank in ranks:
        rank.process.kill()
    assert [rank.end().returncode for rank in ranks] == [-signal.SIGKILL] * 2
    ended = [rank.end() for rank in two_ranks(killed)]
    assert [(done.returncode, done.stderr) for done in ended] == [(0, ""), (0, "")]
    assert "resuming from checkpoint-6\n" in ended[0].stdout
    assert results(killed) == results(whole)
