"""The trained model and its scores: one forward pass a row."""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import stages.lib.model.quiet  # isort: skip  # noqa: F401
import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn

from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.errors import UserError
from stages.lib.model.base_model import resolve_base_model
from stages.lib.model.devices import check_packed, check_scoring, device_name
from stages.lib.model.fixed_shapes import Batch, batches_of_fixed_shape, padded_batch
from stages.lib.model.fused_layers import cannot_be_fused, fuse_layers
from stages.lib.model.label_head import load_base_model
from stages.lib.model.manifest import changed_libraries, verify_manifest
from stages.lib.model.packed_rows import (
    batches_of_packed_rows,
    packed_batch,
    use_packed_attention,
)
from stages.lib.model.prompt import PROMPT_VERSION
from stages.lib.model.row_threads import cpu_threads
from stages.lib.params.model import saved_base_model
from stages.lib.progress import Progress


@dataclass(frozen=True)
class TrainedModel:
    """A fine-tuned model, ready to score.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode; its logits have one column for each account.
    accounts : list of str, length K
        Codes in the order of the logit columns.
    packed : bool
        Rows are scored end to end, without padding.
    """

    model: nn.Module
    accounts: list[str]
    packed: bool = False


def load_trained_model(
    folder: Path | str, trust_remote_code: bool, packed: bool = False
) -> TrainedModel:
    """Return the model that `train` saved in `folder`, on the GPU where there is one.

    Prints a line to stderr if other versions of libraries are installed than made the model.

    Raises
    ------
    UserError
        The folder is damaged, the model was trained on prompts of another version, its base model
        cannot be had, the GPU lacks its number format, or rows cannot be laid end to end here.
    """
    folder = Path(folder)
    manifest = verify_manifest(folder)
    if changed := changed_libraries(manifest.get("versions", {})):
        print(
            f"{folder / MANIFEST}: made with {', '.join(changed)}; scores may differ a little",
            file=sys.stderr,
        )
    label_map = json.loads((folder / LABEL_MAP).read_text(encoding="utf-8"))
    if (version := label_map["prompt"]["version"]) != PROMPT_VERSION:
        raise UserError(
            "outdated-model",
            folder,
            f"trained on prompts of version {version}, but this code writes version "
            f"{PROMPT_VERSION}",
            "train it again with 'dvc repro train'",
        )
    base = saved_base_model(manifest["base_model"], trust_remote_code)
    check_scoring(folder, base.dtype)
    if packed:
        check_packed("score", base.dtype)
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]
    model = load_base_model(resolve_base_model(base), base, token_ids)
    if (folder / "adapter_config.json").is_file():
        # Merged, a forward pass has a third of the matrix products. The adapters are float32, so
        # the sum is computed in float32 and rounded once to the base model's number format.
        model = PeftModel.from_pretrained(model, folder)
        # In 4 bits the sum would be rounded as coarsely as the weights were.
        model = model.merge_and_unload() if base.quantize == "none" else model
    else:
        replace_weights(model, folder)
    model.requires_grad_(False)
    if packed:
        use_packed_attention(model, "score")
    device = device_name()
    if (device == "cpu" or packed) and cannot_be_fused(model) is None:
        fuse_layers(model)
    accounts = [entry["acct_code"] for entry in label_map["accounts"]]
    return TrainedModel(model.to(device).eval(), accounts, packed)


def replace_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights in `folder`, which a training without adapters saved, into `model`."""
    for path in sorted(folder.glob("*.safetensors")):
        weights = load_file(path)
        if unknown := model.load_state_dict(weights, strict=False).unexpected_keys:
            raise UserError(
                "damaged-model",
                path,
                f"has the weights {unknown[0]}, which the base model lacks",
                "train it again with 'dvc repro train'",
            )


def score_rows(
    trained: TrainedModel,
    input_ids: Sequence[Sequence[int]],
    batch_tokens: int,
    threads: int | None,
    description: str,
) -> np.ndarray:
    """Return the logits of every account for every row.

    Identical prompts are scored once. On a CPU each batch has a thread of its own, and a shape that
    depends on the length of its rows alone. So the scores of a row depend neither on the number of
    threads nor on the other rows.

    Parameters
    ----------
    trained : TrainedModel
    input_ids : sequence of sequence of int
        Prompts.
    batch_tokens : int
        Most tokens in one forward pass, padding included.
    threads : int or None
        On a CPU; None: all cores.
    description : str
        First words of the line that says how far it is.

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

    @torch.inference_mode()
    def score(batch: Batch) -> np.ndarray:
        torch.set_num_threads(1)  # of this thread only
        inputs = (packed_batch if trained.packed else padded_batch)(batch, distinct)
        inputs = {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in inputs.items()}
        found = trained.model(**inputs).logits.flatten(0, 1)
        return found[: len(batch.rows)].float().cpu().numpy()

    cut = batches_of_packed_rows if trained.packed else batches_of_fixed_shape
    batches = cut([len(ids) for ids in distinct], batch_tokens)
    pool = ThreadPoolExecutor(cpu_threads(threads) if device.type == "cpu" else 1)
    try:
        with Progress(description, len(distinct)) as progress:
            for batch, found in zip(batches, pool.map(score, batches), strict=True):
                logits[batch.rows] = found
                progress.update(len(batch.rows))
    finally:
        pool.shutdown(cancel_futures=True)
    return logits[[place[prompt] for prompt in prompts]]


def evaluate_model(
    trained: TrainedModel,
    prompts: Mapping[str, Sequence[Sequence[int]]],
    batch_tokens: int,
    threads: int | None,
) -> dict[str, np.ndarray]:
    """Return the logits of every account for the rows of each side.

    Parameters
    ----------
    trained : TrainedModel
    prompts : mapping of str to sequence of sequence of int
        By side, the prompts of its rows.
    batch_tokens : int
        Most tokens in one forward pass, padding included.
    threads : int or None
        On a CPU; None: all cores.

    Returns
    -------
    dict of str to ndarray of float32, (rows, K)
        By side, in the order of its rows.
    """
    return {
        side: score_rows(trained, input_ids, batch_tokens, threads, f"score {side}")
        for side, input_ids in prompts.items()
    }
