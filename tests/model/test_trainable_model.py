"""The model that is trained: what is frozen, what is not, and in which precision."""

import pytest
import torch
from base_models import model_params
from project import ROOT
from refusals import refused
from transformers import AutoModelForCausalLM

from stages.lib.model.trainable_model import (
    apply_peft_adapters,
    instantiate_model,
    linear_module_names,
    unfreeze,
)
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams

LABELS = [300, 17, 301, 450]


def lora(**values) -> LoraParams:
    return load_params(ROOT, lora=LoraParams).lora.model_copy(update=values)


def instantiate(tiny_model, dtype="float32", all_weights=False, checkpointing=False):
    params = model_params(tiny_model, dtype=dtype)
    return instantiate_model(params, LABELS, all_weights=all_weights, checkpointing=checkpointing)


def trainable(model) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_weights_that_are_trained_are_float32_and_frozen_ones_as_configured(tiny_model):
    for all_weights, expected in ((False, torch.bfloat16), (True, torch.float32)):
        model = instantiate(tiny_model, "bfloat16", all_weights)
        assert model.get_input_embeddings().weight.dtype == expected
        assert model.training


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_recomputed_where_it_is_set(tiny_model, checkpointing):
    model = instantiate(tiny_model, checkpointing=checkpointing)
    calls = []
    model.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda *args: calls.append(1))
    inputs = model.get_input_embeddings()(torch.tensor([[5, 6]])).requires_grad_()
    model(inputs_embeds=inputs).logits.sum().backward()
    assert len(calls) == 1 + checkpointing


@pytest.mark.parametrize("head", [True, False])
def test_adapters_train_on_frozen_weights_and_the_label_head_where_it_is_set(tiny_model, head):
    model = apply_peft_adapters(
        instantiate(tiny_model), lora(train_label_head=head), model_params(tiny_model)
    )
    found = trainable(model)
    heads = {name for name in found if "lm_head" in name}
    assert len(heads) == head
    linear = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(found - heads) == 2 * 2 * len(linear)  # two matrices, two layers
    assert all(".lora_A." in name or ".lora_B." in name for name in found - heads)


def test_all_weights_train_and_the_label_head_where_it_is_set(tiny_model):
    for head in (True, False):
        model = unfreeze(instantiate(tiny_model, all_weights=True), head)
        frozen = {name for name, _ in model.named_parameters()} - trainable(model)
        assert frozen == (set() if head else {"lm_head.weight"})


def test_target_modules_that_the_model_lacks_are_refused(tiny_model):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with refused("unsuitable-modules", "lora.target_modules", "c_attn", "gate_proj") as caught:
        apply_peft_adapters(model, lora(target_modules=["c_attn"]), model_params(tiny_model))
    assert "\n" not in str(caught.value)
    assert "q_proj" in linear_module_names(model)


def test_peft_does_not_widen_what_autocast_rounds_again(tiny_model):
    """Guards ``LoraLayer.cast_input_dtype_enabled``: adapters are fed as the layers are."""
    model = apply_peft_adapters(
        instantiate(tiny_model, "bfloat16"), lora(), model_params(tiny_model)
    )
    layer = model.base_model.model.model.layers[1].mlp.down_proj
    seen = []
    layer.lora_A["default"].register_forward_pre_hook(
        lambda module, args: seen.append(args[0].dtype)
    )
    for widen in (False, True):
        assert layer.cast_input_dtype_enabled is False
        layer.cast_input_dtype_enabled = widen
        with torch.autocast("cpu", torch.bfloat16):
            model(input_ids=torch.tensor([[5, 6, 7]]))
        layer.cast_input_dtype_enabled = False
    assert seen == [torch.bfloat16, torch.float32]
