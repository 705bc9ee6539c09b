"""A run of the training loop: its rows, its arguments, and that what is configured is what runs."""

import pytest
import torch
from datasets import Dataset
from project import ROOT
from training import Recorder, schedule, small_trainer

from stages.lib.model.training_run import collate, fixed_subset, training_arguments
from stages.lib.params.files import load_params
from stages.lib.params.training import TrainingParams


def test_a_batch_has_padded_prompts_last_positions_and_labels():
    found = collate([{"input_ids": [5, 6], "label": 1}, {"input_ids": [7], "label": -1}])
    assert found["input_ids"].shape == (2, 2)
    assert found["logits_to_keep"].tolist() == [[1], [0]]
    assert found["labels"].tolist() == [1, -1]


def test_the_validation_rows_are_always_the_same_longest_first():
    lengths = [3, 9, 1, 9, 5, 2, 7]
    rows = Dataset.from_dict({"row_id": list(range(7)), "length": lengths})
    found = fixed_subset(rows, 4, seed=1)
    assert len(found) == 4
    assert found["length"][:] == sorted(found["length"], reverse=True)
    assert found["row_id"][:] == fixed_subset(rows, 4, seed=1)["row_id"][:]
    assert sorted(fixed_subset(rows, 100, seed=2)["row_id"]) == list(range(7))
    assert any(fixed_subset(rows, 4, s)["row_id"][:] != found["row_id"][:] for s in range(2, 6))


@pytest.mark.parametrize(
    ("keep_best", "metric", "greater"),
    [("val_loss", "eval_loss", False), ("val_accuracy", "eval_accuracy", True)],
)
def test_the_arguments_are_those_configured(tmp_path, keep_best, metric, greater):
    training = load_params(ROOT, training=TrainingParams).training
    found = training_arguments(
        training.model_copy(update={"keep_best": keep_best}), None, False, tmp_path
    )
    assert (found.metric_for_best_model, found.greater_is_better) == (metric, greater)
    for name in ("learning_rate", "num_train_epochs", "max_grad_norm", "seed", "eval_steps"):
        assert getattr(found, name) == getattr(training, name)
    assert not found.logging_nan_inf_filter  # it would log a loss that is not finite as 0
    assert found.report_to == []


@pytest.mark.parametrize("n_devices", [1, 2])
def test_one_process_trains_on_one_gpu(tmp_path, monkeypatch, capsys, n_devices):
    """By itself the Trainer would copy the model to all GPUs at each step (DataParallel)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_devices)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    training = load_params(ROOT, training=TrainingParams).training
    found = training_arguments(training, None, False, tmp_path)
    assert (found.n_gpu, found.device.type) == (1, "cuda")
    assert ("1 of 2 GPUs" in capsys.readouterr().out) == (n_devices == 2)


@pytest.mark.parametrize(
    ("name", "warmup_steps"),
    [("linear", 3), ("linear", 0), ("cosine", 2), ("constant_with_warmup", 3)],
)
def test_the_optimizer_that_runs_is_the_one_configured_at_every_step(
    tokenized, tiny_model, tmp_path, name, warmup_steps
):
    trainer = small_trainer(
        tokenized,
        tiny_model,
        tmp_path,
        lr_scheduler_type=name,
        warmup_steps=warmup_steps,
        learning_rate=3e-4,
        weight_decay=0.2,
        keep_best=None,
        eval_strategy="no",
        save_strategy="no",
    )
    recorder = Recorder()
    trainer.add_callback(recorder)
    trainer.train()
    assert recorder.optimizer is torch.optim.AdamW
    assert recorder.decay == {0.2}  # adapters are matrices
    expected = [3e-4 * schedule(name, step, warmup_steps, 10) for step in range(10)]
    assert recorder.rates == pytest.approx(expected, abs=1e-12)
