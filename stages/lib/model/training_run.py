"""One run of the training loop, from the newest whole checkpoint if there is one."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import datasets
import numpy as np
import torch
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback, TrainingArguments

from stages.lib.model.batches import collate
from stages.lib.model.callbacks import (
    LiveMetrics,
    SealCheckpoints,
    TellLongWarmup,
    TellProgress,
)
from stages.lib.model.checkpoints import newest_sealed_checkpoint
from stages.lib.model.loss import validation_accuracy
from stages.lib.model.processes import is_main_process
from stages.lib.model.trainer import LabelTrainer
from stages.lib.params.training import TrainingParams

# Keys of the section ``training`` that are not arguments of the Trainer.
_OURS = {
    "launcher",
    "threads",
    "gradient_checkpointing",
    "label_smoothing",
    "train_batch_tokens",
    "packed",
    "compile",
    "max_eval_rows",
    "keep_best",
    "early_stopping_patience",
}


def fixed_subset(dataset: datasets.Dataset, max_rows: int, seed: int) -> datasets.Dataset:
    """Return at most `max_rows` rows, always the same ones, longest prompt first."""
    keep = np.random.default_rng(seed).permutation(len(dataset))[:max_rows]
    lengths = np.asarray(dataset["length"])[keep]
    return dataset.select(keep[np.lexsort((keep, -lengths))])


def training_arguments(
    training: TrainingParams, deepspeed: dict | None, bf16: bool, scratch: Path
) -> TrainingArguments:
    """Return the arguments of the Trainer.

    Parameters
    ----------
    training : TrainingParams
    deepspeed : dict or None
        As `configure_deepspeed` returns it.
    bf16 : bool
        Compute in bfloat16.
    scratch : Path
        Folder of the checkpoints.
    """
    best = {}
    if training.keep_best:
        best = {"metric_for_best_model": training.keep_best.replace("val_", "eval_")}
        best |= {"greater_is_better": training.keep_best == "val_accuracy"}
    arguments = TrainingArguments(
        output_dir=str(scratch),
        deepspeed=deepspeed,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        label_names=["labels"],
        logging_nan_inf_filter=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=True,  # `TellProgress` says it in one line
        **best,
        **training.model_dump(exclude=_OURS),
    )
    if arguments.n_gpu > 1:  # a process of its own for each is faster, and adds gradients exactly
        print(
            f"this process trains on 1 of {arguments.n_gpu} GPUs; training.launcher can start one "
            "for each",
            flush=True,
        )
        arguments._n_gpu = 1
    return arguments


def make_trainer(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    training: TrainingParams,
    arguments: TrainingArguments,
    sides: dict[str, datasets.Dataset],
    metrics: Path,
    row_threads: int,
) -> LabelTrainer:
    """Return the trainer of `model`; the parameters are those of `run_training`."""
    callbacks = [LiveMetrics(metrics), SealCheckpoints(), TellLongWarmup()]
    if training.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(training.early_stopping_patience))
    trainer = LabelTrainer(
        label_smoothing=training.label_smoothing,
        train_batch_tokens=training.train_batch_tokens,
        packed=training.packed,
        make_optimizer=make_optimizer,
        row_threads=row_threads,
        model=model,
        args=arguments,
        train_dataset=sides["train"],
        eval_dataset=sides["val"],
        data_collator=collate,
        compute_metrics=validation_accuracy,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # which prints raw dictionaries
    return trainer


def run_training(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    training: TrainingParams,
    arguments: TrainingArguments,
    sides: dict[str, datasets.Dataset],
    metrics: Path,
    row_threads: int,
) -> None:
    """Train `model` in place, and leave it with the weights that ``keep_best`` chooses.

    Parameters
    ----------
    model : nn.Module
        With trainable weights.
    make_optimizer : callable
        Returns the optimizer of a model.
    training : TrainingParams
    arguments : TrainingArguments
        Their ``output_dir`` is the folder of the checkpoints.
    sides : dict of {"train", "val"} to Dataset
        The training rows, and the validation rows that are used during training.
    metrics : Path
        Folder of the curves, which are written as the training proceeds.
    row_threads : int
        Threads that have rows of their own; 1: all share each operator.
    """
    trainer = make_trainer(model, make_optimizer, training, arguments, sides, metrics, row_threads)
    main = is_main_process()
    checkpoint = newest_sealed_checkpoint(Path(arguments.output_dir), clean=main)
    if checkpoint and main:
        print(f"resuming from {checkpoint.name}", flush=True)
    with closing(TellProgress()) as progress:
        trainer.add_callback(progress)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.best_model_checkpoint:
        trainer.load_best_model()
        if main:
            print(f"the best {training.keep_best} is that of step {trainer.state.best_global_step}")
