"""Which rows each training step takes: rows of similar length, whatever the number of processes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from stages.lib.model.batches import batches_by_length


def batches_of_rows(
    lengths: np.ndarray, rows: int, world_size: int, accumulation: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Return an epoch's batches of at most `rows` rows of similar length, in random order.

    Rows are shuffled, sorted by length within 50 steps' worth and cut into steps, and the steps
    are shuffled. A step has the same rows whether one process takes it or several. The rows that
    are left over make the last step, dealt out as evenly as the ranks allow. Each row is taken
    once.

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
        Row indices. Every epoch has the same number of batches, a multiple of `world_size`.
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


def batches_of_packed_tokens(
    lengths: np.ndarray,
    tokens: int,
    world_size: int,
    accumulation: int,
    random: np.random.Generator,
) -> list[np.ndarray]:
    """Return an epoch's batches of about equally many tokens, at most `tokens`, in random order.

    For rows that are laid end to end, so their lengths may differ. `tokens` is at least twice the
    longest row. The other parameters and the result are those of `batches_of_rows`.
    """
    order = random.permutation(len(lengths))
    starts = np.cumsum(lengths[order]) - lengths[order]
    total, longest = int(lengths.sum()), int(lengths.max())
    # A batch ends with the row that passes its share, so it exceeds that by less than one row.
    n = -(-total // max(tokens - longest + 1, longest))
    n = min(n + -n % world_size, len(order) - len(order) % world_size)
    number = np.arange(1, n)
    cuts = np.searchsorted(starts, number * (total / n))
    cuts = np.maximum.accumulate(np.maximum(cuts, number) - number) + number  # none is empty
    return np.split(order, np.minimum(cuts, len(order) - n + number))


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
        reach the ranks of a run that resumes within an epoch.)
    packed : bool
        Rows are laid end to end.
    """

    batch_size, drop_last = None, False  # accelerate asks for them; the batches differ in size

    def __init__(
        self,
        lengths: Sequence[int],
        rows: int,
        tokens: int | None,
        world_size: int,
        accumulation: int,
        seed: int,
        epoch: Callable[[], int],
        packed: bool = False,
    ):
        cut = batches_of_rows if tokens is None else batches_of_tokens
        cut = batches_of_packed_tokens if packed else cut
        size = rows if tokens is None else tokens
        self._cut = partial(cut, np.asarray(lengths), size, world_size, accumulation)
        self._seed, self._epoch = seed, epoch

    def _batches(self) -> list[np.ndarray]:
        return self._cut(random=np.random.default_rng([self._seed, self._epoch()]))

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        return iter(batch.tolist() for batch in self._batches())
