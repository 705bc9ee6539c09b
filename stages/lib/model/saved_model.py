"""Save a trained model: adapter or weights, label map and manifest."""

import json
import shutil
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from peft import PeftModel
from torch import nn

from stages.lib.model.manifest import installed_version, library_versions, write_manifest
from stages.lib.model.processes import is_main_process
from stages.lib.model.quantized import PACKAGE
from stages.lib.params.model import ModelParams


def trained_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the trained weights on the CPU, whole, in the precision they were trained in.

    DeepSpeed shares the float32 weights out among the ranks, so all ranks must call this. Only the
    main one gets the weights.
    """
    weights = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        whole = weight.detach()
        if hasattr(weight, "_hp_mapping") or hasattr(weight, "ds_id"):
            from deepspeed.utils import safe_get_full_fp32_param

            whole = safe_get_full_fp32_param(weight)
        if is_main_process():
            weights[name] = whole.to("cpu", copy=True).contiguous()
    return weights


def save_adapter(
    model: PeftModel, weights: dict[str, torch.Tensor], base: ModelParams, folder: Path
) -> None:
    """Write the LoRA adapter to `folder`: the same bytes for the same weights."""
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config_path = folder / "adapter_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.name, "revision": base.revision}
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft keeps a set, whose order differs from run to run
    config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_model(
    model: nn.Module,
    weights: dict[str, torch.Tensor],
    base: ModelParams,
    label_map: Path,
    folder: Path,
) -> None:
    """Write a trained model to `folder`, in place of what was there.

    Parameters
    ----------
    model : nn.Module
    weights : dict of str to Tensor
        As `trained_weights` returns them.
    base : ModelParams
        The base model, its revision pinned.
    label_map : Path
        The file that is saved with the model.
    folder : Path
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if isinstance(model, PeftModel):
        save_adapter(model, weights, base, folder)
    else:
        dtype = getattr(torch, base.dtype)
        save_torch_state_dict({name: w.to(dtype) for name, w in weights.items()}, folder)
    shutil.copyfile(label_map, folder / label_map.name)
    base_model = base.model_dump(exclude={"trust_remote_code"})
    versions = library_versions()
    if base.quantize != "none":
        versions[PACKAGE] = installed_version(PACKAGE)
    write_manifest(folder, versions, base_model=base_model)
