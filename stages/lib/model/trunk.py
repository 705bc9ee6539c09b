"""The frozen lower layers of a model, run once a row instead of once a row and epoch.

Layers without adapters give the same hidden states in every epoch. They are computed once, kept in
a file that is mapped into memory, and the layers above train on them: less than half of the work
for three epochs over the upper third of the layers, with the same result.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from stages.lib.errors import UserError
from stages.lib.model.base_model import file_sha256
from stages.lib.model.batches import batches_by_length, pad_right

_BATCH_TOKENS = 2048


class _Reached(Exception):
    """Carries the hidden states out of a forward pass that need not go on."""

    def __init__(self, hidden: torch.Tensor):
        self.hidden = hidden


class PassThrough(nn.Module):
    """Stands where a frozen layer stood: the hidden states come in as the layer left them."""

    def forward(self, hidden_states: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return hidden_states


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the decoder layers of a causal language model, the lowest first.

    Raises
    ------
    UserError
        The architecture keeps them elsewhere.
    """
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise UserError(
            f"params.yaml: lora.top_layers: {type(model).__name__} does not say where its layers "
            "are; set it to null"
        )
    return layers


def trunk_states(
    model: nn.Module, n_layers: int, input_ids: Sequence[Sequence[int]], path: Path
) -> torch.Tensor:
    """Return the hidden states of all rows behind the lowest `n_layers` layers.

    Parameters
    ----------
    model : PreTrainedModel
    n_layers : int
        At least 1, below the model's number of layers.
    input_ids : sequence of sequence of int
        Prompts.
    path : Path
        The file that holds the states; one that is there already is taken if it is whole.

    Returns
    -------
    Tensor of the model's dtype, (tokens of all rows, hidden)
        Row after row, mapped from `path`.

    Raises
    ------
    UserError
        The disk has no room for the file.
    """
    lengths = np.array([len(ids) for ids in input_ids])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    hidden_size = model.config.hidden_size
    shape = (int(starts[-1]), hidden_size)
    seal = path.with_suffix(".sha256")
    if not (path.exists() and seal.exists() and seal.read_text() == file_sha256(path)):
        n_bytes = shape[0] * shape[1] * model.dtype.itemsize
        if n_bytes > (free := shutil.disk_usage(path.parent).free):
            raise UserError(
                f"{path.parent}: the states of the frozen layers take {n_bytes / 1e9:.1f} GB, "
                f"{free / 1e9:.1f} GB are free; make room, or set lora.top_layers to null"
            )
        partial = path.with_suffix(".partial")
        _write_states(model, n_layers, input_ids, starts, _map(partial, shape, model.dtype))
        partial.rename(path)
        seal.write_text(file_sha256(path))
    return _map(path, shape, model.dtype)


def _map(path: Path, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    flat = torch.from_file(str(path), shared=True, size=shape[0] * shape[1], dtype=dtype)
    return flat.view(shape)


@torch.inference_mode()
def _write_states(
    model: nn.Module,
    n_layers: int,
    input_ids: Sequence[Sequence[int]],
    starts: np.ndarray,
    states: torch.Tensor,
) -> None:
    def stop(module, args, kwargs):
        raise _Reached(args[0] if args else kwargs["hidden_states"])

    hook = decoder_layers(model)[n_layers].register_forward_pre_hook(stop, with_kwargs=True)
    was_training = model.training
    model.eval()
    with tqdm(total=len(input_ids), desc="frozen layers", unit="row") as progress:
        for batch in batches_by_length(np.diff(starts), _BATCH_TOKENS):
            padded = pad_right([input_ids[i] for i in batch])["input_ids"].to(model.device)
            try:
                model(input_ids=padded)
            except _Reached as reached:
                hidden = reached.hidden.to(states.device)
            for i, row in zip(batch, hidden, strict=True):
                states[starts[i] : starts[i + 1]] = row[: starts[i + 1] - starts[i]]
            progress.update(len(batch))
    hook.remove()
    model.train(was_training)


def drop_trunk(model: nn.Module, n_layers: int) -> None:
    """Take the lowest `n_layers` layers out of `model`, which then reads `inputs_embeds`."""
    layers = decoder_layers(model)
    for i in range(n_layers):
        layers[i] = PassThrough()


def pad_states(states: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the model's inputs for rows that have run through the trunk.

    Returns
    -------
    dict
        ``inputs_embeds`` (rows, longest row, hidden), right-padded, and ``logits_to_keep``, int64
        (rows, 1): the position of each row's last token.
    """
    lengths = torch.tensor([len(state) for state in states])
    padded = nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    return {"inputs_embeds": padded, "logits_to_keep": (lengths - 1)[:, None]}
