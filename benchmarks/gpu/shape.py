"""Speed and memory of training a model of Qwen3-4B's shape, with random weights.

    python -m benchmarks.gpu.shape VARIANT [--tiny]

A part of the GPU kit, see benchmarks/gpu/README.md; without a variant it lists them. The last line
that it prints is its result, as JSON. LoRA is as in params.yaml, on q, k, v and o. The share of the
peak is 4 FLOPs for each token and parameter of the layers (forward, and backward through frozen
weights), divided by what a bare matrix product of bfloat16 reaches on the same device.
"""

import argparse
import json
from time import perf_counter

import numpy as np
import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from benchmarks.gpu.machine import (
    WARM_UP_STEPS,
    Clock,
    Rows,
    device,
    peak_memory,
    row_attention,
)
from benchmarks.gpu.training import fuse_or_stop, train
from stages.lib.model.deepspeed_config import configure_deepspeed
from stages.lib.model.label_head import LabelHead
from stages.lib.model.packed_rows import use_packed_attention
from stages.lib.model.processes import name_single_process
from stages.lib.model.trainable_model import apply_peft_adapters
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.training import TrainingParams

QWEN3_4B = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
TINY = {
    **QWEN3_4B,
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
ACCOUNTS = 226
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
# Rows or tokens of a step; compiled, checkpointing, ZeRO-2 with offload, weights in 4 bits, layers
# as peft has them instead of fused ones.
VARIANTS = {
    "padded-256": {"rows": 256},
    "packed-8192": {"tokens": 8192},
    "packed-8192-compiled": {"tokens": 8192, "compiled": True},
    "packed-8192-peft": {"tokens": 8192, "peft": True},
    "packed-8192-peft-compiled": {"tokens": 8192, "peft": True, "compiled": True},
    "recipe": {"rows": 4, "checkpointing": True, "zero2": True},
    "packed-16384-checkpointing": {"tokens": 16384, "checkpointing": True},
    "packed-16384-checkpointing-compiled": {
        "tokens": 16384,
        "checkpointing": True,
        "compiled": True,
    },
    "padded-256-checkpointing": {"rows": 256, "checkpointing": True},
    "packed-8192-zero2": {"tokens": 8192, "zero2": True},
    "packed-8192-nf4": {"tokens": 8192, "nf4": True},
    "packed-8192-nf4-checkpointing": {"tokens": 8192, "nf4": True, "checkpointing": True},
}


def matrix_peak() -> float:
    """Return the FLOP/s of a bare matrix product in bfloat16."""
    size = 8192 if device() == "cuda" else 512
    a, b = (torch.randn(size, size, device=device(), dtype=torch.bfloat16) for _ in range(2))

    def seconds(times: int) -> float:
        start = perf_counter()
        for _ in range(times):
            a @ b
        if device() == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start

    seconds(3)
    return 10 * 2 * size**3 / seconds(10)


def random_rows(n_rows: int, vocabulary: int) -> Rows:
    """Return random rows with prompts as long as the sample's: 37 tokens on average."""
    random = np.random.default_rng(0)
    lengths = random.normal(37, 7, n_rows).clip(12, 96).astype(int)
    ids = [random.integers(0, vocabulary, length) for length in lengths]
    return Rows(ids, random.integers(0, ACCOUNTS, n_rows))


def quantize_layers(model: nn.Module) -> None:
    """Turn the linear modules of the layers into those of 4 bits, one by one."""
    import bitsandbytes as bnb

    for layer in model.get_decoder().layers:
        for name, linear in list(layer.named_modules()):
            if type(linear) is not nn.Linear:
                continue
            coarse = bnb.nn.Linear4bit(
                *(linear.in_features, linear.out_features),
                bias=False,
                compute_dtype=torch.bfloat16,
                quant_type="nf4",
                device="meta",
            )
            weight = linear.weight.data.cpu()
            coarse.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
            parent, _, last = name.rpartition(".")
            setattr(layer.get_submodule(parent), last, coarse.to(device()))
    model.is_loaded_in_4bit = True


def make_model(shape: dict, variant: dict) -> Qwen3ForCausalLM:
    """Return a model with random weights in bfloat16, with a head of label tokens."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device()):
            config = Qwen3Config(**shape, use_cache=False, attn_implementation="sdpa")
            model = Qwen3ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.set_output_embeddings(LabelHead(model.get_output_embeddings(), range(ACCOUNTS)))
    model.config.tie_word_embeddings = False
    model.n_weights = sum(w.numel() for n, w in model.named_parameters() if "layers" in n)
    if variant.get("nf4"):
        quantize_layers(model)
    if variant.get("checkpointing"):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return model.train()


def measure(variant: dict, tiny: bool, steps: int) -> dict[str, float]:
    """Train one variant; return rows and tokens a second, share of the peak, and memory."""
    if variant.get("zero2"):
        name_single_process()
    params = load_params(
        lora=LoraParams, model=ModelParams, deepspeed=DeepSpeedParams, training=TrainingParams
    )
    shape = TINY if tiny else QWEN3_4B
    packed = "tokens" in variant
    tokens = variant.get("tokens", 0) // (16 if tiny else 1)
    rows_a_step = tokens // 38 if packed else min(variant["rows"], 8 if tiny else 256)
    training = params.training.model_copy(
        update={
            "packed": packed,
            "train_batch_tokens": tokens or None,
            "per_device_train_batch_size": rows_a_step,
            "gradient_accumulation_steps": 1,
        }
    )
    bf16 = params.deepspeed.bf16.model_copy(update={"enabled": True})
    zero2 = params.deepspeed.model_copy(
        update={"enabled": bool(variant.get("zero2")), "bf16": bf16}
    )
    peak = matrix_peak()
    model = make_model(shape, variant)
    n_weights = model.n_weights
    lora = params.lora.model_copy(update={"target_modules": ATTENTION})
    model = apply_peft_adapters(model, lora, params.model)
    if packed:
        use_packed_attention(model, "training", row_attention())
    if packed and not (variant.get("nf4") or variant.get("peft")):
        fuse_or_stop(model, bool(variant.get("compiled")))
    elif variant.get("compiled"):
        for layer in model.get_decoder().layers:
            layer.compile(backend="aot_eager" if tiny else "inductor")
    rows = random_rows(rows_a_step * (steps + WARM_UP_STEPS), shape["vocab_size"])
    clock = Clock()
    n = train(model, rows, training, clock=clock, deepspeed=configure_deepspeed(zero2, training))
    rate = len(rows) * (clock.steps - WARM_UP_STEPS) / n / clock.seconds
    tokens_a_second = rate * float(np.mean(rows.lengths))
    return {
        "rows": rate,
        "tokens": tokens_a_second,
        "share": 4 * n_weights * tokens_a_second / peak,
        "memory": peak_memory(),
        "peak": peak / 1e12,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.shape", description=__doc__.splitlines()[0]
    )
    parser.add_argument("variant", choices=VARIANTS, nargs="?", help="none: list them")
    parser.add_argument("--tiny", action="store_true", help="two small layers")
    parser.add_argument("--steps", type=int, help="steps that are timed (12; 2 with --tiny)")
    arguments = parser.parse_args()
    if arguments.variant is None:
        print("\n".join(VARIANTS))
        return
    logging.set_verbosity_error()
    steps = arguments.steps or (2 if arguments.tiny else 12)
    print(json.dumps(measure(VARIANTS[arguments.variant], arguments.tiny, steps)))


if __name__ == "__main__":
    main()
