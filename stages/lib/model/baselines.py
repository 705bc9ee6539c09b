"""The four baselines, which see the same fields as the language model."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import SIDES
from stages.lib.model.lookup import lookup_columns, lookup_scores, merge_vendors
from stages.lib.model.text_classifier import (
    character_fields,
    field_vectorizers,
    plain_vectorizers,
    svc_scores,
    text_features,
)
from stages.lib.params.baseline import BaselineParams


def score_baselines(
    sides: dict[str, pa.Table],
    label: np.ndarray,
    n_accounts: int,
    fields: list[str],
    roles: dict[str, str],
    params: BaselineParams,
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the name of each baseline and its scores of the validation and the test rows.

    Parameters
    ----------
    sides : dict of {side: Table}
        The rows of the split.
    label : ndarray of int64
        Accounts of the training rows, below K.
    n_accounts : int
        Number of accounts, K.
    fields : list of str
        Visible fields.
    roles : dict of {field: role}
    params : BaselineParams

    Yields
    ------
    name : str
    scores : list of ndarray of float32, (rows, K)
        Of validation, then of test.

    Raises
    ------
    UserError
        A parameter names a column that does not exist, or no training row has text.
    """
    keys = lookup_columns(params.lookup_columns, fields, roles, sides["train"])
    by_characters = character_fields(params.character_fields, fields, roles)
    text = _columns(sides, fields)
    joined = [[[" ".join(row) for row in zip(*columns, strict=True)]] for columns in text]

    def lookup(train, *others):
        return [lookup_scores(columns, train, label, n_accounts) for columns in others]

    def classify(name, vectorizers, columns, regularization):
        features = text_features(vectorizers, columns[0], columns[1:])
        return svc_scores(features, label, n_accounts, regularization, name)

    yield "majority", lookup(*([[""] * sides[side].num_rows] for side in SIDES))
    yield "lookup", lookup(*_columns(merge_vendors(sides)[0], keys))
    yield "tfidf_words", classify("tfidf_words", plain_vectorizers(), joined, 1.0)
    vectorizers = field_vectorizers(
        fields, by_characters, params.word_ngrams, params.character_ngrams
    )
    yield "tfidf_chars", classify("tfidf_chars", vectorizers, text, params.regularization)


def _columns(sides: dict[str, pa.Table], names: list[str]) -> list[list[list[str]]]:
    """Return the values of the columns, for each side in order."""
    return [[sides[side][name].to_pylist() for name in names] for side in SIDES]
