"""What the parts of the GPU kit share: the device, attention, rows without `datasets`, a clock."""

import inspect
from collections.abc import Callable, Sequence
from time import perf_counter

import torch
from torch import Tensor
from transformers import TrainerCallback

from stages.lib.model.packed_rows import plain_attention

WARM_UP_STEPS = 3


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def row_attention() -> Callable[..., Tensor]:
    """Return attention within rows laid end to end, whatever this PyTorch calls its settings.

    The pipeline's own `varlen_attention` is written for the version that the project pins.
    """
    if device() == "cpu":
        return plain_attention
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    settings = {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    if grouped := "enable_gqa" in known:
        settings["enable_gqa"] = True
    scaled = "scale" in known

    def attention(query, key, value, row_starts, longest, scaling):
        if not grouped:
            repeats = query.shape[1] // key.shape[1]
            key, value = (part.repeat_interleave(repeats, 1) for part in (key, value))
        if not scaled:  # the kernel takes its default, which is one over the root of the head size
            query = query * (scaling * query.shape[-1] ** 0.5)
        more = {"scale": scaling} if scaled else {}
        places = row_starts, row_starts, longest, longest
        return varlen_attn(query, key, value, *places, **settings, **more)

    return attention


class Rows:
    """Prompts and labels, as much of a dataset as the trainer asks for.

    Parameters
    ----------
    input_ids : sequence of sequence of int
    labels : sequence of int
    """

    def __init__(self, input_ids: Sequence[Sequence[int]], labels: Sequence[int]):
        self.input_ids, self.labels = input_ids, labels
        self.lengths = [len(row) for row in input_ids]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key):
        if key == "length":
            return self.lengths
        return {"input_ids": self.input_ids[key], "label": int(self.labels[key])}


class Clock(TrainerCallback):
    """Time the steps after the warm-up, and end the training when its time is over.

    Parameters
    ----------
    limit : float
        Seconds from now; infinity: no limit.
    """

    def __init__(self, limit: float = float("inf")):
        self.end = perf_counter() + limit
        self.seconds, self.steps, self.expected, self.losses = 0.0, 0, 0, []

    def on_train_begin(self, args, state, control, **kwargs):
        self.expected = state.max_steps

    def on_step_end(self, args, state, control, **kwargs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == WARM_UP_STEPS:
            self.start = perf_counter()
        elif state.global_step > WARM_UP_STEPS:
            self.steps = state.global_step
            self.seconds = perf_counter() - self.start
        if perf_counter() > self.end:
            control.should_training_stop = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def peak_memory() -> float:
    """Return the most memory that this process has had, in GB: of the GPU, if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
