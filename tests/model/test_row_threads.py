"""Parts of a batch in threads: every row once, in order, and the same gradient every time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, TrainingArguments

from stages.lib.model import row_threads
from stages.lib.model.batches import pad_right
from stages.lib.model.fused_layers import fuse_layers
from stages.lib.model.row_threads import cpu_threads, map_parts, split_rows
from stages.lib.model.trainer import LabelTrainer


def batch(lengths: list[int]) -> dict[str, Tensor]:
    """Return rows of these lengths; their tokens and labels tell which one they are."""
    prompts = [[100 * i + position for position in range(n)] for i, n in enumerate(lengths, 1)]
    return pad_right(prompts) | {"labels": torch.arange(len(lengths))}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool
    torch.set_num_threads(torch.get_num_threads())  # of threads that tests start later


# Parts --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.data())
def test_every_row_is_in_one_part_in_order_and_no_wider_than_the_longest_beside_it(lengths, data):
    n_parts = data.draw(st.integers(1, len(lengths)))
    parts = split_rows(batch(lengths), n_parts)
    sizes = [len(part["labels"]) for part in parts]
    assert len(parts) == n_parts
    assert max(sizes) - min(sizes) <= 1
    rows = [i for part in parts for i in part["labels"].tolist()]
    assert rows == list(range(len(lengths)))
    for part in parts:
        own = [lengths[i] for i in part["labels"].tolist()]
        expected = batch(lengths)["input_ids"][part["labels"], : max(own)]
        assert torch.equal(part["input_ids"], expected)
        assert part["logits_to_keep"].tolist() == [[length - 1] for length in own]


def test_a_batch_is_not_changed_by_cutting_it():
    inputs = batch([3, 1, 2])
    split_rows(inputs, 3)
    for name, tensor in batch([3, 1, 2]).items():
        assert torch.equal(inputs[name], tensor)


@pytest.mark.parametrize(
    ("rows", "threads", "sizes"),
    [
        (1, 4, [1]),
        (15, 4, [15]),
        (16, 4, [8, 8]),
        (31, 4, [11, 10, 10]),
        (32, 4, [8, 8, 8, 8]),
        (100, 4, [25, 25, 25, 25]),
        (100, 3, [34, 33, 33]),
        (100, 1, [100]),
    ],
)
def test_there_are_as_many_parts_as_threads_but_none_of_under_8_rows(pool, rows, threads, sizes):
    found = map_parts(pool, threads, lambda part: part["labels"].tolist(), batch([2] * rows))
    assert [len(labels) for labels in found] == sizes
    assert [row for labels in found for row in labels] == list(range(rows))


def test_results_are_in_the_order_of_the_rows_whichever_is_done_first(pool):
    later_is_done = threading.Event()

    def first_row(part: dict) -> int:
        row = int(part["labels"][0])
        if row == 0:
            assert later_is_done.wait(30)  # so both run at once, too
        else:
            later_is_done.set()
        return row

    assert map_parts(pool, 2, first_row, batch([2] * 16)) == [0, 8]


@pytest.mark.parametrize("failing", [0, 8])
def test_an_error_in_a_part_is_raised(pool, failing):
    def fail(part: dict) -> None:
        if failing in part["labels"].tolist():
            raise ValueError(f"row {failing}")

    with pytest.raises(ValueError, match=f"row {failing}"):
        map_parts(pool, 2, fail, batch([2] * 16))


@pytest.mark.parametrize(("rows", "threads", "expected"), [(8, 4, [4]), (16, 5, [2, 2])])
def test_parts_share_the_threads_and_leave_the_main_thread_its_own(pool, rows, threads, expected):
    before = torch.get_num_threads()
    found = map_parts(pool, threads, lambda part: torch.get_num_threads(), batch([2] * rows))
    assert found == expected
    assert torch.get_num_threads() == before


# Threads of a process -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "processes", "expected"), [(8, None, 8), (8, 2, 4), (8, 3, 2), (2, 4, 1)]
)
def test_a_process_has_its_share_of_the_cores(monkeypatch, cores, processes, expected):
    monkeypatch.setattr(row_threads, "cores", lambda: cores)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert cpu_threads(None) == expected
    assert cpu_threads(3) == 3


# Training -----------------------------------------------------------------------------------------

LENGTHS = [5, 2, 9, 1, 3, 3, 7, 4, 6, 1, 2, 8, 5, 5, 3, 1, 2, 4, 9, 3]


def prompts_and_labels() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    draw = lambda n: torch.randint(0, 600, (n,), generator=generator)  # noqa: E731
    inputs = pad_right([draw(length).tolist() for length in LENGTHS])
    return inputs | {"labels": draw(len(LENGTHS))}


@pytest.fixture(params=["float32", "bfloat16", "checkpointing"])
def trainers(request, tiny_model, tmp_path) -> list[LabelTrainer]:
    """Return trainers with one and with two threads, of one fused model."""
    bf16 = request.param == "bfloat16"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model, attn_implementation="eager", dtype="bfloat16" if bf16 else "float32"
    )
    model.config.use_cache = False
    if request.param == "checkpointing":
        model.activation_checkpointing_enable({"use_reentrant": False})
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    fuse_layers(model)
    arguments = TrainingArguments(
        str(tmp_path), use_cpu=True, bf16=bf16, report_to="none", label_names=["labels"],
        remove_unused_columns=False,
    )  # fmt: skip
    return [
        LabelTrainer(
            label_smoothing=0.1, train_batch_tokens=None, packed=False, make_optimizer=None,
            row_threads=threads, model=model, args=arguments,
        )
        for threads in (1, 2)
    ]  # fmt: skip


def step(trainer: LabelTrainer, times: int = 1) -> list[Tensor]:
    """Return the loss of a batch, and the gradients of `times` passes over it."""
    trainer.model.zero_grad()
    for _ in range(times):
        loss = trainer.training_step(trainer.model, prompts_and_labels(), len(LENGTHS))
    weights = (weight for weight in trainer.model.parameters() if weight.requires_grad)
    return [loss.detach(), *(weight.grad.clone() for weight in weights)]


def test_two_threads_give_the_loss_and_gradient_of_one(trainers):
    one, two = (step(trainer) for trainer in trainers)
    tolerance = 0.1 if trainers[0].args.bf16 else 1e-5
    for found, expected in zip(two, one, strict=True):
        assert (found - expected).norm() <= tolerance * expected.norm()


def test_two_threads_give_the_same_bits_again(trainers):
    expected = step(trainers[1])
    for _ in range(3):
        found = step(trainers[1])
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_gradients_of_the_passes_of_a_step_add_up(trainers):
    once, twice = step(trainers[1]), step(trainers[1], times=2)
    for found, expected in zip(twice[1:], once[1:], strict=True):
        assert (found - 2 * expected).norm() <= 1e-6 * expected.norm()


def test_a_validation_in_two_threads_is_that_of_one(trainers):
    found, expected = (
        trainer.prediction_step(trainer.model.eval(), prompts_and_labels(), False)[::-1]
        for trainer in trainers
    )
    assert torch.equal(found[0], expected[0])
    tolerance = 0.1 if trainers[0].args.bf16 else 1e-5
    torch.testing.assert_close(found[1:], expected[1:], rtol=tolerance, atol=tolerance)
