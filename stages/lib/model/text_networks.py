"""Classify rows of text with TF-IDF features and small networks of one hidden layer.

Words, pairs of words, characters and whole cells of the visible fields go through one hidden layer
to a softmax over the accounts. The mean probability of several such networks, which differ in their
random start, is the answer. A network learns by Adagrad, one learning rate a feature, and
half of the features of a row are dropped at each step, so no feature may do all the work.

The result is the same for any number of cores: each network is trained by one thread.
scikit-learn is imported where it is used: it takes seconds.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.lib import tables
from stages.lib.model.text_features import Columns, Features, fit_features, make_features
from stages.lib.parallel import map_ordered
from stages.lib.params.classify import TextClassifierParams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WEIGHTS, VOCABULARY = "weights.npz", "vocabulary.json"
# Share of the hidden layer that is dropped at each step.
HIDDEN_DROPOUT = 0.3
# Spread of the first weights of the features.
START = 0.03
# Passes are fewer if they would be more than so many rows, but at least MIN_EPOCHS.
MAX_VISITS, MIN_EPOCHS = 900_000, 3
# Rows of one step.
BATCH = 256
# Rows that are scored at a time.
CHUNK = 1024


class Network(NamedTuple):
    """Weights: features to hidden float16 (D, H) and (H,); hidden to accounts (H, K) and (K,)."""

    first: np.ndarray
    first_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray


class TextModel(NamedTuple):
    """What `fit_text_model` learns."""

    features: list[Features]
    networks: list[Network]


def _used_columns(matrix: csr_matrix) -> tuple[csr_matrix, np.ndarray]:
    """Return the matrix without its empty columns, and which columns are left."""
    from scipy.sparse import csr_matrix

    used, at = np.unique(matrix.indices, return_inverse=True)
    shape = (matrix.shape[0], len(used))
    return csr_matrix((matrix.data, at.astype(np.int32), matrix.indptr), shape=shape), used


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _step(weights: np.ndarray, gradient: np.ndarray, squares: np.ndarray, rate: float) -> None:
    squares += gradient * gradient
    weights -= np.float32(rate) * gradient / (np.sqrt(squares) + np.float32(1e-8))


def passes(rows: int, epochs: int) -> int:
    """Return the passes over so many rows: `epochs`, or fewer for a large ledger."""
    return min(epochs, max(MIN_EPOCHS, MAX_VISITS // rows))


def fit_network(
    matrix: csr_matrix,
    label: np.ndarray,
    n_accounts: int,
    settings: TextClassifierParams,
    seed: int,
) -> Network:
    """Train one network by minibatches, on one thread.

    Parameters
    ----------
    matrix : csr_matrix of float32, (rows, D)
    label : ndarray of int64, (rows,)
    n_accounts : int
    settings : TextClassifierParams
    seed : int
        Of the start, of the order of the rows and of what is dropped.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in BLAS depend on the number of threads
        return _fit_network(matrix, label, n_accounts, settings, np.random.default_rng(seed))


def _fit_network(matrix, label, n_accounts, settings, random) -> Network:
    n_rows, n_features = matrix.shape
    hidden, batch = settings.hidden, BATCH
    epochs = passes(n_rows, settings.epochs)
    first = random.standard_normal((n_features, hidden), dtype=np.float32) * np.float32(START)
    last = random.standard_normal((hidden, n_accounts), dtype=np.float32)
    last *= np.float32(hidden**-0.5)
    first_bias = np.zeros(hidden, np.float32)
    rows = np.bincount(label, minlength=n_accounts)
    last_bias = np.log((rows + 0.5) / (n_rows + 0.5 * n_accounts)).astype(np.float32)
    # Adagrad: the sums of the squared gradients, one for all weights of a feature.
    squares = np.zeros(n_features, np.float32)
    others = [np.zeros_like(weights) for weights in (first_bias, last, last_bias)]
    keep, keep_hidden = np.float32(1 - settings.dropout), np.float32(1 - HIDDEN_DROPOUT)
    steps, step = epochs * -(-n_rows // batch), 0
    for _ in range(epochs):
        order = random.permutation(n_rows)
        for start in range(0, n_rows, batch):
            chosen = order[start : start + batch]
            size = len(chosen)
            rate = settings.learning_rate * (1 - step / steps)
            step += 1
            x = matrix[chosen]
            x.data *= (random.random(x.nnz, dtype=np.float32) < keep) / keep
            x, used = _used_columns(x)
            part = first[used]
            inner = x @ part
            inner += first_bias
            open_units = (random.random(inner.shape, dtype=np.float32) < keep_hidden) / keep_hidden
            open_units *= inner > 0
            inner *= open_units
            error = _softmax(inner @ last + last_bias)
            error[np.arange(size), label[chosen]] -= 1
            error /= np.float32(size)
            back = error @ last.T
            back *= open_units
            _step(last, inner.T @ error, others[1], rate)
            _step(last_bias, error.sum(axis=0), others[2], rate)
            _step(first_bias, back.sum(axis=0), others[0], rate)
            gradient = x.T.tocsr() @ back
            sums = squares[used] + np.einsum("ij,ij->i", gradient, gradient) / np.float32(hidden)
            squares[used] = sums
            gradient *= (np.float32(rate) / (np.sqrt(sums) + np.float32(1e-8)))[:, None]
            part -= gradient
            first[used] = part
    return Network(*(w.astype(np.float16) for w in (first, first_bias, last, last_bias)))


def network_probabilities(network: Network, matrix: csr_matrix) -> np.ndarray:
    """Return the probabilities of the accounts, float32 (rows, K)."""
    from threadpoolctl import threadpool_limits

    result = np.empty((matrix.shape[0], len(network.last_bias)), np.float32)
    bias, last, last_bias = (w.astype(np.float32) for w in network[1:])
    with threadpool_limits(1):
        for start in range(0, len(result), CHUNK):
            x, used = _used_columns(matrix[start : start + CHUNK])
            inner = np.maximum(x @ network.first[used].astype(np.float32) + bias, 0)
            result[start : start + CHUNK] = _softmax(inner @ last + last_bias)
    return result


def _mean_log(probabilities: list[np.ndarray]) -> np.ndarray:
    mean = sum(probabilities) / np.float32(len(probabilities))
    return np.log(np.maximum(mean, np.finfo(np.float32).tiny))


def fit_text_model(
    columns: Columns,
    roles: list[str],
    label: np.ndarray,
    n_accounts: int,
    settings: TextClassifierParams,
    workers: int = 1,
) -> TextModel:
    """Learn to code rows.

    Parameters
    ----------
    columns : list of (list of str)
        Each visible field, one string a row.
    roles : list of str
        The role of each field.
    label : ndarray of int64, (rows,)
        Accounts of the rows, below K.
    n_accounts : int
        Number of accounts, K.
    settings : TextClassifierParams
    workers : int
        Processes. The result does not depend on it.

    Raises
    ------
    UserError
        No field has a word that two rows share.
    """
    features, matrix = fit_features(columns, roles, settings)
    seeds = [settings.seed + number for number in range(settings.networks)]
    fit = partial(fit_network, matrix, label, n_accounts, settings)
    fitted = map_ordered(fit, seeds, min(workers, len(seeds)))
    return TextModel(features, [network for _, network in fitted])


def score_text_model(model: TextModel, columns: Columns) -> np.ndarray:
    """Return the log-probabilities of the accounts, float32 (rows, K).

    Parameters
    ----------
    model : TextModel
    columns : list of (list of str)
        As for `fit_text_model`, of other rows.
    """
    matrix = make_features(model.features, columns)
    return _mean_log([network_probabilities(network, matrix) for network in model.networks])


def save_text_model(model: TextModel, folder: Path | str) -> None:
    """Write the model to `folder`: the same bytes for the same model."""
    arrays = {f"idf_{i}": f.idf for i, f in enumerate(model.features)}
    for i, network in enumerate(model.networks):
        arrays |= {f"{name}_{i}": weights for name, weights in network._asdict().items()}
    content = [
        {"field": f.field, "kind": f.kind, "ngrams": f.ngrams, "terms": f.terms}
        for f in model.features
    ]
    folder = Path(folder)
    with tables.replace_files([folder / WEIGHTS, folder / VOCABULARY]) as (weights, vocabulary):
        with open(weights, "wb") as file:
            np.savez(file, **arrays)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        vocabulary.write_text(text, encoding="utf-8", newline="\n")


def load_text_model(folder: Path | str) -> TextModel:
    """Return the model that `save_text_model` wrote, which gives the same scores, bit by bit."""
    folder = Path(folder)
    content = tables.read_json(folder / VOCABULARY)
    with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
        features = [Features(**f, idf=arrays[f"idf_{i}"]) for i, f in enumerate(content)]
        count = sum(name.startswith("last_bias_") for name in arrays.files)
        networks = [
            Network(*(arrays[f"{name}_{i}"] for name in Network._fields)) for i in range(count)
        ]
    return TextModel(features, networks)
