"""The text classifier: networks on TF-IDF features."""

import numpy as np
import pytest

from stages.lib.errors import UserError
from stages.lib.model import text_networks
from stages.lib.model.text_features import fit_features, make_features
from stages.lib.model.text_networks import (
    fit_network,
    fit_text_model,
    load_text_model,
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
