"""The text classifier: networks on TF-IDF features."""

import itertools

import numpy as np
import pytest

from stages.lib.errors import UserError
from stages.lib.model import text_networks
from stages.lib.model.text_networks import (
    fit_features,
    fit_network,
    fit_text_model,
    load_text_model,
    make_features,
    network_probabilities,
    save_text_model,
    score_text_model,
)
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


def many_rows(n_rows=240):
    random = np.random.default_rng(0)
    words = np.array(["alpha", "beta", "gamma", "delta", "서울", "부산"])
    label = random.integers(0, 4, n_rows)
    merchant = [
        f"{words[a]} {words[b]}" for a, b in zip(label, random.integers(0, 6, n_rows), strict=True)
    ]
    return [merchant, [str(words[i]) for i in random.integers(0, 6, n_rows)]], label


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

    columns, _ = many_rows()
    features, matrix = fit_features(columns[:1], ["text"], SETTINGS)
    expected = TfidfVectorizer(
        token_pattern=r"\w+", ngram_range=(1, 2), min_df=2, sublinear_tf=True
    ).fit_transform(columns[0])
    found = matrix[:, : len(features[0].terms)]
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-5)


def test_new_rows_get_the_features_of_the_training_rows_bit_by_bit():
    features, matrix = fit_features(COLUMNS, ROLES, SETTINGS)
    again = make_features(features, COLUMNS)
    assert (again != matrix).nnz == 0 and again.dtype == np.float32


def test_probabilities_come_near_those_of_logistic_regression_on_separable_rows():
    from sklearn.linear_model import LogisticRegression

    columns, label = many_rows()
    test, expected = many_rows(60)
    features, matrix = fit_features(columns, ROLES, SETTINGS)
    other = LogisticRegression(C=10, max_iter=1000).fit(matrix, label)
    network = fit_network(matrix, label, 4, SETTINGS, seed=1)
    found = network_probabilities(network, make_features(features, test))
    reference = other.predict_proba(make_features(features, test))
    assert found.argmax(axis=1).tolist() == reference.argmax(axis=1).tolist() == expected.tolist()
    assert np.abs(found - reference).mean() < 0.1


def test_a_rows_probabilities_add_up_to_one():
    scores = score_text_model(fit_text_model(COLUMNS, ROLES, LABEL, 4, SETTINGS), COLUMNS)
    assert scores.shape == (8, 4) and scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)


def test_hangul_and_accounts_of_several_rows_are_learned():
    model = fit_text_model(COLUMNS, ROLES, LABEL, 4, SETTINGS)
    scores = score_text_model(model, [["서울 호텔", "SHELL"], ["", ""]])
    assert scores.argmax(axis=1).tolist() == [1, 0]


def test_rows_without_text_get_finite_scores():
    model = fit_text_model(COLUMNS, ROLES, LABEL, 5, SETTINGS)  # account 4 has no row
    scores = score_text_model(model, [["", "unknown"], ["", "words"]])
    assert np.isfinite(scores).all()
    assert scores[0].tolist() == scores[1].tolist()


def test_no_rows_get_no_scores():
    model = fit_text_model(COLUMNS, ROLES, LABEL, 4, SETTINGS)
    assert score_text_model(model, [[], []]).shape == (0, 4)


def test_without_any_text_there_is_nothing_to_learn():
    with pytest.raises(UserError) as error:
        fit_text_model([["", ""]], ["text"], np.array([0, 1]), 2, SETTINGS)
    assert error.value.code == "no-text"


def test_the_result_does_not_depend_on_threads_or_processes():
    from threadpoolctl import threadpool_limits

    columns, label = many_rows()
    settings = SETTINGS.model_copy(update={"epochs": 3, "hidden": 64})
    with threadpool_limits(1):
        one = score_text_model(fit_text_model(columns, ROLES, label, 4, settings, 1), columns)
    with threadpool_limits(4):
        two = score_text_model(fit_text_model(columns, ROLES, label, 4, settings, 2), columns)
    assert one.tobytes() == two.tobytes()


def test_a_saved_model_gives_the_same_scores_and_the_same_bytes(tmp_path):
    model = fit_text_model(COLUMNS, ROLES, LABEL, 4, SETTINGS)
    save_text_model(model, tmp_path / "a")
    loaded = load_text_model(tmp_path / "a")
    before, after = score_text_model(model, COLUMNS), score_text_model(loaded, COLUMNS)
    assert before.tobytes() == after.tobytes()
    save_text_model(loaded, tmp_path / "b")
    for name in ("weights.npz", "vocabulary.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_large_ledgers_get_fewer_passes(monkeypatch):
    monkeypatch.setattr(text_networks, "MAX_VISITS", 1)
    columns, label = many_rows()
    _, matrix = fit_features(columns, ROLES, SETTINGS)
    many = fit_network(matrix, label, 4, SETTINGS.model_copy(update={"epochs": 3}), 1)
    few = fit_network(matrix, label, 4, SETTINGS.model_copy(update={"epochs": 30}), 1)
    assert many.first.tobytes() == few.first.tobytes()
