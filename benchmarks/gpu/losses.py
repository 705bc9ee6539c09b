"""Whether ZeRO-2 on this device gives the losses of plain training, step by step.

    python -m benchmarks.gpu.losses [--tiny]

A part of the GPU kit, see benchmarks/gpu/README.md. The same small model is trained on the same
rows without DeepSpeed, and under ZeRO-2 with the optimizer on the CPU and on the device, in
float32. The last line that it prints is its result, as JSON.
"""

import argparse
import json
import subprocess
import sys

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

KINDS = ("plain", "zero2-cpu", "zero2-none")  # without DeepSpeed; where the optimizer is


def losses(kind: str, n_steps: int) -> list[float]:
    """Return the loss of each step."""
    params = load_params(
        lora=LoraParams, model=ModelParams, deepspeed=DeepSpeedParams, training=TrainingParams
    )
    section = params.deepspeed.model_dump() | {"enabled": kind != "plain"}
    section["bf16"] = {"enabled": False}
    section["zero_optimization"] |= {"stage": 2, "offload_param": {"device": "none"}}
    device_of_optimizer = "cpu" if kind == "zero2-cpu" else "none"
    section["zero_optimization"]["offload_optimizer"] = {"device": device_of_optimizer}
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**TINY, use_cache=False)).to(device())
    model.set_output_embeddings(LabelHead(model.get_output_embeddings(), range(ACCOUNTS)))
    model.config.tie_word_embeddings = False
    lora = params.lora.model_copy(update={"lora_dropout": 0.0})
    model = apply_peft_adapters(model.train(), lora, params.model)
    values = {
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": n_steps / 2,
        "learning_rate": 5e-3,
        "warmup_steps": 2,
    }
    training = params.training.model_copy(
        update={**values, "packed": False, "train_batch_tokens": None}
    )
    deepspeed = configure_deepspeed(DeepSpeedParams(**section), training)
    if deepspeed:
        name_single_process()
    clock = Clock()
    rows = random_rows(32, TINY["vocab_size"])
    logs = {"logging_strategy": "steps", "logging_steps": 1, "logging_nan_inf_filter": False}
    train(model, rows, training, clock=clock, deepspeed=deepspeed, bf16=False, **logs)
    return clock.losses


def losses_apart(kind: str, n_steps: int) -> list[float]:
    """Return the losses from a process of its own: accelerate keeps DeepSpeed on or off."""
    command = [sys.executable, "-m", "benchmarks.gpu.losses", kind, "--steps", str(n_steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        sys.exit(f"Error: {kind} failed")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.losses", description=__doc__.splitlines()[0]
    )
    parser.add_argument("kind", nargs="?", choices=KINDS, help="print these losses alone")
    parser.add_argument("--steps", type=int, default=40, help="steps of each training (40)")
    parser.add_argument("--tiny", action="store_true", help="6 steps")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    n_steps = 6 if arguments.tiny else arguments.steps
    if arguments.kind:
        print(json.dumps(losses(arguments.kind, n_steps)))
        return
    plain, *others = (losses_apart(kind, n_steps) for kind in KINDS)
    if {len(found) for found in (plain, *others)} != {n_steps}:
        sys.exit(f"Error: {n_steps} steps have {[len(f) for f in (plain, *others)]} losses")
    away = [max(abs(a - b) / b for a, b in zip(found, plain, strict=True)) for found in others]
    remark = (
        f"{n_steps} losses from {plain[0]:.4f} to {plain[-1]:.4f}; the largest difference under "
        f"ZeRO-2 is {away[0]:.1e} with the optimizer on the CPU, {away[1]:.1e} on the device"
    )
    if max(away) > 1e-3:
        sys.exit(f"Error: the losses differ: {remark}")
    print(json.dumps({"remark": remark}))


if __name__ == "__main__":
    main()
