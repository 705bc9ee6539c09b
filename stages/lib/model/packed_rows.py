"""Rows laid end to end, without padding: for a GPU, whose attention takes rows of any length.

A batch is one long row of tokens. Each prompt attends to itself alone, its positions start at 0,
and the label's logits are taken at its last token. So the scores are those of padded batches, to
rounding.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from stages.lib.errors import UserError
from stages.lib.model.batches import PADDING_ID
from stages.lib.model.fixed_shapes import Batch

NAME = "packed_rows"
_STEP = 64  # the longest row is rounded up to a multiple, so that a compiled model sees few values


def pack_rows(input_ids: Sequence[Sequence[int]], tokens: int) -> dict[str, Tensor | int]:
    """Return the model's inputs for rows laid end to end.

    Parameters
    ----------
    input_ids : sequence of sequence of int
    tokens : int
        Length of the batch. Rows that no one asked for fill it up, so that all batches have one
        shape. Longer rows make it longer.

    Returns
    -------
    dict
        ``input_ids`` and ``position_ids``, int64 (1, tokens); ``logits_to_keep``, int64 (rows,):
        the position of each row's last token; ``row_starts``, int32 (rows and filling + 1,): where
        each begins, and the end; ``longest_row``, int: no row is longer.
    """
    lengths = [len(row) for row in input_ids]
    longest, missing = max(lengths), tokens - sum(lengths)
    filling = [min(longest, missing - start) for start in range(0, missing, longest)]
    lengths = np.array([*lengths, *filling])
    ends = np.cumsum(lengths)
    ids = np.full(ends[-1], PADDING_ID)
    ids[: ends[len(input_ids) - 1]] = np.concatenate([np.asarray(row) for row in input_ids])
    positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    return {
        "input_ids": torch.from_numpy(ids)[None],
        "position_ids": torch.from_numpy(positions)[None],
        "logits_to_keep": torch.from_numpy(ends[: len(input_ids)] - 1),
        "row_starts": torch.from_numpy(np.concatenate([[0], ends]).astype(np.int32)),
        "longest_row": -(-longest // _STEP) * _STEP,
    }


def collate_packed(rows: list[dict], tokens: int) -> dict[str, Tensor | int]:
    """Return the model's inputs for `rows`, and their labels, int64 (rows,); see `pack_rows`."""
    labels = torch.tensor([row["label"] for row in rows])
    return {**pack_rows([row["input_ids"] for row in rows], tokens), "labels": labels}


def packed_batch(batch: Batch, input_ids: Sequence[Sequence[int]]) -> dict[str, Tensor | int]:
    """Return the model's inputs for a batch, in its shape; see `pack_rows`."""
    return pack_rows([input_ids[row] for row in batch.rows], batch.length)


def batches_of_packed_rows(lengths: Sequence[int], tokens: int) -> list[Batch]:
    """Cut rows into batches of at most `tokens` tokens, the longest rows first.

    A longer row is a batch of its own. Each row is in exactly one batch.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    batches, left = [], 0
    for row in order.tolist():
        if not batches or lengths[row] > left:
            batches.append([])
            left = tokens
        batches[-1].append(row)
        left -= lengths[row]
    return [Batch(np.array(rows), 1, tokens) for rows in batches]


def cannot_be_packed(model: nn.Module) -> str | None:
    """Return why the attention of `model` cannot take rows laid end to end; None: it can."""
    decoder = model.get_decoder()
    for layer in getattr(decoder, "layers", [decoder]):
        if not isinstance(layer, LlamaDecoderLayer | Qwen3DecoderLayer):
            return f"a {type(layer).__name__} is not of the kind Llama or Qwen3"
        if getattr(layer.self_attn, "sliding_window", None):
            return "its attention has a sliding window"
    return None


def varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, row_starts: Tensor, longest: int, scaling: float
) -> Tensor:
    """Return causal attention within each row, by PyTorch's kernel for CUDA.

    Parameters
    ----------
    query : Tensor, (tokens, heads, n)
    key, value : Tensor, (tokens, key heads, n)
    row_starts : Tensor of int32, (rows + 1,)
    longest : int
    scaling : float
    """
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(
        *(query, key, value, row_starts, row_starts, longest, longest),
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=True,
    )


def plain_attention(
    query: Tensor, key: Tensor, value: Tensor, row_starts: Tensor, longest: int, scaling: float
) -> Tensor:
    """Do the same with a block-diagonal mask: slow, on any device, for comparison."""
    row = torch.arange(len(query), device=query.device)
    row = torch.searchsorted(row_starts[1:].long(), row, right=True)
    mask = (row[:, None] == row[None]).tril()
    parts = (part.transpose(0, 1)[None] for part in (query, key, value))
    read = F.scaled_dot_product_attention(*parts, attn_mask=mask, scale=scaling, enable_gqa=True)
    return read[0].transpose(0, 1)


def use_packed_attention(model: nn.Module, section: str, attention: Callable | None = None) -> None:
    """Let `model` take what `pack_rows` returns, and padded batches as before.

    Parameters
    ----------
    model : nn.Module
    section : str
        Of the parameters that ask for it.
    attention : callable or None
        Used in place of `varlen_attention`.

    Raises
    ------
    UserError
        The model is of another kind.
    """
    if reason := cannot_be_packed(model):
        raise UserError(
            "cannot-pack", f"params_train.yaml: {section}.packed", reason, "set it to false"
        )
    by_row = attention or varlen_attention

    def forward(module, query, key, value, attention_mask, scaling, **kwargs):
        if (starts := kwargs.get("row_starts")) is None:
            return sdpa_attention_forward(
                module, query, key, value, attention_mask, scaling=scaling, **kwargs
            )
        parts = (part[0].transpose(0, 1) for part in (query, key, value))
        return by_row(*parts, starts, kwargs["longest_row"], scaling)[None], None

    AttentionInterface.register(NAME, forward)
    model.get_decoder().set_attn_implementation(NAME)
