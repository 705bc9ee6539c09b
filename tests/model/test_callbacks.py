"""What happens during a training: progress, curves that survive a resume, sealed checkpoints."""

import json
from types import SimpleNamespace

import pytest

from stages.lib.model.callbacks import (
    LiveMetrics,
    SealCheckpoints,
    TellLongWarmup,
    TellProgress,
)
from stages.lib.model.checkpoints import is_sealed


def state(**values) -> SimpleNamespace:
    values = {"is_world_process_zero": True, "log_history": [], "best_global_step": None} | values
    return SimpleNamespace(**values)


def points(folder, name: str) -> list[str]:
    return (folder / f"plots/metrics/{name}.tsv").read_text().splitlines()


def test_a_resumed_run_records_the_curves_from_the_start(tmp_path):
    metrics = LiveMetrics(tmp_path)
    history = [{"step": 2, "loss": 1.5}, {"step": 2, "eval_loss": 1.25, "eval_runtime": 9.0}]
    metrics.on_train_begin(None, state(log_history=history), None)
    metrics.on_log(None, state(global_step=4), None, logs={"loss": 1.0, "learning_rate": 0.1})
    metrics.on_log(None, state(global_step=6), None, logs={"train_runtime": 3.0})
    history += [{"step": 4, "loss": 1.0}, {"step": 6, "train_runtime": 3.0}]
    metrics.on_train_end(None, state(best_global_step=2, log_history=history), None)
    assert points(tmp_path, "train_loss") == ["step\ttrain_loss", "2\t1.5", "4\t1.0"]
    assert points(tmp_path, "val_loss") == ["step\tval_loss", "2\t1.25"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"val_loss": 1.25}
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "best_step": 2,
        "steps": 6,
        "train_loss": 1.0,
        "val_loss": 1.25,
    }
    assert not (tmp_path / "dvc.yaml").exists()  # dvclive would write one


VALIDATIONS = [
    {"step": 2, "eval_loss": 1.25, "eval_accuracy": 0.5},
    {"step": 4, "eval_loss": 1.5, "eval_accuracy": 0.75},
]


@pytest.mark.parametrize(("best", "loss"), [(2, 1.25), (None, 1.5)])
def test_the_reported_validation_is_that_of_the_step_that_is_saved(tmp_path, best, loss):
    found = LiveMetrics(tmp_path).report(VALIDATIONS, best)
    assert (found["val_loss"], found.get("best_step")) == (loss, best)


def test_a_training_without_a_validation_has_nothing_to_compare(tmp_path):
    metrics = LiveMetrics(tmp_path)
    metrics.on_train_begin(None, state(), None)
    metrics.on_train_end(None, state(log_history=[{"step": 1, "loss": 2.0}]), None)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {}
    found = json.loads((tmp_path / "report.json").read_text())
    assert found == {"steps": 1, "train_loss": 2.0}


def test_progress_has_the_newest_loss_and_validation_accuracy(capsys, monkeypatch):
    monkeypatch.setattr("stages.lib.progress._PAUSE", 0.0)
    tell = TellProgress()
    now = state(max_steps=4, global_step=0)
    tell.on_train_begin(None, now, None)
    for step, logs in enumerate([{"loss": 1.5}, {"eval_accuracy": 0.25}, {"loss": 1.0}], start=1):
        now.global_step = step
        tell.on_log(None, now, None, logs=logs)
        tell.on_step_end(None, now, None)
    tell.on_train_end(None, now, None)
    said = capsys.readouterr()
    lines = [line.rpartition(",")[0] for line in said.err.splitlines()]
    assert lines == [
        "train: 25%, step 1, loss 1.500",
        "train: 50%, step 2, loss 1.500, validation accuracy 0.250",
        "train: 75%, step 3, loss 1.000, validation accuracy 0.250",
    ]
    assert said.out == "3 steps, loss 1.000, validation accuracy 0.250\n"


def test_only_one_of_several_processes_records(tmp_path):
    metrics = LiveMetrics(tmp_path)
    other = state(is_world_process_zero=False, global_step=1)
    metrics.on_train_begin(None, other, None)
    metrics.on_log(None, other, None, logs={"loss": 1.0})
    metrics.on_train_end(None, other, None)
    assert list(tmp_path.iterdir()) == []


def make_checkpoint(folder, step: int, best: int) -> None:
    (folder / f"checkpoint-{step}").mkdir()
    content = json.dumps({"best_global_step": best})
    (folder / f"checkpoint-{step}/trainer_state.json").write_text(content)


def test_a_checkpoint_is_sealed_once_written_and_old_ones_go(tmp_path):
    seal, arguments = SealCheckpoints(), SimpleNamespace(output_dir=str(tmp_path))
    for step in (2, 4, 6, 8):
        make_checkpoint(tmp_path, step, best=4)
        seal.on_save(arguments, state(global_step=step), None)
        assert is_sealed(tmp_path / f"checkpoint-{step}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-4",
        "checkpoint-6",
        "checkpoint-8",
    ]


def test_the_best_checkpoint_is_found_where_the_folder_is_now(tmp_path):
    moved = state(best_global_step=4, best_model_checkpoint="/elsewhere/checkpoint-4")
    SealCheckpoints().on_train_begin(SimpleNamespace(output_dir=str(tmp_path)), moved, None)
    assert moved.best_model_checkpoint == str(tmp_path / "checkpoint-4")


@pytest.mark.parametrize(("warmup", "told"), [(0, False), (7, False), (20, True)])
def test_a_warmup_longer_than_the_training_is_told_with_both_numbers(capsys, warmup, told):
    arguments = SimpleNamespace(warmup_steps=warmup)
    TellLongWarmup().on_train_begin(arguments, state(max_steps=7), None)
    TellLongWarmup().on_train_begin(
        arguments, state(max_steps=7, is_world_process_zero=False), None
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == told
    assert all("20" in line and "7 steps" in line for line in lines)
