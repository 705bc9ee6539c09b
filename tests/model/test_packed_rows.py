"""Rows laid end to end: the logits and gradients of padded batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from small_models import base_model, with_adapters
from torch import nn

from stages.lib.model import packed_rows
from stages.lib.model.batches import pad_right
from stages.lib.model.fused_layers import fuse_layers
from stages.lib.model.packed_rows import (
    batches_of_packed_rows,
    cannot_be_packed,
    collate_packed,
    pack_rows,
    plain_attention,
    use_packed_attention,
)

ROWS = [[5, 6, 7], [9], [11, 12, 13, 14, 15, 16, 17], [5, 6], [88, 3, 88, 3, 1]]


def logits_and_gradients(model: nn.Module, inputs: dict) -> list[torch.Tensor]:
    logits = model(**inputs).logits.flatten(0, 1)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    loss = (logits * torch.linspace(-1, 1, logits.numel()).view(logits.shape)).sum()
    return [logits.detach(), *torch.autograd.grad(loss, weights)]


@pytest.mark.parametrize("tokens", [18, 64])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_logits_and_gradients_are_those_of_padded_rows(kind, fused, checkpointing, tokens):
    """Grouped queries in both; norms of query and key in Qwen3."""
    model = with_adapters(base_model(kind)).train()
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    expected = logits_and_gradients(model, pad_right(ROWS))
    use_packed_attention(model, "training", plain_attention)
    if fused:
        fuse_layers(model)
    for inputs in (pack_rows(ROWS, tokens), pad_right(ROWS)):
        found = logits_and_gradients(model, inputs)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_fused_layers_take_them_without_the_layers_own_forward():
    model = with_adapters(base_model("qwen3")).train()
    use_packed_attention(model, "training", plain_attention)
    expected = logits_and_gradients(model, pack_rows(ROWS, 64))
    for layer in model.get_decoder().layers:
        layer.forward = None
    fuse_layers(model)
    found = logits_and_gradients(model, pack_rows(ROWS, 64))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_the_reference_attends_within_rows_alone():
    """Against a softmax written out, position by position."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(6, heads, 8) for heads in (4, 2, 2))
    read = plain_attention(query, key, value, torch.tensor([0, 2, 6], dtype=torch.int32), 64, 0.3)
    for position, start in enumerate([0, 0, 2, 2, 2, 2]):
        for head in range(4):
            seen = slice(start, position + 1)
            weights = torch.softmax(0.3 * key[seen, head // 2] @ query[position, head], 0)
            torch.testing.assert_close(read[position, head], weights @ value[seen, head // 2])


def test_the_kernel_gets_each_row_s_place_once_a_batch(monkeypatch):
    calls = []

    def kernel(*tensors, **settings):
        calls.append((*tensors[3:], settings))
        return plain_attention(*tensors[:4], tensors[5], settings["scale"])

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    model = base_model("qwen3")
    use_packed_attention(model, "score")
    inputs = pack_rows(ROWS, 20)
    model(**inputs)
    assert len(calls) == 2  # layers
    for starts, same, longest, also, settings_ in calls:
        assert starts is same and starts is inputs["row_starts"]
        assert longest == also == 64
        assert settings_ == {"scale": 8**-0.5, "window_size": (-1, 0), "enable_gqa": True}


def test_a_batch_has_the_rows_and_then_what_fills_it():
    inputs = pack_rows([[7, 8, 9], [4]], 9)
    assert inputs["input_ids"].tolist() == [[7, 8, 9, 4, 0, 0, 0, 0, 0]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 0, 1, 2, 0, 1]]
    assert inputs["row_starts"].tolist() == [0, 3, 4, 7, 9]
    assert inputs["row_starts"].dtype == torch.int32
    assert inputs["logits_to_keep"].tolist() == [2, 3]
    assert inputs["longest_row"] == 64
    assert pack_rows([[1] * 65], 3)["longest_row"] == 128


def test_labels_go_with_their_rows():
    rows = [{"input_ids": [7, 8], "label": 3}, {"input_ids": [4], "label": 0}]
    assert collate_packed(rows, 8)["labels"].tolist() == [3, 0]


@given(st.lists(st.integers(1, 60), max_size=200), st.integers(1, 400))
@settings(deadline=None, max_examples=100)
def test_each_row_is_in_one_batch_of_at_most_so_many_tokens(lengths, tokens):
    batches = batches_of_packed_rows(lengths, tokens)
    taken = [row for batch in batches for row in batch.rows.tolist()]
    assert sorted(taken) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch.rows) == 1 or sum(lengths[row] for row in batch.rows) <= tokens
    longest = [lengths[batch.rows[0]] for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_a_model_of_another_kind_is_refused_by_name():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2))
    with refused("cannot-pack", "score.packed", "GPT2"):
        use_packed_attention(model, "score")
    sliding = base_model("qwen3", sliding_window=4, use_sliding_window=True, max_window_layers=0)
    assert cannot_be_packed(sliding) == "its attention has a sliding window"
    assert cannot_be_packed(with_adapters(base_model("llama"))) is None
    assert sliding.config._attn_implementation != packed_rows.NAME


def test_rows_of_int32_arrays_are_packed_too():
    inputs = pack_rows([np.array([5, 6], np.int32)], 2)
    assert inputs["input_ids"].dtype == inputs["logits_to_keep"].dtype == torch.int64
