"""TF-IDF features of rows, against scikit-learn and by hand."""

import itertools

import numpy as np

from stages.lib.model.text_features import distinct_cells, fit_features, make_features
from stages.lib.params.classify import TextClassifierParams

SETTINGS = TextClassifierParams(
    word_ngrams=2,
    character_ngrams=4,
    hidden=16,
    networks=2,
    epochs=300,
    learning_rate=0.1,
    dropout=0.2,
    seed=7,
)
ROLES = ["group", "category"]
COLUMNS = [
    [
        "shell gas",
        "shell gas",
        "hotel seoul",
        "서울 호텔",
        "서울 호텔",
        "paper shop",
        "paper shop",
        "",
    ],
    ["fuel", "fuel", "travel", "travel", "travel", "office", "office", ""],
]
LABEL = np.array([0, 0, 1, 1, 1, 2, 2, 3])


def test_cells_and_words_are_tf_idf_of_their_field():
    settings = SETTINGS.model_copy(update={"word_ngrams": 1})
    features, matrix = fit_features([["a b", "a", ""]], ["category"], settings)
    # b is in one row only; the cells are in one row each.
    assert [(f.kind, f.terms) for f in features] == [("words", ["a"])]
    np.testing.assert_allclose(features[0].idf, [np.log(4 / 3) + 1], rtol=1e-6)
    assert matrix.toarray().tolist() == [[1.0], [1.0], [0.0]]


def test_each_kind_of_feature_has_its_length():
    features, matrix = fit_features(COLUMNS, ROLES, SETTINGS)
    assert [(f.field, f.kind) for f in features] == [
        (0, "words"),
        (1, "words"),
        (0, "characters"),
        (1, "cell"),
    ]
    first = matrix[0].toarray()[0]
    ends = np.cumsum([0] + [len(f.terms) for f in features])
    lengths = [np.linalg.norm(first[a:b]) for a, b in itertools.pairwise(ends)]
    np.testing.assert_allclose(lengths, [1, 1, 0.7, 1], rtol=1e-6)


def test_features_equal_those_of_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer

    words, random = ["alpha", "beta", "gamma", "서울", "부산"], np.random.default_rng(0)
    columns = [[" ".join(random.choice(words, 2)) for _ in range(240)]]
    features, matrix = fit_features(columns, ["text"], SETTINGS)
    expected = TfidfVectorizer(
        token_pattern=r"\w+", ngram_range=(1, 2), min_df=2, sublinear_tf=True
    ).fit_transform(columns[0])
    found = matrix[:, : len(features[0].terms)]
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-5)


def test_new_rows_get_the_features_of_the_training_rows_bit_by_bit():
    features, matrix = fit_features(COLUMNS, ROLES, SETTINGS)
    again = make_features(features, COLUMNS)
    assert (again != matrix).nnz == 0 and again.dtype == np.float32


def test_each_different_cell_is_read_once_and_finds_its_place():
    cells, place = distinct_cells(["b", "", "b", "가", ""])
    assert (cells, place.tolist()) == (["b", "", "가"], [0, 1, 0, 2, 1])
