"""Right-padded batches without an attention mask.

Under a causal mask no position sees what is to its right, so padding there cannot change a row's
answer: the result is exact, and attention takes its fastest path.
"""

from collections.abc import Sequence

import numpy as np
import torch

PADDING_ID = 0  # any token will do, see above


def pad_right(input_ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Return the model's inputs for rows that differ in length.

    Returns
    -------
    dict
        ``input_ids``, int64 (rows, longest row), and ``logits_to_keep``, int64 (rows, 1): the
        position of each row's last token, the only one whose logits are computed.
    """
    lengths = torch.tensor([len(row) for row in input_ids])
    padded = torch.full((len(input_ids), int(lengths.max())), PADDING_ID)
    for row, ids in zip(padded, input_ids, strict=True):
        row[: len(ids)] = torch.as_tensor(ids)
    return {"input_ids": padded, "logits_to_keep": (lengths - 1)[:, None]}


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """Return the model's inputs for `rows`, and their labels, int64 (rows,)."""
    inputs = pad_right([row["input_ids"] for row in rows])
    return {**inputs, "labels": torch.tensor([row["label"] for row in rows])}


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> list[np.ndarray]:
    """Cut rows into batches of similar length, the longest first: if memory is short, the first
    batch shows it.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row.
    max_tokens : int
        Most tokens in a batch, padding included. A longer row is a batch of its own.

    Returns
    -------
    list of ndarray of int64
        Row indices; each row is in exactly one batch.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches
