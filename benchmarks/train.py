"""Speed of training: rows a second, against TRL's SFTTrainer on the same rows.

    python -m benchmarks.train [--steps 25]             # needs pip install trl==1.16.0
    python -m benchmarks.train --variants [--steps 25]  # with one thing changed

Run it after ``dvc repro tokenize``, on an idle machine. It writes nothing.

Both train the same base model on the same rows, with the same LoRA settings, batch size, number
format and optimizer. TRL learns the account's code after the prompt (completion-only loss): with
its defaults and without its gradient checkpointing, on our compact lower-case prompts and on
field-named upper-case ones. Each TRL run is paired with a run of ours in the same process. The
first steps are not timed.
"""

import argparse
import json
import tempfile
from functools import partial
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from stages.lib.contracts.names import LABEL, ROW_ID
from stages.lib.contracts.split import side_path
from stages.lib.contracts.tokenize import FOLDER, LABEL_MAP
from stages.lib.model.base_model import resolve_base_model
from stages.lib.model.fused_layers import fuse_layers
from stages.lib.model.optimizer import configure_optimizer
from stages.lib.model.row_threads import cpu_threads
from stages.lib.model.tokenized import load_side
from stages.lib.model.trainable_model import apply_peft_adapters, instantiate_model
from stages.lib.model.trainer import LabelTrainer
from stages.lib.model.training_run import collate
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.training import TrainingParams
from stages.lib.tables import read_table

WARM_UP_STEPS = 5


class Clock(TrainerCallback):
    """Time the steps after the warm-up."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == WARM_UP_STEPS:
            self.start = perf_counter()
        elif state.global_step == state.max_steps:
            self.rows_per_second = (state.max_steps - WARM_UP_STEPS) * args.train_batch_size
            self.rows_per_second /= perf_counter() - self.start


def common(params: SimpleNamespace, folder: str, steps: int) -> dict:
    """Return the arguments that both trainers get."""
    training = params.training
    return {
        "output_dir": folder,
        "max_steps": steps + WARM_UP_STEPS,
        "per_device_train_batch_size": training.per_device_train_batch_size,
        "learning_rate": training.learning_rate,
        "bf16": params.model.dtype == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "save_strategy": "no",
        "seed": training.seed,
        "disable_tqdm": True,
        "logging_strategy": "no",
    }


def rate(trainer) -> float:
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    return clock.rows_per_second


def ours(
    params: SimpleNamespace,
    steps: int,
    rows: Dataset,
    fused: bool = True,
    row_threads: int | None = None,
    **switches,
) -> float:
    """Return the rows a second of our training.

    Parameters
    ----------
    params : SimpleNamespace
    steps : int
        That are timed.
    rows : Dataset
        Of the training.
    fused : bool
        Run the decoder layers fused.
    row_threads : int or None
        Threads that have rows of their own; None: all.
    **switches
        Arguments of the Trainer.
    """
    set_seed(params.training.seed)
    label_map = json.loads((FOLDER / LABEL_MAP).read_text(encoding="utf-8"))
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]
    model = instantiate_model(
        params.model,
        token_ids,
        all_weights=False,
        checkpointing=params.training.gradient_checkpointing,
    )
    model = apply_peft_adapters(model, params.lora, params.model)
    if fused:
        fuse_layers(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            **{**common(params, folder, steps), **switches},
            remove_unused_columns=False,
            label_names=["labels"],
        )
        trainer = LabelTrainer(
            label_smoothing=params.training.label_smoothing,
            train_batch_tokens=params.training.train_batch_tokens,
            packed=False,
            make_optimizer=partial(configure_optimizer, training=params.training),
            row_threads=row_threads or cpu_threads(params.training.threads),
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
        )
        return rate(trainer)


def theirs(params: SimpleNamespace, steps: int, rows: Dataset, checkpointing: bool | None) -> float:
    """Return the rows a second of TRL; `checkpointing` None leaves its default."""
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    set_seed(params.training.seed)
    base = resolve_base_model(params.model)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, params.model.dtype))
    excluded = {"enabled", "train_label_head"}
    switch = {} if checkpointing is None else {"gradient_checkpointing": checkpointing}
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                **common(params, folder, steps), **switch, completion_only_loss=True, max_length=512
            ),
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=LoraConfig(**params.lora.model_dump(exclude=excluded)),
        )
        return rate(trainer)


def with_codes(prompts: list[list[int]], codes: list[str], tokenizer) -> Dataset:
    """Return TRL's rows: each prompt, followed by the account's code and the end mark."""
    answers = [[*tokenizer(code)["input_ids"], tokenizer.eos_token_id] for code in codes]
    pairs = list(zip(prompts, answers, strict=True))
    return Dataset.from_dict(
        {
            "input_ids": [[*prompt, *answer] for prompt, answer in pairs],
            "completion_mask": [[0] * len(prompt) + [1] * len(answer) for prompt, answer in pairs],
        }
    )


def field_named(table, fields: list[str], tokenizer) -> list[list[int]]:
    """Return prompts as a first attempt would write them: upper case, a line for each field."""
    rows = table.select(fields).to_pylist()
    texts = [
        "".join(f"{name.upper()}: {value.upper()}\n" for name, value in row.items()) + "ACCOUNT: "
        for row in rows
    ]
    return tokenizer(texts)["input_ids"]


def variants(params: SimpleNamespace, steps: int, rows: Dataset) -> None:
    """Print the speed of training with things changed, each after a run as it is."""
    changes = {
        "threads share each operator": {"row_threads": 1},
        "layers not fused, threads share each operator": {"fused": False, "row_threads": 1},
        "batches of 8 rows": {"per_device_train_batch_size": 8},
        "batches of 64 rows": {"per_device_train_batch_size": 64},
    }
    for name, change in changes.items():
        first, changed = ours(params, steps, rows), ours(params, steps, rows, **change)
        print(
            f"as it is {first:.1f} rows/s; {name} {changed:.1f} rows/s; {changed / first:.2f}",
            flush=True,
        )
    pairs = list(zip(map(tuple, rows["input_ids"]), rows["label"], strict=True))
    print(f"rows that repeat a prompt and its account: {1 - len(set(pairs)) / len(pairs):.1%}")


def against_trl(params: SimpleNamespace, steps: int, rows: Dataset) -> None:
    """Print the speed of TRL on both kinds of prompts, each beside a run of ours."""
    table = read_table(side_path("train"))
    assert table[ROW_ID].to_pylist() == list(rows["row_id"])
    tokenizer = AutoTokenizer.from_pretrained(resolve_base_model(params.model))
    label_map = json.loads((FOLDER / LABEL_MAP).read_text(encoding="utf-8"))
    codes = table[LABEL].to_pylist()
    named = field_named(table, label_map["prompt"]["fields"], tokenizer)
    prompts = {"compact prompts": list(rows["input_ids"]), "field-named prompts": named}
    for name, ids in prompts.items():
        print(f"{name}: {np.mean([len(row) for row in ids]):.1f} tokens a row")
    for name, ids in prompts.items():
        for checkpointing in (None, False):
            first = ours(params, steps, rows)
            found = theirs(params, steps, with_codes(ids, codes, tokenizer), checkpointing)
            kind = "defaults" if checkpointing is None else "no gradient checkpointing"
            print(
                f"ours {first:.1f} rows/s; TRL, {name}, {kind}: {found:.2f} rows/s; "
                f"{first / found:.1f} times as fast",
                flush=True,
            )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train", description="Speed of training, against TRL."
    )
    parser.add_argument("--steps", type=int, default=25, help="steps that are timed (25)")
    parser.add_argument(
        "--variants",
        action="store_true",
        help="instead of TRL: ours with one thing changed, against ours as it is",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    logging.set_verbosity_error()
    params = load_params(lora=LoraParams, model=ModelParams, training=TrainingParams)
    measure = variants if arguments.variants else against_trl
    measure(params, arguments.steps, load_side("train"))


if __name__ == "__main__":
    main()
