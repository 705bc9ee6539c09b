"""Score the training rows with experts that have not seen them.

The rows are dealt to four folds, identical rows together. Each fold is scored by a text classifier
and an index of past postings that were made without it. They are smaller than those that code new
rows: they only have to find training rows whose account looks wrong.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import LABEL
from stages.lib.folds import folds_of
from stages.lib.model.past_postings import (
    Neighbours,
    build_index,
    nearest_rows,
    score_neighbours,
)
from stages.lib.model.text_experts import TextExperts, nearest_few
from stages.lib.model.text_features import make_features
from stages.lib.model.text_networks import fit_network, network_probabilities
from stages.lib.parallel import map_ordered
from stages.lib.params.classify import ClassifyParams
from stages.lib.tables import number_groups, row_digests

FOLDS = 4
# The hidden layer is so many times smaller, and there is one network. On the sample this costs .3
# points of accuracy and saves four fifths of the time.
SMALLER = 4
# Rows that an index has at most, evenly spaced: a query takes as much longer as it has more.
PAST_ROWS = 30_000


class CrossFitted(NamedTuple):
    """What the experts say of the training rows, without having seen them.

    Attributes
    ----------
    text, past : ndarray of float16, (rows, K)
        Log-probabilities.
    neighbours : Neighbours
        The nearest rows of other folds, by their position among the training rows.
    """

    text: np.ndarray
    past: np.ndarray
    neighbours: Neighbours


def cross_fit(
    experts: TextExperts, train: pa.Table, params: ClassifyParams, workers: int
) -> CrossFitted:
    """Return scores of the rows that `experts` have learned from.

    Parameters
    ----------
    experts : TextExperts
        Their accounts, visible fields and features are used.
    train : Table
        The training rows of the split.
    params : ClassifyParams
    workers : int
        Processes. The result does not depend on it.
    """
    columns = [train[name].to_pylist() for name in experts.fields]
    position = {code: index for index, code in enumerate(experts.accounts)}
    label = np.array([position[code] for code in train[LABEL].to_pylist()])
    fold = folds_of(number_groups(row_digests(train, experts.fields)), FOLDS)
    matrix = make_features(experts.text.features, columns)
    score = partial(_score_fold, columns, matrix, label, fold, len(experts.accounts), params)
    numbers = np.unique(fold).tolist()
    parts = [part for _, part in map_ordered(score, numbers, min(workers, len(numbers)))]
    # Back into the order of the rows.
    order = np.argsort(np.concatenate([np.flatnonzero(fold == n) for n in numbers]))
    text, past, places, values = (
        np.concatenate(arrays)[order] for arrays in zip(*parts, strict=True)
    )
    return CrossFitted(text, past, Neighbours(places, values))


def _score_fold(columns, matrix, label, fold, n_accounts, params, number):
    """Return text and past scores of a fold, and positions and similarities of its neighbours."""
    here, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
    if not len(others):  # all rows are identical: nothing else is known
        equal = np.full((len(here), n_accounts), -np.log(n_accounts), np.float16)
        return equal, equal, np.full((len(here), 1), -1), np.zeros((len(here), 1), np.float32)
    settings = params.text_classifier
    settings = settings.model_copy(update={"hidden": max(1, settings.hidden // SMALLER)})
    seed = settings.seed + number
    network = fit_network(matrix[others], label[others], n_accounts, settings, seed)
    # A feature that no other fold has kept its random start.
    seen = np.bincount(matrix[others].indices, minlength=matrix.shape[1]) > 0
    queries = matrix[here]
    queries.data *= seen[queries.indices]
    chance = network_probabilities(network, queries)
    text = np.log(np.maximum(chance, np.finfo(np.float32).tiny))

    others = others[:: -(-len(others) // PAST_ROWS)]
    index = build_index(_take(columns, others), label[others], n_accounts, params.past_postings)
    neighbours = nearest_rows(index, _take(columns, here))
    past = score_neighbours(index, neighbours)
    places, values = nearest_few(neighbours)
    places = np.where(places < 0, -1, others[places])
    return text.astype(np.float16), past.astype(np.float16), places, values


def _take(columns: list[list[str]], rows: np.ndarray) -> list[list[str]]:
    return [[cells[row] for row in rows.tolist()] for cells in columns]
