"""What the processor of this machine must have for what the parameters ask."""

import torch

from stages.lib.errors import UserError
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.model import ModelParams


def device_name() -> str:
    """Return ``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_bfloat16(model: ModelParams, deepspeed: DeepSpeedParams) -> None:
    """Raise a UserError if training is to compute in bfloat16, and the GPU has no such products.

    PyTorch would emulate them, many times slower than float32.
    """
    if model.dtype != "bfloat16" or device_name() == "cpu":
        return
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        more = ", and deepspeed.bf16.enabled to false" if deepspeed.enabled else ""
        raise UserError(
            "no-bfloat16",
            "params_train.yaml: model.dtype",
            f"{torch.cuda.get_device_name()} has no bfloat16",
            f"set it to float32{more}",
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
