"""Batches in which a row gets the same scores, whatever other rows are scored with it.

A matrix product is cut into blocks by its shape, and in bfloat16 another cut changes the second or
third digit of a logit. So the shape of a batch depends on nothing but the length of the row.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from stages.lib.model.batches import PADDING_ID, pad_right

_STEP = 4  # rows of up to so many different lengths share a shape


class Batch(NamedTuple):
    """Rows that are scored together.

    Attributes
    ----------
    rows : ndarray of int64
        Indices.
    size : int
        Rows of the tensor. Where it has more than `rows`, the first one fills it.
    length : int
        Tokens of each, padding included.
    """

    rows: np.ndarray
    size: int
    length: int


def batches_of_fixed_shape(lengths: Sequence[int], max_tokens: int) -> list[Batch]:
    """Cut rows into batches, the longest rows first: if memory is short, the first batch shows it.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row.
    max_tokens : int
        Most tokens in a batch, padding included. A longer row is a batch of its own.
    """
    padded = -(-np.asarray(lengths, np.int64) // _STEP) * _STEP
    batches = []
    for length in np.unique(padded)[::-1].tolist():
        size = max(1, max_tokens // length)
        rows = np.flatnonzero(padded == length)
        batches += [Batch(rows[i : i + size], size, length) for i in range(0, len(rows), size)]
    return batches


def padded_batch(batch: Batch, input_ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Return the model's inputs for a batch, in its shape; see `pad_right`."""
    rows = [input_ids[i] for i in batch.rows]
    inputs = pad_right(rows + rows[:1] * (batch.size - len(rows)))
    missing = batch.length - inputs["input_ids"].shape[1]
    padded = torch.nn.functional.pad(inputs["input_ids"], (0, missing), value=PADDING_ID)
    return {**inputs, "input_ids": padded}
