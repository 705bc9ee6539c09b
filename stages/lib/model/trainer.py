"""The training loop: which rows a step takes, its loss, and what records, seals or stops it.

The Hugging Face Trainer with four things of our own: batches of rows of like length, the same rows
in a step however many processes share it; the loss over label tokens; the optimizer that is
configured, with and without DeepSpeed; and an end, with the step's number, to a run that has gone
wrong.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Trainer, TrainerCallback

from stages.lib.errors import UserError
from stages.lib.model.batches import batches_by_length
from stages.lib.model.checkpoints import drop_old_checkpoints, seal_checkpoint

# The loss ----------------------------------------------------------------------------------------


def label_loss(
    outputs, labels: torch.Tensor, num_items_in_batch=None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Return the cross-entropy over the accounts at the last position of each prompt.

    Parameters
    ----------
    outputs : ModelOutput
        ``logits`` (rows, 1, K).
    labels : Tensor of int64, (rows,)
        -1: the account has no training row; such a row has no loss.
    num_items_in_batch : int or Tensor, optional
        Rows of the whole optimizer step; the loss is their mean, over all its parts.
    label_smoothing : float
        Share of the target that is spread evenly over all accounts (Szegedy et al. 2016); in
        training only, so that the validation loss stays the plain one.
    """
    logits = outputs.logits[:, 0].float()
    smoothing = label_smoothing if torch.is_grad_enabled() else 0.0
    total = F.cross_entropy(
        logits, labels, ignore_index=-1, reduction="sum", label_smoothing=smoothing
    )
    return total / (num_items_in_batch if num_items_in_batch is not None else len(labels))


# Which rows a step takes -------------------------------------------------------------------------


def batches_of_rows(
    lengths: np.ndarray, rows: int, world_size: int, accumulation: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Return an epoch's batches of at most `rows` rows of like length, in random order.

    Rows are shuffled, sorted by length within 50 steps' worth and cut into steps, and the steps
    are shuffled; a step has the same rows whether one process takes it or several. What is left
    over makes the last step, dealt out as evenly as the ranks allow: each row is taken once.

    Parameters
    ----------
    lengths : ndarray of int, (n,)
        Tokens of each row; n is at least `world_size`.
    rows : int
        Rows in a batch.
    world_size : int
        Ranks, which take the batches in turn.
    accumulation : int
        Batches of each rank in one optimizer step.
    random : Generator

    Returns
    -------
    list of ndarray of int64
        Row indices; as many batches in every epoch, a multiple of `world_size`.
    """
    rows_per_step = rows * world_size * accumulation
    order = random.permutation(len(lengths))
    steps = []
    for start in range(0, len(order), 50 * rows_per_step):
        pool = order[start : start + 50 * rows_per_step]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        steps += [pool[i : i + rows_per_step] for i in range(0, len(pool), rows_per_step)]
    whole = [step for step in steps if len(step) == rows_per_step]
    shuffled = [whole[i] for i in random.permutation(len(whole))]
    rest = steps[-1] if len(steps[-1]) < rows_per_step else steps[-1][:0]
    if 0 < len(rest) < world_size:  # too few for a step of their own
        shuffled[-1], rest = np.concatenate([shuffled[-1], rest]), rest[:0]
    batches = [
        part for step in shuffled for part in np.array_split(step, world_size * accumulation)
    ]
    n_last = -(-len(rest) // rows)
    n_last = min(n_last + -n_last % world_size, len(rest) - len(rest) % world_size)
    return batches + (np.array_split(rest, n_last) if n_last else [])


def batches_of_tokens(
    lengths: np.ndarray,
    tokens: int,
    world_size: int,
    accumulation: int,
    random: np.random.Generator,
) -> list[np.ndarray]:
    """Return an epoch's batches of at most `tokens` tokens, padding included, in random order.

    The batches of one step are neighbours in length, so that no rank waits long for another. The
    other parameters and the result are those of `batches_of_rows`.
    """
    order = random.permutation(len(lengths))
    batches = [order[batch] for batch in batches_by_length(lengths[order], tokens)]
    if len(lengths) - len(batches) < -len(batches) % world_size:  # too few rows to halve batches
        last = len(batches) - len(batches) % world_size - 1
        batches[last:] = [np.concatenate(batches[last:])]  # the shortest rows
    while len(batches) % world_size:  # halve the largest one
        largest = int(np.argmax([len(batch) for batch in batches]))
        batches[largest : largest + 1] = np.array_split(batches[largest], 2)
    per_step = world_size * accumulation
    steps = [batches[i : i + per_step] for i in range(0, len(batches), per_step)]
    whole = [step for step in steps if len(step) == per_step]
    rest = [step for step in steps if len(step) < per_step]
    shuffled = [whole[i] for i in random.permutation(len(whole))]
    return [batch for step in shuffled + rest for batch in step]


class EpochBatches:
    """The batches of each epoch, the same ones after a resume; accelerate deals them to the ranks.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row.
    rows, tokens : int
        Size of a batch; `rows` has no effect where `tokens` is not None.
    world_size, accumulation, seed : int
    epoch : callable
        Returns the number of the epoch that begins. (The Trainer's own way to tell it does not
        reach the ranks of a run that goes on within an epoch.)
    """

    batch_size, drop_last = None, False  # accelerate asks for them; the batches differ in size

    def __init__(self, lengths, rows, tokens, world_size, accumulation, seed, epoch):
        cut = batches_of_rows if tokens is None else batches_of_tokens
        size = rows if tokens is None else tokens
        self._cut = partial(cut, np.asarray(lengths), size, world_size, accumulation)
        self._seed, self._epoch = seed, epoch

    def _batches(self) -> list[np.ndarray]:
        return self._cut(random=np.random.default_rng([self._seed, self._epoch()]))

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        return iter(batch.tolist() for batch in self._batches())


# The trainer -------------------------------------------------------------------------------------


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Tell whether `error` is what PyTorch raises when a device or the machine has no memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


class LabelTrainer(Trainer):
    """The Trainer with our loss, batches and optimizer, which stops where a run goes wrong.

    Parameters
    ----------
    label_smoothing : float
    train_batch_tokens : int or None
        Tokens in a batch; None: batches of ``per_device_train_batch_size`` rows.
    make_optimizer : callable
        Returns the optimizer of a model.
    **kwargs
        Of the Trainer. The training dataset has a column ``length``.
    """

    def __init__(self, *, label_smoothing, train_batch_tokens, make_optimizer, **kwargs):
        self.train_batch_tokens, self.make_optimizer = train_batch_tokens, make_optimizer
        loss = partial(label_loss, label_smoothing=label_smoothing)
        super().__init__(**kwargs, compute_loss_func=loss)
        # Else the first row of every pass would not count as an item of the loss, as if labels
        # were a text to be shifted by one: wrong by 1/rows, infinite for a pass of one row.
        self._loss_shifts_labels = False

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = self.make_optimizer(self.model)
        return self.optimizer

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        batches = EpochBatches(
            self.train_dataset["length"],
            self.args.per_device_train_batch_size,
            self.train_batch_tokens,
            self.args.world_size,
            self.args.gradient_accumulation_steps,
            self.args.seed,
            lambda: int(self.state.epoch or 0),
        )
        loader = torch.utils.data.DataLoader(
            self.train_dataset,
            batch_sampler=batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        with _uneven_batches(self.accelerator):
            return self.accelerator.prepare(loader)

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        rows, tokens = next(t.shape[:2] for name, t in inputs.items() if name.startswith("input"))
        try:
            return super().training_step(model, inputs, num_items_in_batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        raise UserError(
            f"step {self.state.global_step + 1}: out of memory with a batch of {rows} rows of "
            f"{tokens} tokens; lower training.per_device_train_batch_size (and raise "
            "training.gradient_accumulation_steps), set training.gradient_checkpointing: true, or "
            "lower tokenize.max_tokens; run again to go on from the last checkpoint"
        )

    def compute_loss(self, *args, **kwargs):
        found = super().compute_loss(*args, **kwargs)
        self._stop_unless_finite("loss", found[0] if isinstance(found, tuple) else found)
        return found

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if self.is_deepspeed_enabled and self.accelerator.optimizer_step_was_skipped:
            norm = float("nan")  # DeepSpeed passes over such a step, and keeps the norm before it
        if norm is not None:
            self._stop_unless_finite("gradient", torch.as_tensor(norm))
        return norm

    def _determine_best_metric(self, metrics, trial) -> bool:
        # Of itself the Trainer only finds the best of those steps that are saved anyway.
        self.control.should_save |= (best := super()._determine_best_metric(metrics, trial))
        return best

    def load_best_model(self) -> None:
        """Put the weights of the best validation in place of the last ones."""
        self._load_best_model()

    def _stop_unless_finite(self, what: str, value: torch.Tensor) -> None:
        if not torch.isfinite(value):
            raise UserError(
                f"step {self.state.global_step + 1}: the {what} is not a finite number; try a "
                "smaller training.learning_rate, more training.warmup_steps, or model.dtype: "
                "float32; the checkpoints before this step are kept"
            )


@contextmanager
def _uneven_batches(accelerator) -> Iterator[None]:
    """Let accelerate take batches of unlike size; there are as many for every rank anyway."""
    before = accelerator.dataloader_config.even_batches
    accelerator.dataloader_config.even_batches = False
    yield
    accelerator.dataloader_config.even_batches = before


# What watches it ---------------------------------------------------------------------------------


class LiveMetrics(TrainerCallback):
    """Record the curves with dvclive, by optimizer step; after a resume, from the start again.

    Parameters
    ----------
    folder : Path
        Of the stage's metrics.
    """

    NAMES: ClassVar = {
        "loss": "train_loss",
        "eval_loss": "val_loss",
        "eval_accuracy": "val_accuracy",
    }

    def __init__(self, folder: Path):
        self.folder = folder

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            from dvclive import Live

            self.live = Live(str(self.folder), dvcyaml=None, save_dvc_exp=False)
            for entry in state.log_history:
                self.record(entry, entry["step"])

    def record(self, logs: dict, step: int) -> None:
        found = {name: logs[key] for key, name in self.NAMES.items() if key in logs}
        if found:
            self.live.step = step
            for name, value in found.items():
                self.live.log_metric(name, value)
            self.live.make_summary()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            self.record(logs, state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            if state.best_global_step:
                self.live.summary["best_step"] = state.best_global_step
                self.live.make_summary()
            self.live.end()


class SealCheckpoints(TrainerCallback):
    """Mark each checkpoint as whole once every rank has written its part, then drop old ones."""

    def on_train_begin(self, args, state, control, **kwargs):
        if state.best_global_step:  # the path that a checkpoint notes is old if the folder moved
            best = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
            state.best_model_checkpoint = str(best)

    def on_save(self, args, state, control, **kwargs):
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            seal_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            drop_old_checkpoints(Path(args.output_dir))


def schedule_factor(name: str, step: int, warmup_steps: int, max_steps: int) -> float:
    """Return the share of the peak learning rate that holds after `step` optimizer steps."""
    if step < warmup_steps:
        return step / warmup_steps
    done = (step - warmup_steps) / max(1, max_steps - warmup_steps)
    return {
        "linear": max(0.0, 1 - done),
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "constant_with_warmup": 1.0,
    }[name]


class CheckOptimizer(TrainerCallback):
    """Stop unless optimizer, weight decay and the learning rate of each step are those configured.

    Parameters
    ----------
    learning_rate, weight_decay : float
        The peak rate; the decay of the weights that decay at all.
    """

    def __init__(self, learning_rate: float, weight_decay: float):
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        inner = optimizer
        while not isinstance(inner, torch.optim.AdamW) and hasattr(inner, "optimizer"):
            inner = inner.optimizer
        decay = {group["weight_decay"] for group in optimizer.param_groups} - {0.0}
        if type(inner) is not torch.optim.AdamW or decay != {self.weight_decay} - {0.0}:
            raise RuntimeError(
                f"the optimizer that runs is {type(inner).__name__} with weight decay {decay}, "
                f"not AdamW with {self.weight_decay} as configured"
            )

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        name = args.lr_scheduler_type.value
        factor = schedule_factor(name, state.global_step, args.warmup_steps, state.max_steps)
        for group in optimizer.param_groups:
            if not math.isclose(group["lr"], self.learning_rate * factor, abs_tol=1e-12):
                raise RuntimeError(
                    f"step {state.global_step + 1}: the learning rate is {group['lr']}, configured "
                    f"is {self.learning_rate * factor} ({name}, peak {self.learning_rate})"
                )
