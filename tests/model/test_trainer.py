"""The trainer: its loss is that of each row, and a step that goes wrong stops the run."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import accelerator
from base_models import model_params
from refusals import refused
from torch.nn.functional import cross_entropy
from training import small_trainer

from stages.lib.model import trainer as module
from stages.lib.model.label_head import load_base_model
from stages.lib.model.trainer import is_out_of_memory

LABELS = [300, 17, 301, 450, 20]
QUIET = {"keep_best": None, "eval_strategy": "no", "save_strategy": "no"}


def losses(trainer) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.fixture
def first_step(tokenized, tiny_model, tmp_path):
    """Return a function that trains one step of eight rows, in passes of `rows`, and returns its
    loss and the trainer."""

    def train(rows: int):
        trainer = small_trainer(
            tokenized,
            tiny_model,
            tmp_path / str(rows),
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=8 // rows,
            warmup_steps=0,
            num_train_epochs=0.2,
            **QUIET,
        )
        (loss,) = losses(trainer)
        return loss, trainer

    return train


@pytest.mark.parametrize("rows", [8, 2, 1])
def test_a_step_has_the_mean_loss_of_its_rows_in_however_many_passes(first_step, tiny_model, rows):
    """Guards ``_loss_shifts_labels``: counting labels as a text's would leave rows out."""
    loss, trainer = first_step(rows)
    data = trainer.train_dataset
    batches = iter(trainer.get_train_dataloader().batch_sampler)
    taken = [data[i] for _ in range(8 // rows) for i in next(batches)]
    assert len(taken) == 8
    model = load_base_model(tiny_model, model_params(tiny_model), LABELS).eval()
    with torch.inference_mode():
        logits = [model(torch.tensor([row["input_ids"]])).logits[0, -1] for row in taken]
    labels = torch.tensor([row["label"] for row in taken])
    expected = float(cross_entropy(torch.stack(logits).double(), labels))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_passes_add_up_to_the_gradient_of_the_step(first_step):
    whole, parts = first_step(8)[1], first_step(2)[1]
    heads = [
        dict(trainer.model.named_parameters())[
            "base_model.model.lm_head.modules_to_save.default.weight"
        ]
        for trainer in (whole, parts)
    ]
    torch.testing.assert_close(*heads, atol=1e-5, rtol=0)


def test_a_last_pass_of_one_row_has_a_loss_like_any_other(tokenized, tiny_model, tmp_path):
    trainer = small_trainer(
        tokenized, tiny_model, tmp_path, per_device_train_batch_size=13, **QUIET
    )
    found = losses(trainer)  # 40 rows are three passes of 13 and one of 1
    assert len(found) == 8
    assert all(0 < loss < 10 for loss in found)


def test_accelerate_deals_the_batches_as_they_are(tokenized, tiny_model, tmp_path, monkeypatch):
    """Guards ``dataloader_config.even_batches``: else accelerate wants batches of one size."""
    trainer = small_trainer(tokenized, tiny_model, tmp_path, **QUIET)
    prepare, seen = accelerator.prepare_data_loader, {}
    monkeypatch.setattr(
        accelerator,
        "prepare_data_loader",
        lambda *arguments, **settings: seen.update(settings) or prepare(*arguments, **settings),
    )
    loader = trainer.get_train_dataloader()
    assert seen["even_batches"] is False
    assert trainer.accelerator.even_batches  # as it was
    assert sum(len(batch["labels"]) for batch in loader) == 40


def in_step_3(monkeypatch, fault) -> None:
    """Let `fault` change the logits of the third training step."""
    sound, calls = module.label_loss, []

    def loss(outputs, labels, num_items_in_batch=None, **settings):
        calls.append(torch.is_grad_enabled())
        if calls[-1] and sum(calls) == 3:
            outputs = SimpleNamespace(logits=fault(outputs.logits))
        return sound(outputs, labels, num_items_in_batch, **settings)

    monkeypatch.setattr(module, "label_loss", loss)


@pytest.mark.parametrize(
    ("fault", "code", "part"),
    [
        (lambda logits: logits * float("nan"), "not-finite", "loss"),
        # The square root is infinitely steep at 0.
        (lambda logits: logits + (logits * 0).abs().sqrt(), "not-finite", "gradient"),
        (lambda logits: logits + torch.empty(1 << 50).sum(), "out-of-memory", "8 rows of "),
    ],
)
def test_a_step_that_goes_wrong_stops_the_run_by_its_number(
    tokenized, tiny_model, tmp_path, monkeypatch, fault, code, part
):
    in_step_3(monkeypatch, fault)
    trainer = small_trainer(tokenized, tiny_model, tmp_path, **QUIET)
    with refused(code, "step 3", part) as caught:
        trainer.train()
    assert "\n" not in str(caught.value)
    assert trainer.state.global_step == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"), 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (MemoryError(), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) == expected


def test_a_best_step_between_two_checkpoints_is_saved_too(tokenized, tiny_model, tmp_path):
    """Guards ``_determine_best_metric`` and ``_load_best_model``."""
    trainer = small_trainer(
        tokenized, tiny_model, tmp_path, save_steps=50, learning_rate=0.1, num_train_epochs=4
    )
    trainer.train()
    curve = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    best = trainer.state.best_global_step
    assert curve[best // 2 - 1] == min(curve)  # validated after every second step
    assert curve[-1] > min(curve)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(curve[-1], rel=1e-5)
    trainer.load_best_model()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(curve), rel=1e-5)
