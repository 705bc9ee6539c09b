"""Batches: each row once, within the budget, and padded so that the last position is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.model.batches import PADDING_ID, batches_by_length, pad_right


def test_rows_are_padded_on_the_right_and_their_last_positions_kept():
    found = pad_right([[5, 6, 7], [8], [9, 4]])
    p = PADDING_ID
    assert found["input_ids"].tolist() == [[5, 6, 7], [8, p, p], [9, 4, p]]
    assert found["input_ids"].dtype == torch.int64
    assert found["logits_to_keep"].tolist() == [[2], [0], [1]]
    assert found["logits_to_keep"].dtype == torch.int64


def test_there_is_no_attention_mask():
    assert set(pad_right([[1]])) == {"input_ids", "logits_to_keep"}


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 100))
def test_each_row_is_in_one_batch_within_the_budget_longest_first(lengths, max_tokens):
    batches = batches_by_length(lengths, max_tokens)
    rows = [int(i) for batch in batches for i in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[i] for i in rows] == sorted(lengths, reverse=True)
    for batch in batches:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert padded <= max_tokens or len(batch) == 1


def test_a_batch_is_as_large_as_the_budget_allows():
    assert [batch.tolist() for batch in batches_by_length([2, 4, 4, 2, 1], 8)] == [
        [1, 2],
        [0, 3, 4],
    ]


def test_rows_of_equal_length_keep_their_order():
    (batch,) = batches_by_length(np.array([3, 3, 3]), 100)
    assert batch.tolist() == [0, 1, 2]


@pytest.mark.parametrize("lengths", [[], np.array([], int)])
def test_no_rows_give_no_batches(lengths):
    assert batches_by_length(lengths, 8) == []
