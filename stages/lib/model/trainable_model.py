"""The model that is trained: the base model with LoRA adapters, or with all weights trainable."""

from collections.abc import Sequence

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn

from stages.lib.errors import UserError, first_line
from stages.lib.model.base_model import resolve_base_model
from stages.lib.model.label_head import load_base_model
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams


def instantiate_model(
    model: ModelParams, label_token_ids: Sequence[int], *, all_weights: bool, checkpointing: bool
) -> nn.Module:
    """Return the base model in training mode, with one logit for each label token.

    Parameters
    ----------
    model : ModelParams
    label_token_ids : sequence of int, length K
    all_weights : bool
        The weights themselves will be trained. They are float32 then, whatever ``model.dtype``
        says: a step of the optimizer would be lost in the rounding of bfloat16.
    checkpointing : bool
        Recompute activations in the backward pass.
    """
    stored = model.model_copy(update={"dtype": "float32"}) if all_weights else model
    loaded = load_base_model(resolve_base_model(model), stored, label_token_ids)
    if checkpointing:
        loaded.activation_checkpointing_enable({"use_reentrant": False})
    return loaded.train()


def linear_module_names(model: nn.Module) -> list[str]:
    """Return the last parts of the names of all linear modules, sorted."""
    linear = (name for name, part in model.named_modules() if isinstance(part, nn.Linear))
    return sorted({name.rpartition(".")[2] for name in linear})


def apply_peft_adapters(model: nn.Module, lora: LoraParams, base: ModelParams) -> PeftModel:
    """Return `model` with frozen weights and trainable LoRA adapters (Hu et al. 2021).

    Raises
    ------
    UserError
        No module of the model has one of the names in ``lora.target_modules``.
    """
    settings = lora.model_dump(exclude={"enabled", "train_label_head"})
    if lora.train_label_head:
        head = model.get_output_embeddings()
        settings["modules_to_save"] = [name for name, part in model.named_modules() if part is head]
    try:
        adapted = get_peft_model(model, LoraConfig(**settings))
    except ValueError as error:
        raise UserError(
            "unsuitable-modules",
            "params.yaml: lora.target_modules",
            f"{lora.target_modules} does not fit {base.name}: {first_line(error)[:120]}",
            f"its linear modules are {', '.join(linear_module_names(model))}",
        ) from None
    # The weights of the adapters are float32. Autocast rounds them for each product, which is a
    # sixth faster than widening the activations to float32, as peft would.
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def unfreeze(model: nn.Module, train_label_head: bool) -> nn.Module:
    """Return `model` with all weights trainable, the label head only if `train_label_head`."""
    model.requires_grad_(True)
    model.get_output_embeddings().requires_grad_(train_label_head)
    return model
