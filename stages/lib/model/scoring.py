"""The label head, the trained model, and its scores: one forward pass a row.

The model stays an ordinary causal language model. Only the K rows of its output matrix that
belong to label tokens are computed, at the last position of each prompt, so the K numbers are
exactly those that the full vocabulary would give, at a fraction of the work.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm
from transformers import AutoModelForCausalLM, PreTrainedModel

from stages.lib.checksums import file_sha256
from stages.lib.errors import UserError
from stages.lib.model.base_model import resolve_base_model
from stages.lib.model.batches import batches_by_length, pad_right
from stages.lib.model.prompt import PROMPT_VERSION
from stages.lib.params.model import ModelParams

MANIFEST = "manifest.json"
LABEL_MAP = "label_map.json"


class LabelHead(nn.Module):
    """The rows of a language model's output matrix that belong to the label tokens.

    ``weight`` (K, hidden) is a float32 copy, no longer tied to the input embeddings, so that it
    can be trained without a change to what the model reads. The product is taken on a
    two-dimensional tensor: for a batch of one-position matrices PyTorch would copy the whole
    output matrix once a row.

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
        The folder holds no causal language model that transformers can load.
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
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"model.name: {model.name}: cannot be loaded: {reason}") from None
    if lacking := sorted(found["missing_keys"]):  # transformers would make them up at random
        raise UserError(
            f"model.name: {model.name}: its weights lack {len(lacking)} tensors of its "
            f"configuration, {lacking[0]} among them"
        )
    loaded.set_output_embeddings(LabelHead(loaded.get_output_embeddings(), label_token_ids))
    loaded.config.use_cache = False
    loaded.config.tie_word_embeddings = False
    return loaded


@dataclass(frozen=True)
class TrainedModel:
    """A fine-tuned model, ready to score.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode; its logits have one column an account.
    accounts : list of str, length K
        Codes in the order of the logit columns.
    """

    model: nn.Module
    accounts: list[str]


def verify_manifest(folder: Path) -> dict:
    """Return the manifest in `folder` after checking every file that it names.

    Raises
    ------
    UserError
        A file is missing, or its bytes are not those that were saved.
    """
    mend = "fetch it again with 'dvc pull train', or rebuild it with 'dvc repro --force train'"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / MANIFEST}: not readable ({error}); {mend}") from None
    for name, sha256 in files:
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing, though the manifest names it; {mend}")
        if (found := file_sha256(path)) != sha256:
            raise UserError(f"{path}: sha256 is {found}, the manifest says {sha256}; {mend}")
    return manifest


def load_trained_model(folder: Path | str, trust_remote_code: bool) -> TrainedModel:
    """Return the model that ``train`` saved in `folder`, on the GPU where there is one.

    Raises
    ------
    UserError
        The folder is not whole, was trained on prompts of another version, or its base model
        cannot be had.
    """
    folder = Path(folder)
    manifest = verify_manifest(folder)
    label_map = json.loads((folder / LABEL_MAP).read_text(encoding="utf-8"))
    if (version := label_map["prompt"]["version"]) != PROMPT_VERSION:
        raise UserError(
            f"{folder}: trained on prompts of version {version}, this code writes version "
            f"{PROMPT_VERSION}; train it again"
        )
    base = ModelParams(**manifest["base_model"], trust_remote_code=trust_remote_code)
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]
    model = load_base_model(resolve_base_model(base), base, token_ids)
    if (folder / "adapter_config.json").is_file():
        # Merged, a forward pass has a third of the matrix products. The adapters are float32, so
        # the sum is computed in float32 and rounded once to the base model's number format.
        model = PeftModel.from_pretrained(model, folder).merge_and_unload()
    else:
        replace_weights(model, folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    accounts = [entry["acct_code"] for entry in label_map["accounts"]]
    return TrainedModel(model.to(device).eval(), accounts)


def replace_weights(model: nn.Module, folder: Path) -> None:
    """Put the weights in `folder`, of a training without adapters, into `model`."""
    for path in sorted(folder.glob("*.safetensors")):
        weights = load_file(path)
        if unknown := model.load_state_dict(weights, strict=False).unexpected_keys:
            raise UserError(f"{path}: holds {unknown[0]}, which the base model does not have")


@torch.inference_mode()
def score_rows(
    trained: TrainedModel, input_ids: Sequence[Sequence[int]], batch_tokens: int, description: str
) -> np.ndarray:
    """Return the logits of every account for every row.

    Identical prompts are scored once; the longest go first, in batches of like length.

    Parameters
    ----------
    trained : TrainedModel
    input_ids : sequence of sequence of int
        Prompts.
    batch_tokens : int
        Most tokens in one forward pass, padding included.
    description : str
        Stands before the progress bar.

    Returns
    -------
    ndarray of float32, (rows, K)
        In the order of `input_ids`.
    """
    prompts = [tuple(ids) for ids in input_ids]
    place = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    distinct = list(place)
    logits = np.empty((len(distinct), len(trained.accounts)), np.float32)
    device = next(trained.model.parameters()).device
    with tqdm(total=len(distinct), desc=description, unit="prompt") as progress:
        for batch in batches_by_length([len(ids) for ids in distinct], batch_tokens):
            inputs = pad_right([distinct[i] for i in batch])
            inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
            logits[batch] = trained.model(**inputs).logits[:, 0].float().cpu().numpy()
            progress.update(len(batch))
    return logits[[place[prompt] for prompt in prompts]]


def evaluate_model(
    trained: TrainedModel, prompts: Mapping[str, Sequence[Sequence[int]]], batch_tokens: int
) -> dict[str, np.ndarray]:
    """Return the logits of every account for the rows of each side.

    Parameters
    ----------
    trained : TrainedModel
    prompts : mapping of str to sequence of sequence of int
        By side, the `input_ids` of its rows.
    batch_tokens : int
        Most tokens in one forward pass, padding included.

    Returns
    -------
    dict of str to ndarray of float32, (rows, K)
        By side, in the order of its rows.
    """
    return {
        side: score_rows(trained, input_ids, batch_tokens, f"score {side}")
        for side, input_ids in prompts.items()
    }
