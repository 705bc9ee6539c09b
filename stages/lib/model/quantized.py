"""Frozen base weights in 4 bits (QLoRA, Dettmers et al. 2023), by bitsandbytes.

The adapters and the label head are trained as ever. Only the linear modules of the decoder layers
are quantized. bitsandbytes is no dependency of the project: it is imported here alone.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from stages.lib.errors import UserError
from stages.lib.params.model import ModelParams

REQUIREMENTS = Path("requirements-quantize.txt")
PACKAGE = "bitsandbytes"


def quantized_loading(model: ModelParams) -> dict[str, object]:
    """Return the arguments with which transformers loads the base model as `model` says.

    Raises
    ------
    UserError
        bitsandbytes is not installed.
    """
    if model.quantize == "none":
        return {}
    if find_spec(PACKAGE) is None:
        raise UserError(
            "missing-package",
            "params_train.yaml: model.quantize",
            f"{model.quantize} needs the package {PACKAGE}, which is not installed",
            f"run 'pip install -r {REQUIREMENTS}', or set it to none",
        )
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.quantize,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, model.dtype),
    )
    cuda = torch.cuda.is_available()
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu"
    return {"quantization_config": config, "device_map": {"": device}}


def compute_as_in_training(model: nn.Module) -> None:
    """Switch off the form that bitsandbytes gives weights on a CPU when the model is not training.

    That form is never undone: after a validation the training would go on without the gradient of
    the frozen part. It also rounds differently, so scores would not be those of the training.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
