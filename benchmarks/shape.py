"""Speed and memory of training a model of Qwen3-4B's shape, with random weights.

    python -m benchmarks.shape [--rows 64] [--steps 30]

Run it on an idle machine with a GPU. Without one it trains a small shape, and the output says so.
It needs no weights and writes nothing.

Each variant runs in a process of its own: LoRA as in params.yaml, on q, k, v and o; with and
without gradient checkpointing; without DeepSpeed, and under ZeRO-2 with the optimizer on the CPU.
The share of the peak is 4 FLOPs for each parameter and token (forward, and the backward pass
through frozen weights), divided by what a bare matrix product of bfloat16 reaches on the same
device.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from functools import partial
from time import perf_counter

import numpy as np
import torch
from datasets import Dataset
from transformers import Qwen3Config, Qwen3ForCausalLM, TrainingArguments
from transformers.utils import logging

from benchmarks.train import WARM_UP_STEPS, rate
from stages.lib.model.deepspeed_config import configure_deepspeed
from stages.lib.model.label_head import LabelHead
from stages.lib.model.optimizer import configure_optimizer
from stages.lib.model.processes import name_single_process
from stages.lib.model.trainable_model import apply_peft_adapters
from stages.lib.model.trainer import LabelTrainer
from stages.lib.model.training_run import collate
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
SMALL = {
    **QWEN3_4B,
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
}
VARIANTS = {  # DeepSpeed, gradient checkpointing
    "plain": (False, False),
    "gradient checkpointing": (False, True),
    "ZeRO-2, offload": (True, False),
    "ZeRO-2, offload, gradient checkpointing": (True, True),
}
ACCOUNTS = 226
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def matrix_peak(device: str) -> float:
    """Return the FLOP/s of a bare matrix product in bfloat16."""
    size = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))

    def seconds(times: int) -> float:
        start = perf_counter()
        for _ in range(times):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start

    seconds(3)
    return 10 * 2 * size**3 / seconds(10)


def random_rows(n_rows: int) -> Dataset:
    """Return random rows with prompts as long as the sample's: 37 tokens on average."""
    random = np.random.default_rng(0)
    lengths = random.normal(37, 7, n_rows).clip(12, 96).astype(int)
    return Dataset.from_dict(
        {
            "input_ids": [random.integers(0, 150_000, length).tolist() for length in lengths],
            "label": random.integers(0, ACCOUNTS, n_rows).tolist(),
            "length": lengths.tolist(),
        }
    )


def make_model(device: str, checkpointing: bool) -> Qwen3ForCausalLM:
    """Return a model with random weights in bfloat16, with a head of label tokens."""
    with torch.device(device):
        config = Qwen3Config(**(QWEN3_4B if device == "cuda" else SMALL), use_cache=False)
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
        model.set_output_embeddings(LabelHead(model.get_output_embeddings(), range(ACCOUNTS)))
    model.config.tie_word_embeddings = False
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def train_rate(
    model: torch.nn.Module, training: TrainingParams, deepspeed: dict | None, data: Dataset
) -> float:
    """Return the rows a second of training `model` on `data`."""
    rows = training.per_device_train_batch_size
    with tempfile.TemporaryDirectory() as folder:
        trainer = LabelTrainer(
            label_smoothing=0.0,
            train_batch_tokens=None,
            make_optimizer=partial(configure_optimizer, training=training),
            row_threads=1,
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=len(data) // rows,
                per_device_train_batch_size=rows,
                learning_rate=training.learning_rate,
                max_grad_norm=training.max_grad_norm,
                deepspeed=deepspeed,
                bf16=True,
                use_cpu=not torch.cuda.is_available(),
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
                label_names=["labels"],
            ),
            train_dataset=data,
            data_collator=collate,
        )
        return rate(trainer)


def measure(variant: str, rows: int, steps: int) -> dict[str, float]:
    """Train one variant; return rows and tokens a second, share of the peak and memory."""
    with_deepspeed, checkpointing = VARIANTS[variant]
    if with_deepspeed:
        name_single_process()
    params = load_params(
        lora=LoraParams, model=ModelParams, deepspeed=DeepSpeedParams, training=TrainingParams
    )
    lora = params.lora.model_copy(update={"target_modules": ATTENTION})
    training = params.training.model_copy(
        update={"per_device_train_batch_size": rows, "gradient_accumulation_steps": 1}
    )
    deepspeed = configure_deepspeed(
        params.deepspeed.model_copy(update={"enabled": with_deepspeed}), training
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    peak = matrix_peak(device)
    model = make_model(device, checkpointing)
    n_weights = sum(w.numel() for n, w in model.named_parameters() if "layers" in n)
    model = apply_peft_adapters(model, lora, params.model)
    data = random_rows(rows * (steps + WARM_UP_STEPS))
    rows_per_second = train_rate(model, training, deepspeed, data)
    tokens_per_second = rows_per_second * float(np.mean(data["length"]))
    memory = (
        torch.cuda.max_memory_allocated()
        if device == "cuda"
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return {
        "rows": rows_per_second,
        "tokens": tokens_per_second,
        "share": 4 * n_weights * tokens_per_second / peak,
        "memory": memory / 1e9,
        "weights": n_weights / 1e9,
        "peak": peak / 1e12,
    }


def parse_arguments() -> argparse.Namespace:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shape",
        description="Speed and memory of training a model of Qwen3-4B's shape.",
    )
    parser.add_argument(
        "--rows", type=int, default=64 if cuda else 8, help="rows in a batch (64; 8 without a GPU)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=30 if cuda else 10,
        help="steps that are timed (30; 10 without a GPU)",
    )
    parser.add_argument("--variant", choices=VARIANTS, help="print this one as JSON (all, a table)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    logging.set_verbosity_error()
    rows, steps = arguments.rows, arguments.steps
    if arguments.variant:
        print(json.dumps(measure(arguments.variant, rows, steps)))
        return
    cuda = torch.cuda.is_available()
    where = torch.cuda.get_device_name() if cuda else "CPU: no GPU found, so a small shape"
    print(f"{where}; {rows} rows in a batch, {steps} steps after {WARM_UP_STEPS}")
    print(f"{'variant':42}{'rows/s':>9}{'tokens/s':>10}{'of peak':>9}{'GB':>7}")
    found = None
    for variant in VARIANTS:
        command = [sys.executable, "-m", "benchmarks.shape", "--variant", variant]
        command += ["--rows", str(rows), "--steps", str(steps)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            print(f"{variant:42}{why[:120]}", flush=True)
            continue
        found = json.loads(done.stdout.strip().splitlines()[-1])
        print(
            f"{variant:42}{found['rows']:9.1f}{found['tokens']:10.0f}{found['share']:9.1%}"
            f"{found['memory']:7.1f}",
            flush=True,
        )
    if found:
        print(f"{found['weights']:.2f} G weights in the layers, {found['peak']:.1f} TFLOP/s peak")


if __name__ == "__main__":
    main()
