"""The training loop's parts: the loss, the rows of each step, the optimizer that runs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import get_scheduler

from stages.lib.model import trainer

# The loss ---------------------------------------------------------------------------------------


def outputs(logits: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(logits=logits[:, None])


def brute_force_loss(logits: torch.Tensor, labels: list[int]) -> float:
    total = 0.0
    for row, label in zip(logits.double().tolist(), labels, strict=True):
        if label >= 0:
            total -= np.log(np.exp(row[label]) / np.exp(row).sum())
    return total


def test_the_loss_is_the_mean_cross_entropy_over_the_accounts():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5), [0, 4, 2, 2, 1, 0, 3, 4]
    found = trainer.label_loss(outputs(logits), torch.tensor(labels))
    assert float(found) == pytest.approx(brute_force_loss(logits, labels) / 8)


def test_smoothing_spreads_its_share_over_all_accounts_in_training_only():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5), [0, 4, 2, 2, 1, 0, 3, 4]
    plain = brute_force_loss(logits, labels) / 8
    even = np.mean([brute_force_loss(logits, [account] * 8) / 8 for account in range(5)])
    found = trainer.label_loss(outputs(logits), torch.tensor(labels), label_smoothing=0.3)
    assert float(found) == pytest.approx(0.7 * plain + 0.3 * even)
    with torch.no_grad():
        found = trainer.label_loss(outputs(logits), torch.tensor(labels), label_smoothing=0.3)
    assert float(found) == pytest.approx(plain)


def test_a_row_of_an_unseen_account_has_no_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 5), [0, -1, 2, -1]
    found = trainer.label_loss(outputs(logits), torch.tensor(labels), torch.tensor(4))
    assert float(found) == pytest.approx(brute_force_loss(logits, labels) / 4)


def test_the_parts_of_a_step_add_up_to_its_loss_and_gradient():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5, requires_grad=True), torch.tensor([0, 4, 2, 2, 1, 0, 3, 4])
    whole = trainer.label_loss(outputs(logits), labels, 8)
    (expected,) = torch.autograd.grad(whole, logits)
    parts = [
        trainer.label_loss(outputs(logits[part]), labels[part], 8)
        for part in (slice(0, 3), slice(3, 8))
    ]
    (found,) = torch.autograd.grad(sum(parts), logits)
    torch.testing.assert_close(sum(parts), whole)
    torch.testing.assert_close(found, expected)


def test_bfloat16_logits_are_added_up_in_float32():
    logits = torch.randn(8, 5, dtype=torch.bfloat16)
    found = trainer.label_loss(outputs(logits), torch.zeros(8, dtype=torch.long))
    assert found.dtype == torch.float32


# The rows of each step --------------------------------------------------------------------------

MANY = {
    "lengths": st.lists(st.integers(1, 60), min_size=4, max_size=700).map(np.array),
    "world_size": st.integers(1, 4),
    "accumulation": st.integers(1, 3),
    "seed": st.integers(0, 5),
}


def check_epoch(batches: list[np.ndarray], lengths, world_size: int) -> None:
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) % world_size == 0
    assert min(map(len, batches)) >= 1


@given(rows=st.integers(1, 40), **MANY)
@settings(deadline=None, max_examples=150)
def test_every_row_is_taken_once_an_epoch_and_each_rank_has_as_many_batches(
    lengths, rows, world_size, accumulation, seed
):
    epochs = [
        trainer.batches_of_rows(
            lengths, rows, world_size, accumulation, np.random.default_rng([seed, epoch])
        )
        for epoch in (0, 0, 1)
    ]
    for batches in epochs:
        check_epoch(batches, lengths, world_size)
        assert max(map(len, batches)) <= rows + 1  # one more only where rows are left over
    assert [b.tolist() for b in epochs[0]] == [b.tolist() for b in epochs[1]]
    assert len(epochs[0]) == len(epochs[2])


@given(tokens=st.integers(1, 400), **MANY)
@settings(deadline=None, max_examples=150)
def test_batches_of_tokens_hold_no_more_than_they_may(
    lengths, tokens, world_size, accumulation, seed
):
    epochs = [
        trainer.batches_of_tokens(
            lengths, tokens, world_size, accumulation, np.random.default_rng([seed, epoch])
        )
        for epoch in (0, 0, 1)
    ]
    for batches in epochs:
        check_epoch(batches, lengths, world_size)
        too_large = [b for b in batches if len(b) > 1 and len(b) * lengths[b].max() > tokens]
        if len(lengths) >= 2 * max(len(batches), world_size):
            assert too_large == []
        assert len(too_large) <= 1  # where there are too few rows for another batch a rank
    assert [b.tolist() for b in epochs[0]] == [b.tolist() for b in epochs[1]]
    assert len(epochs[0]) == len(epochs[2])


def padding(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    return sum(len(b) * lengths[b].max() for b in batches) / lengths.sum()


def test_batches_hold_rows_of_like_length():
    random = np.random.default_rng(0)
    lengths = random.integers(5, 60, size=1003)
    at_random = np.array_split(random.permutation(1003), 63)
    assert padding(at_random, lengths) > 1.5
    assert padding(trainer.batches_of_rows(lengths, 16, 1, 1, random), lengths) < 1.1
    assert padding(trainer.batches_of_tokens(lengths, 500, 1, 1, random), lengths) < 1.1


def test_another_epoch_or_seed_has_another_order():
    lengths = np.arange(1, 101)
    orders = set()
    for seed, epoch in [(1, 0), (1, 1), (2, 0)]:
        batches = trainer.EpochBatches(lengths, 8, None, 1, 1, seed, lambda epoch=epoch: epoch)
        assert len(batches) == 13
        orders.add(str(list(batches)))
    assert len(orders) == 3


@pytest.mark.parametrize("n_rows", [64, 67, 71, 65])
def test_one_process_and_two_take_the_same_rows_in_each_step(n_rows):
    """Accelerate deals batches to the ranks in turn: 2 ranks x 4 rows are 1 rank x 8 rows."""
    from accelerate.data_loader import BatchSamplerShard

    lengths = np.random.default_rng(0).integers(5, 60, size=n_rows)
    alone = [set(batch) for batch in trainer.EpochBatches(lengths, 8, None, 1, 1, 3, lambda: 2)]
    shared = trainer.EpochBatches(lengths, 4, None, 2, 1, 3, lambda: 2)
    ranks = [list(BatchSamplerShard(shared, 2, rank, even_batches=False)) for rank in range(2)]
    together = [set(a) | set(b) for a, b in zip(*ranks, strict=True)]
    if n_rows == 65:  # the row left over is too little for two ranks: it joins the step before
        alone[-2:] = [alone[-2] | alone[-1]]
    assert together == alone


# What is configured is what runs ----------------------------------------------------------------


def arguments(schedule: str, warmup_steps: int) -> SimpleNamespace:
    return SimpleNamespace(
        lr_scheduler_type=SimpleNamespace(value=schedule), warmup_steps=warmup_steps
    )


def adamw(**settings) -> torch.optim.AdamW:
    network = nn.Linear(3, 2)
    groups = [{"params": [network.weight]}, {"params": [network.bias], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, **settings)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=3e-4, weight_decay=0.2),
        torch.optim.Adam([nn.Parameter(torch.ones(2))], lr=3e-4, weight_decay=0.2),
        adamw(lr=3e-4, weight_decay=0.01),
    ],
)
def test_another_optimizer_than_the_configured_one_does_not_train(wrong):
    check = trainer.CheckOptimizer(3e-4, 0.2)
    check.on_train_begin(None, None, None, optimizer=adamw(lr=3e-4, weight_decay=0.2))
    with pytest.raises(RuntimeError, match="as configured"):
        check.on_train_begin(None, None, None, optimizer=wrong)


@pytest.mark.parametrize("warmup_steps", [0, 5])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
def test_every_step_has_the_learning_rate_of_the_schedule(schedule, warmup_steps):
    """Against the schedules of transformers, at every step."""
    optimizer = adamw(lr=3e-4, weight_decay=0.2)
    scheduler = get_scheduler(schedule, optimizer, warmup_steps, 30)
    check = trainer.CheckOptimizer(3e-4, 0.2)
    for step in range(30):
        state = SimpleNamespace(global_step=step, max_steps=30)
        check.on_step_begin(arguments(schedule, warmup_steps), state, None, optimizer=optimizer)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("change", ["constant", "peak", "warmup"])
def test_another_learning_rate_than_the_configured_one_does_not_train(change):
    optimizer = adamw(lr=3e-4 if change != "peak" else 1e-4, weight_decay=0.2)
    name = "constant_with_warmup" if change == "constant" else "linear"
    scheduler = get_scheduler(name, optimizer, 0 if change == "warmup" else 5, 30)
    check = trainer.CheckOptimizer(3e-4, 0.2)
    with pytest.raises(RuntimeError, match=r"the learning rate is .*, configured is"):
        for step in range(30):
            state = SimpleNamespace(global_step=step, max_steps=30)
            check.on_step_begin(arguments("linear", 5), state, None, optimizer=optimizer)
            optimizer.step()
            scheduler.step()


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
    assert trainer.is_out_of_memory(error) == expected
