"""Small random models with adapters in which no weight is zero."""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

KINDS = {"llama": LlamaConfig, "qwen3": Qwen3Config}
SMALL = {"vocab_size": 97, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}


def base_model(kind: str, **config) -> nn.Module:
    """Return a small random model with two query heads for each key head, and norms not all 1."""
    torch.manual_seed(0)
    settings = {"use_cache": False, "initializer_range": 0.2, "attn_implementation": "eager"}
    model = AutoModelForCausalLM.from_config(KINDS[kind](**SMALL | settings | config))
    for name, weight in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(weight, 1, 0.3)
    return model


def with_adapters(model: nn.Module, adapter_name: str = "default", **lora) -> PeftModel:
    """Return `model` with LoRA adapters in which no weight is zero."""
    settings = {"r": 3, "lora_alpha": 7, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    torch.manual_seed(1)
    model = get_peft_model(model, LoraConfig(**settings | lora), adapter_name)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    return model
