"""Code rows as the most similar past rows were posted.

A row is the set of the words of its fields, each weighted by how rare it is and how much it tells
about the account: the information gain of the accounts of its rows over all rows. Similarity is the
cosine of two rows. Each of the most similar past rows votes for its account with a power of its
similarity, and all accounts get a little by their number of rows.

scikit-learn is imported where it is used: it takes seconds.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.lib import tables
from stages.lib.model.text_features import Columns, distinct_cells, unit_rows
from stages.lib.parallel import map_ordered
from stages.lib.params.classify import PastPostingsParams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ARRAYS, VOCABULARY = "past_postings.npz", "past_postings.json"
# Rows that the rows of a word are completed with, at the shares of the accounts in all rows, before
# its gain is taken: one row alone tells little.
PRIOR_ROWS = 1.0
# Power of the gain of a word, in its weight.
GAIN_POWER = 0.5
# What all accounts get together, in votes.
PRIOR = 0.03
# Similarities that differ by less are equal, and the earlier row is the nearer: sums of floats
# depend on their order.
RESOLUTION = 1e-5
# Query rows that are compared at a time, and that one process gets at a time.
CHUNK, TASK = 64, 1024
# Pairs of equal words, of a query row and a past row, below which one process is the fastest: it
# compares some 100 million a second, and another process takes seconds to start.
FEW_PAIRS = 1_000_000_000


class PastPostings(NamedTuple):
    """An index of past rows.

    Attributes
    ----------
    neighbours : int
        Past rows that vote.
    power : float
        Of the similarity, in a row's vote.
    fields : list of int
        The position of the field of each block of words: each field has one, and one more for the
        words that later rows brought.
    terms : list of (list of str)
        Words of each block.
    idf, gain : ndarray of float32, (words,)
        Weights of the words of all fields: by rarity, and by what they tell about the account.
    rows : csr_matrix of float32, (rows, words)
        Of length 1.
    label : ndarray of int64, (rows,)
    prior : ndarray of float64, (K,)
        Shares of the accounts, smoothed.
    """

    neighbours: int
    power: float
    fields: list[int]
    terms: list[list[str]]
    idf: np.ndarray
    gain: np.ndarray
    rows: csr_matrix
    label: np.ndarray
    prior: np.ndarray


class Neighbours(NamedTuple):
    """Past rows by similarity, ties by position; (rows, k).

    Attributes
    ----------
    position : ndarray of int64
        -1 where there are no more rows that share a word.
    similarity : ndarray of float32
        0 there.
    """

    position: np.ndarray
    similarity: np.ndarray


def _counter(**settings):
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(token_pattern=r"\w+", binary=True, dtype=np.float32, **settings)


def word_gains(words: csr_matrix, label: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the information gain of each word, in nats.

    The Kullback-Leibler divergence from the shares of the accounts in all rows to those in the rows
    with the word, which are completed with `PRIOR_ROWS` rows.

    Parameters
    ----------
    words : csr_matrix, (rows, words)
        Not 0 where a row has a word.
    label : ndarray of int64, (rows,)
    share : ndarray of float64, (K,)
        Of each account in all rows; above 0 for the accounts of these.

    Returns
    -------
    ndarray of float64, (words,)
    """
    from scipy.sparse import csr_matrix

    n_rows, n_words = words.shape
    ones = csr_matrix((np.ones(words.nnz), words.indices, words.indptr), shape=words.shape)
    accounts = csr_matrix(
        (np.ones(n_rows), label, np.arange(n_rows + 1)), shape=(n_rows, len(share))
    )
    pairs = (ones.T @ accounts).tocsr()
    size = np.asarray(pairs.sum(axis=1)).ravel() + PRIOR_ROWS
    # Accounts without a row of the word have p = PRIOR_ROWS * share / size, so together
    # -log(size / PRIOR_ROWS) * their part of p; the others are summed one by one.
    word = np.repeat(np.arange(n_words), np.diff(pairs.indptr))
    prior = share[pairs.indices]
    p = (pairs.data + PRIOR_ROWS * prior) / size[word]
    seen = np.bincount(word, p * np.log(p / prior), n_words)
    rest = np.maximum(1 - np.bincount(word, p, n_words), 0)
    return np.maximum(seen + rest * np.log(PRIOR_ROWS / size), 0)


def build_index(
    columns: Columns, label: np.ndarray, n_accounts: int, settings: PastPostingsParams
) -> PastPostings:
    """Return the index of past rows.

    Parameters
    ----------
    columns : list of (list of str)
        Each visible field, one string a row.
    label : ndarray of int64, (rows,)
        Accounts of the rows, below K.
    n_accounts : int
        Number of accounts, K.
    settings : PastPostingsParams
    """
    from scipy.sparse import hstack

    terms = [_words_of(cells) for cells in columns]
    blocks = [_count(*part) for part in zip(terms, columns, strict=True)]
    words = hstack(blocks, format="csr")
    share = np.bincount(label, minlength=n_accounts) / len(label)
    counts = np.bincount(label, minlength=n_accounts) + 1
    index = PastPostings(
        settings.neighbours,
        settings.power,
        list(range(len(columns))),
        terms,
        *_weights_of(words, label, share, len(label)),
        words,
        np.asarray(label, np.int64),
        counts / counts.sum(),
    )
    return index._replace(rows=_weigh(blocks, index))


def _words_of(cells: list[str]) -> list[str]:
    """Return the words of a column, sorted."""
    counter = _counter()
    try:
        counter.fit(dict.fromkeys(cells))
    except ValueError:  # no word at all
        return []
    return counter.get_feature_names_out().tolist()


def _count(terms: list[str], cells: list[str]) -> csr_matrix:
    """Return which of the words each cell has, float32 (cells, words)."""
    from scipy.sparse import csr_matrix

    if not terms or not cells:
        return csr_matrix((len(cells), len(terms)), dtype=np.float32)
    cells, place = distinct_cells(cells)
    return _counter(vocabulary=terms).transform(cells)[place]


def _weights_of(
    words: csr_matrix, label: np.ndarray, share: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rarity of each word among `n_rows` rows and what it tells, float32 (words,)."""
    df = np.bincount(words.indices, minlength=words.shape[1])
    idf = np.log((1 + n_rows) / (1 + df)) + 1
    # A word that says nothing about the account still says a little about the row.
    gain = (word_gains(words, label, share) + 1e-3) ** GAIN_POWER
    return idf.astype(np.float32), gain.astype(np.float32)


def _weigh(blocks: list[csr_matrix], index: PastPostings) -> csr_matrix:
    """Return the weighted words of rows, from those of each field.

    Each field counts the same, whatever its number of words, before the gain of its words.
    """
    from scipy.sparse import hstack

    start = 0
    for block in blocks:
        block.data *= index.idf[start + block.indices]
        unit_rows(block)
        start += block.shape[1]
    rows = hstack(blocks, format="csr")
    rows.data *= index.gain[rows.indices]
    unit_rows(rows)
    return rows


def make_rows(index: PastPostings, columns: Columns) -> csr_matrix:
    """Return the weighted words of other rows, float32 (rows, words), as the index has its own."""
    blocks = [
        _count(terms, columns[field])
        for field, terms in zip(index.fields, index.terms, strict=True)
    ]
    return _weigh(blocks, index)


def add_rows(index: PastPostings, columns: Columns, label: np.ndarray) -> PastPostings:
    """Return the index with later rows after its own.

    Their new words, such as the name of a new vendor, join the vocabulary. The weights of the known
    words and the prior stay.

    Parameters
    ----------
    index : PastPostings
    columns : list of (list of str)
    label : ndarray of int64, (rows,)
        Accounts of the rows, below K.
    """
    from scipy.sparse import csr_matrix, hstack, vstack

    fields, terms, blocks = [*index.fields], [*index.terms], []
    for field, cells in enumerate(columns):
        known = {
            word
            for place, words in zip(index.fields, index.terms, strict=True)
            if place == field
            for word in words
        }
        new = [word for word in _words_of(cells) if word not in known]
        fields.append(field)
        terms.append(new)
        blocks.append(_count(new, cells))
    n_rows = index.rows.shape[0] + len(label)
    idf, gain = _weights_of(hstack(blocks, format="csr"), label, index.prior, n_rows)
    larger = index._replace(
        fields=fields,
        terms=terms,
        idf=np.concatenate([index.idf, idf]),
        gain=np.concatenate([index.gain, gain]),
        label=np.concatenate([index.label, label]),
    )
    old = index.rows
    shape = (old.shape[0], len(larger.idf))
    old = csr_matrix((old.data, old.indices, old.indptr), shape=shape)
    return larger._replace(rows=vstack([old, make_rows(larger, columns)], format="csr"))


def _nearest(transposed: csr_matrix, k: int, queries: csr_matrix):
    """Return positions and similarities of the nearest rows of the columns of `transposed`."""
    position = np.full((queries.shape[0], k), -1, np.int64)
    similarity = np.zeros((queries.shape[0], k), np.float32)
    for start in range(0, queries.shape[0], CHUNK):
        found = queries[start : start + CHUNK] @ transposed
        for i in range(found.shape[0]):
            part = slice(found.indptr[i], found.indptr[i + 1])
            columns, values = found.indices[part], found.data[part]
            values = np.round(values / np.float32(RESOLUTION)).astype(np.int32)
            if len(values) > k:
                # Of those as far as the last, the first are taken, so none of them may be cut.
                last = np.partition(values, len(values) - k)[len(values) - k]
                chosen = np.flatnonzero(values >= last)
                columns, values = columns[chosen], values[chosen]
            order = np.lexsort((columns, -values))[:k]
            position[start + i, : len(order)] = columns[order]
            similarity[start + i, : len(order)] = values[order] * np.float32(RESOLUTION)
    return position, similarity


def nearest_rows(index: PastPostings, columns: Columns, workers: int = 1) -> Neighbours:
    """Return the past rows that are most similar to each row.

    Parameters
    ----------
    index : PastPostings
    columns : list of (list of str)
        Of other rows.
    workers : int
        Processes. The result does not depend on it.
    """
    queries = make_rows(index, columns)
    tasks = (queries[start : start + TASK] for start in range(0, queries.shape[0], TASK))
    k = min(index.neighbours, index.rows.shape[0])
    past_rows = np.bincount(index.rows.indices, minlength=index.rows.shape[1])
    if past_rows[queries.indices].sum() < FEW_PAIRS:
        workers = 1
    find = partial(_nearest, index.rows.T.tocsr(), k)
    parts = [part for _, part in map_ordered(find, tasks, workers)]
    empty = (np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))
    return Neighbours(*map(np.concatenate, zip(*parts or [empty], strict=True)))


def score_neighbours(index: PastPostings, neighbours: Neighbours) -> np.ndarray:
    """Return the log-probabilities of the accounts, float32 (rows, K).

    A row without neighbours gets the shares of the accounts.
    """
    position, similarity = neighbours
    votes = similarity.astype(np.float64) ** index.power
    n_rows, n_accounts = len(position), len(index.prior)
    cell = np.arange(n_rows)[:, None] * n_accounts + index.label[position]
    scores = np.bincount(cell.ravel(), votes.ravel(), n_rows * n_accounts)
    scores = scores.reshape(n_rows, n_accounts) + PRIOR * index.prior
    return np.log(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def save_index(index: PastPostings, folder: Path | str) -> None:
    """Write the index to `folder`: the same bytes for the same index."""
    rows = index.rows
    arrays = {
        "idf": index.idf,
        "gain": index.gain,
        "indices": rows.indices.astype(np.int32),
        "indptr": rows.indptr.astype(np.int64),
        "data": rows.data,
        "label": index.label,
        "prior": index.prior,
    }
    content = {
        "neighbours": index.neighbours,
        "power": index.power,
        "fields": index.fields,
        "terms": index.terms,
    }
    folder = Path(folder)
    with tables.replace_files([folder / ARRAYS, folder / VOCABULARY]) as (values, vocabulary):
        with open(values, "wb") as file:
            np.savez(file, **arrays)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        vocabulary.write_text(text, encoding="utf-8", newline="\n")


def load_index(folder: Path | str) -> PastPostings:
    """Return the index that `save_index` wrote, which gives the same scores, bit by bit."""
    from scipy.sparse import csr_matrix

    folder = Path(folder)
    content = tables.read_json(folder / VOCABULARY)
    with np.load(folder / ARRAYS, allow_pickle=False) as a:
        shape = (len(a["label"]), len(a["idf"]))
        rows = csr_matrix((a["data"], a["indices"], a["indptr"]), shape=shape)
        return PastPostings(
            content["neighbours"],
            content["power"],
            content["fields"],
            content["terms"],
            a["idf"],
            a["gain"],
            rows,
            a["label"],
            a["prior"],
        )
