"""Whether ZeRO-2 on this device gives the losses of plain training, step by step.

    python -m benchmarks.gpu.losses [--tiny]

A part of the GPU kit, see benchmarks/gpu/README.md. The same small model is trained on the same
rows without DeepSpeed, and under ZeRO-2 with the optimizer on the CPU and on the device, in
float32. The last line that it prints is its result, as JSON.
"""

import argparse
import json

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from benchmarks.gpu.machine import Clock, device
from benchmarks.gpu.shape import ACCOUNTS, TINY, random_rows
from benchmarks.gpu.training import train
from stages.lib.model.deepspeed_config import configure_deepspeed
from stages.lib.model.label_head import LabelHead
from stages.lib.model.processes import name_single_process
from stages.lib.model.trainable_model import apply_peft_adapters
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.training import TrainingParams


def losses(offload: str | None, n_steps: int) -> list[float]:
    """Return the loss of each step; `offload` None: without DeepSpeed."""
    params = load_params(
        lora=LoraParams, model=ModelParams, deepspeed=DeepSpeedParams, training=TrainingParams
    )
    section = params.deepspeed.model_dump()
    section |= {"enabled": offload is not None, "bf16": {"enabled": False}}
    section["zero_optimization"]["offload_optimizer"]["device"] = offload or "none"
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**TINY, use_cache=False)).to(device())
    model.set_output_embeddings(LabelHead(model.get_output_embeddings(), range(ACCOUNTS)))
    model.config.tie_word_embeddings = False
    model = apply_peft_adapters(model.train(), params.lora, params.model)
    update = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 1}
    training = params.training.model_copy(update={**update, "packed": False})
    deepspeed = configure_deepspeed(DeepSpeedParams(**section), training)
    clock = Clock()
    rows = random_rows(16 * n_steps, TINY["vocab_size"])
    logs = {"logging_strategy": "steps", "logging_steps": 1, "logging_nan_inf_filter": False}
    train(model, rows, training, clock=clock, deepspeed=deepspeed, bf16=False, **logs)
    return clock.losses


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.losses", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--tiny", action="store_true", help="few steps")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    n_steps = 6 if arguments.tiny else 40
    plain = losses(None, n_steps)
    name_single_process()
    away = {}
    for offload in ("cpu", "none"):
        found = losses(offload, n_steps)
        if len(found) != len(plain):
            raise SystemExit(f"{len(found)} losses under ZeRO-2, {len(plain)} without")
        away[offload] = max(abs(a - b) / abs(b) for a, b in zip(found, plain, strict=True))
    remark = (
        f"{len(plain)} losses from {plain[0]:.4f} to {plain[-1]:.4f}; the largest difference under "
        f"ZeRO-2 is {away['cpu']:.1e} with the optimizer on the CPU, {away['none']:.1e} without"
    )
    if max(away.values()) > 1e-3:
        raise SystemExit(f"the losses differ: {remark}")
    print(json.dumps({"remark": remark}))


if __name__ == "__main__":
    main()
