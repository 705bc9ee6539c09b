"""The base model with a head of label tokens: one logit an account.

The model stays an ordinary causal language model. Only the K rows of its output matrix that
belong to label tokens are computed, at the last position of each prompt. The K numbers are exactly
those that the full vocabulary would give, at a fraction of the work.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from stages.lib.errors import UserError, first_line
from stages.lib.model.quantized import compute_as_in_training, quantized_loading
from stages.lib.params.model import ModelParams


class LabelHead(nn.Module):
    """The rows of a language model's output matrix that belong to the label tokens.

    ``weight`` (K, hidden) is a float32 copy, no longer tied to the input embeddings: training it
    does not change what the model reads. The product is taken on a two-dimensional tensor. For a
    batch of one-position matrices PyTorch would copy the whole output matrix for each row.

    Parameters
    ----------
    output_embeddings : nn.Linear
        The model's own head, ``weight`` (vocabulary, hidden).
    label_token_ids : sequence of int, length K
    """

    def __init__(self, output_embeddings: nn.Linear, label_token_ids: Sequence[int]):
        super().__init__()
        rows = list(label_token_ids)
        self.weight = nn.Parameter(output_embeddings.weight.detach()[rows].float(), False)
        bias = output_embeddings.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach()[rows].float(), False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map hidden states (..., hidden) to logits (..., K)."""
        hidden_rows = hidden.flatten(0, -2).to(self.weight.dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            logits = F.linear(hidden_rows, self.weight, self.bias)
        return logits.unflatten(0, hidden.shape[:-1])


def load_base_model(
    folder: Path, model: ModelParams, label_token_ids: Sequence[int]
) -> PreTrainedModel:
    """Return the base model in `folder`, with logits over the label tokens only.

    Raises
    ------
    UserError
        The folder has no causal language model that transformers can load, or lacks some of its
        weights.
    """
    try:
        loaded, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, model.dtype),
            trust_remote_code=model.trust_remote_code,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            # On a CPU the fused kernel spends more on packing short prompts than it saves.
            attn_implementation="sdpa" if torch.cuda.is_available() else "eager",
            **quantized_loading(model),
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(
            "unreadable-base-model",
            "model.name",
            f"{model.name} cannot be loaded: {first_line(error)}",
            "the files are damaged, or transformers does not know the architecture",
        ) from None
    if lacking := sorted(found["missing_keys"]):  # transformers would make them up at random
        raise UserError(
            "incomplete-base-model",
            "model.name",
            f"the weights of {model.name} lack {len(lacking)} tensors of its configuration, such "
            f"as {lacking[0]}",
            "save the whole model into the folder again",
        )
    compute_as_in_training(loaded)
    loaded.set_output_embeddings(LabelHead(loaded.get_output_embeddings(), label_token_ids))
    loaded.config.use_cache = False
    loaded.config.tie_word_embeddings = False
    return loaded
