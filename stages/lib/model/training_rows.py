"""Which training rows the language model learns from."""

import numpy as np


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
