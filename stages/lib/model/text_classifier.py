"""Classify texts with TF-IDF features and linear support vector machines, on scikit-learn.

scikit-learn is imported where it is used: it takes seconds, and mistakes in parameters are told
before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.lib.errors import UserError
from stages.lib.progress import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

# Columns of text, one string a row.
Columns = list[list[str]]


def character_fields(
    chosen: list[str] | None, fields: list[str], roles: dict[str, str]
) -> list[str]:
    """Return the visible fields that are also read by their characters: those of free spelling.

    Parameters
    ----------
    chosen : list of str or None
        ``baseline.character_fields``. None: the visible fields of the roles group and text.
    fields : list of str
        Visible fields.
    roles : dict of {field: role}

    Raises
    ------
    UserError
        One of `chosen` is not a visible field.
    """
    if chosen is None:
        return [name for name in fields if roles.get(name) in ("group", "text")]
    if unknown := [name for name in chosen if name not in fields]:
        raise UserError(
            "unsuitable-column",
            "params_train.yaml: baseline.character_fields",
            f"no visible field {', '.join(unknown)}; expected some of {', '.join(fields)}",
            "correct the names, or set it to null to choose by role",
        )
    return chosen


def plain_vectorizers() -> list[tuple[TfidfVectorizer, int]]:
    """Return scikit-learn's default for the words of the first column."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return [(TfidfVectorizer(), 0)]


def field_vectorizers(
    fields: list[str], by_characters: list[str], word_ngrams: int, character_ngrams: int
) -> list[tuple[TfidfVectorizer, int]]:
    """Return vectorizers for the words of each field, then for the characters of some.

    Parameters
    ----------
    fields, by_characters : list of str
    word_ngrams, character_ngrams : int
        The longest sequence of words, and of characters within a word, that is one feature.

    Returns
    -------
    list of (TfidfVectorizer, int)
        With the position of its field.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = {"token_pattern": r"\w+", "ngram_range": (1, word_ngrams)}
    characters = {"analyzer": "char_wb", "ngram_range": (3, character_ngrams), "min_df": 2}
    chosen = [(words, name) for name in fields] + [(characters, name) for name in by_characters]
    return [
        (TfidfVectorizer(sublinear_tf=True, **settings), fields.index(name))
        for settings, name in chosen
    ]


def text_features(
    vectorizers: list[tuple[TfidfVectorizer, int]], train: Columns, others: list[Columns]
) -> list[csr_matrix]:
    """Fit the vectorizers on the training rows; return the features of all rows.

    Parameters
    ----------
    vectorizers : list of (TfidfVectorizer, int)
        With the position of its column. One that finds no feature is left out.
    train : list of columns
    others : list of (list of columns)
        The same columns of other rows.

    Returns
    -------
    list of csr_matrix of float64, (rows, features)
        Of the training rows first, then of each of the others.

    Raises
    ------
    UserError
        No vectorizer finds a feature.
    """
    from scipy.sparse import hstack

    blocks: list[list] = [[] for _ in range(1 + len(others))]
    for vectorizer, column in vectorizers:
        try:
            blocks[0].append(vectorizer.fit_transform(train[column]))
        except ValueError:  # no text at all, or none that two rows share
            continue
        for block, columns in zip(blocks[1:], others, strict=True):
            block.append(vectorizer.transform(columns[column]))
    if not blocks[0]:
        raise UserError(
            "no-text",
            "params.yaml: feature.fields",
            "these fields have no text in any training row, so there is nothing to learn from",
            "add a field that has text",
        )
    return [hstack(block).tocsr() for block in blocks]


def svc_scores(
    features: list[csr_matrix], label: np.ndarray, n_accounts: int, regularization: float, name: str
) -> list[np.ndarray]:
    """Fit one linear support vector machine an account; return the scores of the other rows.

    The accounts are fitted in processes, not in threads: liblinear has one random state for all
    threads, so threads would change the result. `OneVsRestClassifier` does the same, but shows no
    progress, and gives one column of scores instead of two where there are two accounts.

    Parameters
    ----------
    features : list of csr_matrix, (rows, features)
        Of the training rows first, then of the rows to score.
    label : ndarray of int64
        Accounts of the training rows.
    n_accounts : int
        Number of accounts, K.
    regularization : float
        Inverse strength, C.
    name : str
        First word of the line that says how far it is.

    Returns
    -------
    list of ndarray of float32, (rows, K)
        One for each of the matrices after the first.
    """
    from joblib import Parallel, delayed
    from sklearn.svm import LinearSVC

    def fit(account):
        machine = LinearSVC(C=regularization, random_state=0)
        machine.fit(features[0], label == account)
        return machine.coef_[0].astype(np.float32), np.float32(machine.intercept_[0])

    # Starting processes takes seconds: a small ledger is fitted in less.
    jobs = -1 if features[0].nnz * n_accounts > 50_000_000 else 1
    run = Parallel(n_jobs=jobs, return_as="generator")
    fitted = run(delayed(fit)(account) for account in range(n_accounts))
    machines = []
    with Progress(name, n_accounts) as progress:
        for machine in fitted:
            machines.append(machine)
            progress.update()
    weights, bias = (np.stack(part) for part in zip(*machines, strict=True))
    return [(matrix @ weights.T + bias).astype(np.float32) for matrix in features[1:]]
