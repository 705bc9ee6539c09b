"""One training of the GPU kit, by the pipeline's own trainer."""

import tempfile
from functools import partial

import torch
from transformers import TrainingArguments

from benchmarks.gpu.machine import Clock, Rows
from stages.lib.model.batches import collate
from stages.lib.model.deepspeed_config import compile_nothing
from stages.lib.model.fused_layers import cannot_be_fused, fuse_layers
from stages.lib.model.optimizer import configure_optimizer
from stages.lib.model.trainer import LabelTrainer
from stages.lib.params.training import TrainingParams


def fuse_or_stop(model: torch.nn.Module, compiled: bool = False) -> None:
    """Fuse the decoder layers; one that would be measured unfused ends the part."""
    if reason := cannot_be_fused(model):
        raise RuntimeError(f"the layers cannot be fused: {reason}")
    fuse_layers(model, compiled)


def train(
    model: torch.nn.Module,
    rows: Rows,
    training: TrainingParams,
    *,
    clock: Clock,
    deepspeed: dict | None = None,
    bf16: bool = True,
    **settings,
) -> int:
    """Train `model` on `rows`; return the number of steps.

    Parameters
    ----------
    model : nn.Module
    rows : Rows
    training : TrainingParams
        Their ``packed``, ``train_batch_tokens`` and the like shape the batches.
    clock : Clock
        Takes the times.
    deepspeed : dict or None
        As `configure_deepspeed` returns it.
    bf16 : bool
    **settings
        Further arguments of the Trainer.
    """
    if deepspeed:
        compile_nothing()
    names = ("learning_rate", "max_grad_norm", "weight_decay", "num_train_epochs", "seed")
    names += ("per_device_train_batch_size", "warmup_steps", "lr_scheduler_type")
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            deepspeed=deepspeed,
            bf16=bf16,
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=["labels"],
            **{name: getattr(training, name) for name in names},
            **{"logging_strategy": "no", **settings},
        )
        trainer = LabelTrainer(
            label_smoothing=training.label_smoothing,
            train_batch_tokens=training.train_batch_tokens,
            packed=training.packed,
            make_optimizer=partial(configure_optimizer, training=training),
            row_threads=1,
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
            callbacks=[clock],
        )
        if trainer.is_deepspeed_enabled != (deepspeed is not None):
            raise RuntimeError(f"DeepSpeed is {'on' if deepspeed is None else 'off'}")
        trainer.train()
        return trainer.state.global_step
