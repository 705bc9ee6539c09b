"""What is read is about the same rows and accounts, and each stage has one model."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.special
from refusals import refused
from scored_ledger import ACCOUNTS, MODELS, NAMES, write_workspace

from stages.lib.contracts.baseline import PREDICTIONS
from stages.lib.contracts.classify import cross_fitted_path, neighbours_path
from stages.lib.contracts.scores import EXPERTS, SCORED_SIDES, logits_of, scores_path, scores_table
from stages.lib.contracts.split import side_path
from stages.lib.evaluation import inputs
from stages.lib.tables import read_table, write_table


@pytest.fixture
def logits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_workspace(tmp_path)


@pytest.fixture
def split(logits):
    return {side: read_table(side_path(side)) for side in ("train", "val", "test")}


every_file = pytest.mark.parametrize(
    ("expert", "side"), [(expert, side) for expert in EXPERTS for side in SCORED_SIDES]
)


def rewrite(path, logits=None, accounts=ACCOUNTS, model=MODELS["classify"]):
    """Write the scores in `path` anew, with another content."""
    table = read_table(path)
    logits = logits_of(table) if logits is None else logits
    row_ids = table["row_id"].combine_chunks()
    write_table(scores_table(row_ids, logits, accounts, model), path)


def test_scores_are_read_as_log_probabilities(logits, split):
    found = inputs.read_experts(split)
    assert (found.accounts, found.models) == (ACCOUNTS, MODELS)
    assert {side: list(experts) for side, experts in found.scores.items()} == {
        "val": list(EXPERTS),
        "test": list(EXPERTS),
    }
    for side, experts in logits.items():
        for name, written in experts.items():
            expected = np.log(scipy.special.softmax(written.astype(np.float64), axis=1))
            np.testing.assert_allclose(found.scores[side][name], expected, atol=1e-6)


@every_file
def test_scores_of_other_rows_are_refused(split, expert, side):
    path = scores_path(expert, side)
    table = read_table(path)
    write_table(table.take(list(range(len(table)))[::-1]), path)
    with refused("other-rows", str(path), str(side_path(side))):
        inputs.read_experts(split)


@every_file
def test_scores_of_other_accounts_are_refused(split, expert, side):
    path = scores_path(expert, side)
    rewrite(path, accounts=[*ACCOUNTS[1:], ACCOUNTS[0]])
    with refused("other-accounts", str(path), str(side_path("train"))):
        inputs.read_experts(split)


@pytest.mark.parametrize(
    ("expert", "folder"),
    [("language_model", "data/score"), ("text_classifier", "data/classify")],
)
def test_scores_of_two_models_of_a_stage_are_refused(split, expert, folder):
    path = scores_path(expert, "test")
    rewrite(path, model="cd" * 32)
    with refused("other-model", folder):
        inputs.read_experts(split)


def test_both_experts_of_classify_must_be_of_one_model(split):
    for side in SCORED_SIDES:
        rewrite(scores_path("past_postings", side), model="cd" * 32)
    with refused("other-model", str(scores_path("past_postings", "val"))):
        inputs.read_experts(split)


@every_file
@pytest.mark.parametrize("kept", [None, {"accounts": "[]"}, {"model": "ab"}])
def test_scores_that_do_not_name_their_accounts_and_model_are_refused(split, expert, side, kept):
    path = scores_path(expert, side)
    write_table(read_table(path).replace_schema_metadata(kept), path)
    with refused("damaged-file", str(path)):
        inputs.read_experts(split)


@every_file
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused(logits, split, expert, side, value):
    path = scores_path(expert, side)
    scores = logits[side][expert]
    scores[7, 2] = value
    rewrite(path, scores, model=MODELS["train" if expert == "language_model" else "classify"])
    action = "lower training.learning_rate" if expert == "language_model" else "dvc repro evaluate"
    with refused("score-not-finite", str(path), "row 7", action):
        inputs.read_experts(split)


def test_baselines_are_told_apart_by_side(split):
    found = inputs.read_baselines(split)
    assert {side: list(tables) for side, tables in found.items()} == {
        "val": ["majority", "tfidf_chars"],
        "test": ["majority", "tfidf_chars"],
    }
    assert found["val"]["majority"].num_rows == 120
    assert set(found["test"]["majority"]["predicted"].to_pylist()) == {"0101"}


def test_baselines_of_other_rows_are_refused(split):
    write_table(pq.read_table(PREDICTIONS).slice(1), PREDICTIONS)
    with refused("other-rows", str(PREDICTIONS), str(side_path("val"))):
        inputs.read_baselines(split)


@pytest.mark.parametrize("side", ["train", "val", "test"])
def test_neighbours_are_positions_of_training_rows(split, side):
    found = inputs.read_neighbours(split)[side]
    table = read_table(neighbours_path(side)).to_pylist()
    assert {len(pairs) for pairs in found} == {0, 1, 2, 3}
    train = split["train"]["row_id"].to_pylist()
    for pairs, row in zip(found, table, strict=True):
        assert [train[place] for place, _ in pairs] == row["past_row_id"]
        assert [value for _, value in pairs] == row["similarity"]


@pytest.mark.parametrize("side", ["train", "val", "test"])
def test_neighbours_of_other_rows_are_refused(split, side):
    path = neighbours_path(side)
    write_table(read_table(path).slice(1), path)
    with refused("other-rows", str(path), str(side_path(side))):
        inputs.read_neighbours(split)


def test_neighbours_that_are_no_training_rows_are_refused(split):
    past = [[side_row] for side_row in split["test"]["row_id"].to_pylist()]
    path = neighbours_path("test")
    table = read_table(path)
    write_table(table.set_column(1, "past_row_id", [past]).cast(table.schema), path)
    with refused("other-rows", str(path), str(side_path("train"))):
        inputs.read_neighbours(split)


def test_cross_fitted_scores_are_of_the_training_rows(split):
    experts = inputs.read_experts(split)
    found = inputs.read_cross_fitted(split, experts)
    assert list(found) == ["text_classifier", "past_postings"]
    assert {scores.shape for scores in found.values()} == {(200, 4)}
    path = cross_fitted_path("past_postings")
    table = read_table(path)
    write_table(table.slice(1), path)
    with refused("other-rows", str(path), str(side_path("train"))):
        inputs.read_cross_fitted(split, experts)
    write_table(table, path)
    rewrite(path, model="cd" * 32)
    with refused("other-model", str(path)):
        inputs.read_cross_fitted(split, experts)


def test_account_names(logits):
    assert inputs.read_account_names() == NAMES
