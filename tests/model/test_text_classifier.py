"""Texts are told apart, and the fields that are read by their characters are chosen by role."""

import numpy as np
import pytest
from refusals import refused
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from stages.lib.model.text_classifier import (
    character_fields,
    field_vectorizers,
    plain_vectorizers,
    svc_scores,
    text_features,
)

FIELDS = ["seller", "memo", "kind"]
ROLES = {"seller": "group", "memo": "text", "kind": "category"}


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (ROLES, ["seller", "memo"]),
        ({"kind": "text"}, ["kind"]),
        ({"seller": "category", "memo": "date", "kind": "amount_bucket"}, []),
    ],
)
def test_fields_are_chosen_by_role(roles, expected):
    assert character_fields(None, FIELDS, roles) == expected


def test_the_sample_ledger_is_read_by_the_characters_of_merchant_and_purpose():
    fields = ["merchant", "merchant_category", "purpose", "division", "amount_bucket"]
    roles = dict(
        zip(fields, ["group", "category", "text", "category", "amount_bucket"], strict=True)
    )
    assert character_fields(None, fields, roles) == ["merchant", "purpose"]


def test_fields_that_are_named_are_taken():
    assert character_fields(["kind"], FIELDS, ROLES) == ["kind"]
    assert character_fields([], FIELDS, ROLES) == []


def test_a_field_that_is_not_visible_is_refused():
    with refused("unsuitable-column", "baseline.character_fields", "gone", "seller"):
        character_fields(["kind", "gone"], FIELDS, ROLES)


def test_words_of_all_fields_come_before_the_characters_of_some():
    chosen = field_vectorizers(["seller", "memo"], ["memo"], 2, 4)
    settings = [(v.analyzer, v.ngram_range, v.sublinear_tf, column) for v, column in chosen]
    assert settings == [
        ("word", (1, 2), True, 0),
        ("word", (1, 2), True, 1),
        ("char_wb", (3, 4), True, 1),
    ]


TRAIN = [["tim hortons", "esso"], ["lunch", "fuel for 7"]]
OTHER = [["esso"], ["lunch"]]


def test_features_of_other_rows_are_those_of_training():
    train, other = text_features(field_vectorizers(["a", "b"], [], 1, 3), TRAIN, [OTHER])
    words = [
        TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit(column) for column in TRAIN
    ]
    for found, columns in ((train, TRAIN), (other, OTHER)):
        parts = [v.transform(column).toarray() for v, column in zip(words, columns, strict=True)]
        np.testing.assert_array_equal(found.toarray(), np.hstack(parts))


def test_an_empty_field_is_passed_over():
    columns = [TRAIN[0], ["", ""]]
    train, other = text_features(field_vectorizers(["a", "b"], ["b"], 1, 3), columns, [OTHER])
    assert (train.shape, other.shape) == ((2, 3), (1, 3))


def test_fields_without_any_text_are_refused():
    with refused("no-text", "feature.fields"):
        text_features(plain_vectorizers(), [["", ""]], [[["esso"]]])


def test_two_accounts_are_told_apart():
    features = csr_matrix(np.eye(4))
    (scores,) = svc_scores([features, features], np.array([0, 0, 1, 1]), 2, 1.0, "")
    assert scores.argmax(axis=1).tolist() == [0, 0, 1, 1]
    assert (scores.shape, scores.dtype) == ((4, 2), np.float32)


def test_scores_are_those_of_one_against_the_rest():
    choose = np.random.default_rng(0)
    features, label = csr_matrix(choose.random((60, 8))), np.arange(60) % 4
    (scores,) = svc_scores([features, features], label, 4, 0.5, "")
    machines = OneVsRestClassifier(LinearSVC(C=0.5, random_state=0)).fit(features, label)
    np.testing.assert_allclose(scores, machines.decision_function(features), rtol=1e-4, atol=1e-5)
