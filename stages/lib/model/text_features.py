"""TF-IDF features of rows: the words, characters and whole cells of each field.

scikit-learn is imported where it is used: it takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.lib.errors import UserError
from stages.lib.params.classify import TextClassifierParams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Columns of text, one string a row.
Columns = list[list[str]]

# Length of the part of a row that one kind of feature makes.
LENGTHS = {"words": 1.0, "characters": 0.7, "cell": 1.0}
# No feature is kept that fewer rows have.
MIN_ROWS = 2
# Most features of one kind and field: the most frequent.
MAX_FEATURES = 100_000


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
