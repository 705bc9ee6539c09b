"""A row's scores depend on the row alone, to the last bit."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from stages.lib.model.fixed_shapes import batches_of_fixed_shape, padded_batch
from stages.lib.model.scoring import TrainedModel, score_rows


@pytest.mark.parametrize("max_tokens", [1, 40, 100_000])
def test_each_row_is_in_one_batch_whose_shape_depends_on_its_length_alone(max_tokens):
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    batches = batches_of_fixed_shape(lengths, max_tokens)
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(500))
    for batch in batches:
        assert batch.length % 4 == 0 and batch.size == max(1, max_tokens // batch.length)
        assert len(batch.rows) <= batch.size
        assert {-(-length // 4) * 4 for length in lengths[batch.rows].tolist()} == {batch.length}
    found = [batch.length for batch in batches]
    assert found == sorted(found, reverse=True)


def test_a_batch_is_filled_with_its_first_row_and_padded_to_its_length():
    (batch,) = batches_of_fixed_shape([3, 2], 12)
    inputs = padded_batch(batch, [[5, 6, 7], [8, 9]])
    assert inputs["input_ids"].tolist() == [[5, 6, 7, 0], [8, 9, 0, 0], [5, 6, 7, 0]]
    assert inputs["logits_to_keep"].tolist() == [[2], [1], [2]]


def test_no_rows_make_no_batch():
    assert batches_of_fixed_shape([], 8) == []


def test_a_row_alone_has_the_bits_that_it_has_among_others():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    trained = TrainedModel(model, [str(account) for account in range(64)])
    random = np.random.default_rng(1)
    prompts = [random.integers(0, 64, length).tolist() for length in random.integers(3, 40, 60)]
    together = score_rows(trained, prompts, 256, 2, "test")
    for row in range(0, 60, 7):
        alone = score_rows(trained, [prompts[row]], 256, 1, "test")
        np.testing.assert_array_equal(alone[0], together[row])
