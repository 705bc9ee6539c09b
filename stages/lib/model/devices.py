"""What the processor of this machine must have for what the parameters ask."""

from pathlib import Path

import torch

from stages.lib.errors import UserError, first_line
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.model import ModelParams


def device_name() -> str:
    """Return ``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _emulates_bfloat16(dtype: str) -> bool:
    """Tell whether PyTorch would emulate products in `dtype`, many times slower than float32."""
    if dtype != "bfloat16" or device_name() == "cpu":
        return False
    return not torch.cuda.is_bf16_supported(including_emulation=False)


def check_bfloat16(model: ModelParams, deepspeed: DeepSpeedParams) -> None:
    """Raise a UserError if training is to compute in bfloat16, and the GPU has no such products."""
    if _emulates_bfloat16(model.dtype):
        more = ", and deepspeed.bf16.enabled to false" if deepspeed.enabled else ""
        raise UserError(
            "no-bfloat16",
            "params_train.yaml: model.dtype",
            f"{torch.cuda.get_device_name()} has no bfloat16",
            f"set it to float32{more}",
        )


def check_scoring(folder: Path, dtype: str) -> None:
    """Raise a UserError if the GPU has no products in the number format of a trained model.

    Parameters
    ----------
    folder : Path
        Of the trained model.
    dtype : str
        Number format of its base model.
    """
    if _emulates_bfloat16(dtype):
        raise UserError(
            "no-bfloat16",
            folder,
            f"trained with model.dtype: bfloat16, which {torch.cuda.get_device_name()} lacks",
            "set the environment variable CUDA_VISIBLE_DEVICES= (empty), which scores on the CPU, "
            "or train with model.dtype: float32",
        )


def check_packed(section: str, dtype: str) -> None:
    """Raise a UserError if this machine cannot take rows laid end to end.

    Parameters
    ----------
    section : str
        Of the parameters that ask for it.
    dtype : str
        Number format of the base model.
    """
    if device_name() == "cuda" and dtype == "bfloat16":
        return
    found = "there is no GPU" if device_name() == "cpu" else f"model.dtype is {dtype}"
    raise UserError(
        "cannot-pack",
        f"params_train.yaml: {section}.packed",
        f"needs a GPU and model.dtype: bfloat16, and {found}",
        "set it to false",
    )


def check_compiler() -> None:
    """Raise a UserError if PyTorch cannot compile for the device here."""
    from torch._dynamo.exc import TorchDynamoException  # takes two seconds

    try:
        torch.compile(torch.square)(torch.ones(2, device=device_name()))
    except TorchDynamoException as error:
        raise UserError(
            "cannot-compile",
            "params_train.yaml: training.compile",
            f"PyTorch cannot compile here: {first_line(error)}",
            "install a C++ compiler (and Triton for a GPU), or set it to false",
        ) from None
