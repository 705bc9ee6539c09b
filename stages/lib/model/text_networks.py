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
from stages.lib.errors import UserError
from stages.lib.parallel import map_ordered
from stages.lib.params.classify import TextClassifierParams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Columns of text, one string a row.
Columns = list[list[str]]

WEIGHTS, VOCABULARY = "weights.npz", "vocabulary.json"
# Length of the part of a row that one kind of feature makes.
LENGTHS = {"words": 1.0, "characters": 0.7, "cell": 1.0}
# Share of the hidden layer that is dropped at each step.
HIDDEN_DROPOUT = 0.3
# Spread of the first weights of the features.
START = 0.03
# No feature is kept that fewer rows have.
MIN_ROWS = 2
# Passes are fewer if they would be more than so many rows, but at least MIN_EPOCHS.
MAX_VISITS, MIN_EPOCHS = 900_000, 3
# Most features of one kind and field: the most frequent.
MAX_FEATURES = 100_000
# Rows of one step.
BATCH = 256
# Rows that are scored at a time.
CHUNK = 1024


class Features(NamedTuple):
    """One kind of feature of one field.

    Attributes
    ----------
    field : int
        Position of the field.
    kind : str
        words, characters or cell.
    ngrams : int
        Longest sequence.
    terms : list of str
        In the order of the columns.
    idf : ndarray of float32, (terms,)
    """

    field: int
    kind: str
    ngrams: int
    terms: list[str]
    idf: np.ndarray


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


def _whole_cell(cell: str) -> list[str]:
    return [cell] if cell else []


def _counter(kind: str, ngrams: int, **settings):
    from sklearn.feature_extraction.text import CountVectorizer

    settings |= {"dtype": np.float32, "lowercase": True}
    if kind == "words":
        return CountVectorizer(token_pattern=r"\w+", ngram_range=(1, ngrams), **settings)
    if kind == "characters":
        return CountVectorizer(analyzer="char_wb", ngram_range=(3, ngrams), **settings)
    return CountVectorizer(analyzer=_whole_cell, **settings)


def unit_rows(rows: csr_matrix) -> None:
    """Divide each row by its length, in place."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    squares = np.bincount(row, rows.data.astype(np.float64) ** 2, rows.shape[0])
    rows.data /= np.sqrt(squares).astype(np.float32)[row]


def _weigh(counts: csr_matrix, idf: np.ndarray, length: float) -> csr_matrix:
    """Turn counts into TF-IDF, sublinear; each row that has any gets `length`."""
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    unit_rows(counts)
    counts.data *= np.float32(length)
    return counts


def distinct_cells(cells: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the different cells of a column, and the place of each cell among them, int64.

    A ledger's cells repeat: each is read once.
    """
    number = {cell: index for index, cell in enumerate(dict.fromkeys(cells))}
    return list(number), np.array([number[cell] for cell in cells], np.int64)


def _rows_with(counts: csr_matrix, times: np.ndarray) -> np.ndarray:
    """Return how many rows have each term, int64 (terms,), if row i is there `times[i]` times."""
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    return np.bincount(counts.indices, times[row], counts.shape[1]).astype(np.int64)


def fit_features(
    columns: Columns, roles: list[str], settings: TextClassifierParams
) -> tuple[list[Features], csr_matrix]:
    """Return the features of the training rows and how to make those of others.

    Every field is read by its words; fields of the roles group and text, whose spelling is free,
    also by their characters; the others also as whole cells.

    Parameters
    ----------
    columns : list of (list of str)
        Each visible field, one string a row.
    roles : list of str
        The role of each field.
    settings : TextClassifierParams

    Returns
    -------
    features : list of Features
    matrix : csr_matrix of float32, (rows, D)

    Raises
    ------
    UserError
        No field has a word that two rows share.
    """
    from scipy.sparse import hstack

    kinds = [("words", field, settings.word_ngrams) for field in range(len(columns))]
    for field, role in enumerate(roles):
        free = role in ("group", "text")
        kinds.append(
            ("characters", field, settings.character_ngrams) if free else ("cell", field, 1)
        )
    features, blocks = [], []
    for kind, field, ngrams in kinds:
        cells, place = distinct_cells(columns[field])
        counter = _counter(kind, ngrams)
        try:
            counts = counter.fit_transform(cells)
        except ValueError:  # no text at all
            continue
        rows = _rows_with(counts, np.bincount(place))
        kept = np.flatnonzero(rows >= MIN_ROWS)
        kept = np.sort(kept[np.argsort(-rows[kept], kind="stable")][:MAX_FEATURES])
        if not len(kept):
            continue
        idf = (np.log((1 + len(place)) / (1 + rows[kept])) + 1).astype(np.float32)
        terms = counter.get_feature_names_out()[kept].tolist()
        features.append(Features(field, kind, ngrams, terms, idf))
        blocks.append(_weigh(counts[:, kept], idf, LENGTHS[kind])[place])
    if not blocks:
        raise UserError(
            "no-text",
            "params.yaml: feature.fields",
            "these fields have no text that two training rows share, so there is nothing to learn",
            "add a field that has text",
        )
    return features, hstack(blocks, format="csr")


def make_features(features: list[Features], columns: Columns) -> csr_matrix:
    """Return the features of rows, float32 (rows, D), as `fit_features` does for its rows."""
    from scipy.sparse import csr_matrix, hstack

    if not columns[0]:
        return csr_matrix((0, sum(len(f.terms) for f in features)), dtype=np.float32)
    blocks = []
    for f in features:
        cells, place = distinct_cells(columns[f.field])
        counts = _counter(f.kind, f.ngrams, vocabulary=f.terms).transform(cells)
        blocks.append(_weigh(counts, f.idf, LENGTHS[f.kind])[place])
    return hstack(blocks, format="csr")


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
