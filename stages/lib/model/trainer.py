"""The Hugging Face Trainer with our loss, batches and optimizer, which stops a run that goes wrong.

docs/upgrading.md lists the private hooks of the libraries that it uses, and the tests for them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch
from transformers import Trainer

from stages.lib.errors import UserError
from stages.lib.model.epoch_batches import EpochBatches
from stages.lib.model.loss import label_loss
from stages.lib.model.packed_rows import collate_packed
from stages.lib.model.row_threads import map_parts


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Tell whether `error` is what PyTorch raises when a device or the machine has no memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


class LabelTrainer(Trainer):
    """The Trainer with our loss, batches and optimizer, which stops a run that goes wrong.

    Parameters
    ----------
    label_smoothing : float
    train_batch_tokens : int or None
        Tokens in a batch; None: batches of ``per_device_train_batch_size`` rows.
    packed : bool
        Training rows are laid end to end; the model must take them (see `packed_rows`).
    make_optimizer : callable
        Returns the optimizer of a model.
    row_threads : int
        Threads that have rows of their own (see `row_threads`); 1: all share each operator.
    **kwargs
        Of the Trainer. The training dataset has a column ``length``.
    """

    def __init__(
        self,
        *,
        label_smoothing: float,
        train_batch_tokens: int | None,
        packed: bool,
        make_optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer],
        row_threads: int,
        **kwargs,
    ):
        self.train_batch_tokens, self.make_optimizer = train_batch_tokens, make_optimizer
        self.row_threads, self.packed = row_threads, packed
        self.pool = ThreadPoolExecutor(row_threads) if row_threads > 1 else None
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
            self.packed,
        )
        collate = partial(collate_packed, tokens=self.train_batch_tokens)
        loader = torch.utils.data.DataLoader(
            self.train_dataset,
            batch_sampler=batches,
            collate_fn=collate if self.packed else self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        with _uneven_batches(self.accelerator):
            return self.accelerator.prepare(loader)

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        rows, tokens = len(inputs["labels"]), inputs["input_ids"].shape[1]
        size = "end to end, together" if self.packed else "of"
        by_tokens = self.train_batch_tokens is not None
        key = "train_batch_tokens" if by_tokens else "per_device_train_batch_size"
        try:
            if self.pool is None:
                return super().training_step(model, inputs, num_items_in_batch)
            return self._training_step_by_parts(model, inputs, num_items_in_batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        raise UserError(
            "out-of-memory",
            f"step {self.state.global_step + 1}",
            f"out of memory with a batch of {rows} rows {size} {tokens} tokens",
            f"lower training.{key} (and raise "
            "training.gradient_accumulation_steps), set training.gradient_checkpointing: true, or "
            "lower tokenize.max_tokens; the same command resumes from the last checkpoint",
        )

    def _training_step_by_parts(self, model, inputs, num_items_in_batch) -> torch.Tensor:
        model.train()
        weights = [weight for weight in model.parameters() if weight.requires_grad]

        def gradients(part: dict) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, part, num_items_in_batch=num_items_in_batch)
            return loss.detach(), torch.autograd.grad(loss, weights)

        losses, grads = zip(*map_parts(self.pool, self.row_threads, gradients, inputs), strict=True)
        for grad in grads:  # in the order of the rows: a sum depends on its order
            _add_grads(weights, grad)
        return sum(losses)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None) -> tuple:
        step = super().prediction_step
        if self.pool is None:
            return step(model, inputs, prediction_loss_only, ignore_keys)

        def predict(part: dict) -> tuple:
            loss, logits, labels = step(model, part, prediction_loss_only, ignore_keys)
            return loss * len(labels), logits, labels

        parts = map_parts(self.pool, self.row_threads, predict, inputs)
        losses, logits, labels = zip(*parts, strict=True)
        return sum(losses) / len(inputs["labels"]), torch.cat(logits), torch.cat(labels)

    def compute_loss(self, *args, **kwargs):
        found = super().compute_loss(*args, **kwargs)
        self._stop_unless_finite("loss", found[0] if isinstance(found, tuple) else found)
        return found

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if self.is_deepspeed_enabled and self.accelerator.optimizer_step_was_skipped:
            norm = float("nan")  # DeepSpeed skips such a step, and keeps the norm before it
        if norm is not None:
            self._stop_unless_finite("gradient", torch.as_tensor(norm))
        return norm

    def _determine_best_metric(self, metrics, trial) -> bool:
        # By itself the Trainer only finds the best of those steps that are saved anyway.
        self.control.should_save |= (best := super()._determine_best_metric(metrics, trial))
        return best

    def load_best_model(self) -> None:
        """Replace the weights by those of the best validation."""
        self._load_best_model()

    def _stop_unless_finite(self, what: str, value: torch.Tensor) -> None:
        if not torch.isfinite(value):
            raise UserError(
                "not-finite",
                f"step {self.state.global_step + 1}",
                f"the {what} is not a finite number",
                "try a smaller training.learning_rate, more training.warmup_steps, or "
                "model.dtype: float32; the checkpoints before this step are kept",
            )


def _add_grads(weights: list[torch.Tensor], grads: tuple[torch.Tensor, ...]) -> None:
    for weight, grad in zip(weights, grads, strict=True):
        if weight.grad is None:
            weight.grad = grad.contiguous()  # the fused AdamW reads a gradient in memory order
        else:
            weight.grad += grad


@contextmanager
def _uneven_batches(accelerator) -> Iterator[None]:
    """Let accelerate take batches that differ in size; every rank gets the same number anyway."""
    before = accelerator.dataloader_config.even_batches
    accelerator.dataloader_config.even_batches = False
    yield
    accelerator.dataloader_config.even_batches = before
