"""Parts of a batch side by side on a CPU, a thread for each.

Threads that share every operator wait for each other at the end of every operator, thousands of
times a step. Threads that have rows of their own wait once, and keep them in their core's cache.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from stages.lib.model.processes import launched_processes
from stages.lib.parallel import cores

_ROWS = 8  # of a part: with fewer, the matrix products are too small to fill a core


def cpu_threads(threads: int | None) -> int:
    """Return the number of threads of this process; None: its share of the cores."""
    return threads or max(1, cores() // launched_processes()[1])


def split_rows(inputs: Mapping[str, Tensor], n_parts: int) -> list[dict[str, Tensor]]:
    """Cut a batch into parts of about as many rows, each padded to its own longest row.

    Parameters
    ----------
    inputs : mapping
        ``input_ids``, int64 (rows, positions), ``logits_to_keep``, int64 (rows, 1), and any other
        tensors with a value for each row.
    n_parts : int
        At most the number of rows.
    """
    columns = {name: tensor.tensor_split(n_parts) for name, tensor in inputs.items()}
    parts = [dict(zip(columns, part, strict=True)) for part in zip(*columns.values(), strict=True)]
    for part in parts:
        part["input_ids"] = part["input_ids"][:, : int(part["logits_to_keep"].max()) + 1]
    return parts


def map_parts(
    pool: ThreadPoolExecutor, threads: int, function: Callable, inputs: Mapping[str, Tensor]
) -> list:
    """Return what `function` makes of each part of a batch, in the order of the rows.

    Parameters
    ----------
    pool : ThreadPoolExecutor
        Of `threads` threads. Where there are fewer parts, each uses several.
    threads : int
    function : callable
        Takes a part, as `split_rows` returns it.
    inputs : mapping
        The batch, see `split_rows`.
    """
    n_parts = max(1, min(threads, len(inputs["input_ids"]) // _ROWS))

    def run(part: dict[str, Tensor]):
        torch.set_num_threads(threads // n_parts)  # of this thread only
        return function(part)

    return list(pool.map(run, split_rows(inputs, n_parts)))
