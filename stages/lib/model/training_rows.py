"""A part of the training rows, for what is slow to train."""

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import LABEL


def choose_rows(train: pa.Table, max_rows: int | None, seed: int = 0) -> pa.Table:
    """Return at most `max_rows` training rows, in their order; None: all."""
    if max_rows is None or train.num_rows <= max_rows:
        return train
    label = train[LABEL].combine_chunks().dictionary_encode().indices.to_numpy()
    return train.filter(pa.array(stratified_subset(label, max_rows, np.random.default_rng(seed))))


def stratified_subset(label: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return which `count` rows to keep, each label near its share.

    Every label is kept at least once as far as `count` allows, the most frequent ones first.

    Parameters
    ----------
    label : ndarray of int64, (rows,)
    count : int
        At most the number of rows.
    rng : Generator

    Returns
    -------
    ndarray of bool, (rows,)
    """
    keep = np.zeros(len(label), bool)
    order = np.lexsort((rng.permutation(len(label)), label))
    _, start, size = np.unique(label[order], return_index=True, return_counts=True)
    rank = np.arange(len(label)) - np.repeat(start, size)
    size = np.repeat(size, size)
    # The first row of each label, then all others evenly spread over their labels.
    turn = np.where(rank == 0, -1.0, (rank + 0.5) / size)
    keep[order[np.lexsort((np.arange(len(label)), -size * (rank == 0), turn))[:count]]] = True
    return keep
