"""What is read is about the same rows and one model."""

import pyarrow.parquet as pq
import pytest
from refusals import refused
from scored_ledger import ACCOUNTS, MODEL, NAMES, write_scores, write_workspace

from stages.lib.contracts.baseline import PREDICTIONS
from stages.lib.contracts.score import scores_path
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


def test_scores_are_read_as_they_were_written(logits, split):
    accounts, found, model = inputs.read_scores(split)
    assert (accounts, model) == (ACCOUNTS, MODEL)
    assert {side: scores.tolist() for side, scores in found.items()} == {
        side: scores.tolist() for side, scores in logits.items()
    }


@pytest.mark.parametrize("side", ["val", "test"])
def test_scores_of_other_rows_are_refused(split, side):
    path = scores_path(side)
    table = read_table(path)
    write_table(table.take(list(range(len(table)))[::-1]), path)
    with refused("other-rows", str(path), str(side_path(side))):
        inputs.read_scores(split)


def test_scores_of_two_models_are_refused(tmp_path, logits, split):
    write_scores(tmp_path, logits, model="cd" * 32)
    both = read_table(scores_path("test"))
    write_scores(tmp_path, logits)
    write_table(both, scores_path("test"))
    with refused("other-model", str(scores_path("val")), str(scores_path("test"))):
        inputs.read_scores(split)


def test_scores_that_do_not_name_their_model_are_refused(split):
    path = scores_path("test")
    write_table(read_table(path).replace_schema_metadata(None), path)
    with refused("damaged-file", str(path)):
        inputs.read_scores(split)


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


def test_account_names(logits):
    assert inputs.read_account_names() == NAMES
