"""Trainings on rows laid end to end, with plain attention in place of the kernel for CUDA."""

import sys

import pytest
from project import ROOT, run
from refusals import refused
from training import PLAIN, assert_alike, copy_of, results, train_in

from stages import train
from stages.lib.model import packed_rows
from stages.lib.model.scoring import load_trained_model

# One step has all 40 rows, so a padded batch has the same ones.
ONE_STEP = {
    "training__per_device_train_batch_size": 40,
    "training__num_train_epochs": 6,
    "training__eval_steps": 2,
    **PLAIN,
}
PACKED = {"training__packed": True, "training__train_batch_tokens": 4096}


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(train, "check_packed", lambda section, dtype: None)
    monkeypatch.setattr(packed_rows, "varlen_attention", packed_rows.plain_attention)


@pytest.fixture(scope="module")
def padded(tokenized, tmp_path_factory):
    folder = copy_of(tokenized, tmp_path_factory.mktemp("padded") / "project", **ONE_STEP)
    train_in(folder)
    return folder


def test_they_give_the_adapter_of_padded_rows(padded, tokenized, tmp_path, on_a_cpu):
    folder = copy_of(tokenized, tmp_path / "project", **ONE_STEP, **PACKED)
    train_in(folder)
    assert_alike(padded, folder)


@pytest.mark.slow
def test_compiled_layers_give_the_adapter_of_padded_rows(padded, tokenized, tmp_path, on_a_cpu):
    values = {**ONE_STEP, **PACKED, "training__compile": True}
    folder = copy_of(tokenized, tmp_path / "project", **values)
    train_in(folder)
    assert_alike(padded, folder)


def test_layers_that_cannot_be_fused_are_not_compiled(tokenized, tmp_path, on_a_cpu, monkeypatch):
    monkeypatch.setattr(train, "check_compiler", lambda: None)
    values = {**ONE_STEP, **PACKED, "training__compile": True, "lora__lora_dropout": 0.1}
    folder = copy_of(tokenized, tmp_path / "project", **values)
    with refused("cannot-compile", "training.compile", "lora.lora_dropout is above 0"):
        train_in(folder)
    assert not (folder / "models/train").exists()


def test_an_interrupted_one_resumes_and_ends_in_the_same_bytes(
    tokenized, tmp_path, on_a_cpu, monkeypatch, capfd
):
    values = {**PACKED, "training__train_batch_tokens": 300}
    whole, killed = (copy_of(tokenized, tmp_path / name, **values) for name in ("whole", "killed"))
    train_in(whole)
    with monkeypatch.context() as patch:
        patch.setattr(train, "save_model", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_in(killed)
    train_in(killed)
    assert "resuming from checkpoint-" in capfd.readouterr().out
    assert results(killed) == results(whole)


# Run the stage, on a CPU.
ON_A_CPU = """
from stages import train
from stages.lib.model import packed_rows

train.check_packed = lambda section, dtype: None
packed_rows.varlen_attention = packed_rows.plain_attention
train.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_they_train_under_deepspeed(padded, tokenized, tmp_path, stage):
    values = {"deepspeed__enabled": True, "deepspeed__zero_optimization__stage": stage}
    folder = copy_of(tokenized, tmp_path / "project", **ONE_STEP, **PACKED, **values)
    done = run([sys.executable, "-c", ON_A_CPU], folder, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert_alike(padded, folder)


def test_without_a_gpu_they_are_refused_before_any_work(tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project", **PACKED)
    with refused("cannot-pack", "training.packed", "there is no GPU") as caught:
        train_in(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "models").exists()


def test_without_a_gpu_scoring_end_to_end_is_refused(padded):
    with refused("cannot-pack", "score.packed", "there is no GPU"):
        load_trained_model(padded / "models/train", trust_remote_code=False, packed=True)
