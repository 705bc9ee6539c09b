"""Datasets that `tokenize` wrote: read whole, or refused by name."""

import os

import pyarrow as pa
import pytest
from refusals import refused

from stages.lib.model.model_input import save_dataset
from stages.lib.model.tokenized import load_side


@pytest.fixture
def side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_dataset(pa.table({"row_id": [7, 9], "length": [1, 2]}), tmp_path / "data/tokenize/val")
    return tmp_path / "data/tokenize/val"


def test_a_side_is_read_without_a_trace(side):
    before = sorted(path.name for path in side.iterdir())
    assert load_side("val").filter(lambda row: row["length"] > 1)["row_id"][:] == [9]
    assert sorted(path.name for path in side.iterdir()) == before  # the folder is a DVC output


def test_a_side_that_is_missing_names_the_stage_that_makes_it(side):
    with refused("file-not-found", "data/tokenize/test", "dvc repro tokenize"):
        load_side("test")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(next(folder.glob("*.arrow")), 40),
        lambda folder: next(folder.glob("*.arrow")).unlink(),
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: (folder / "dataset_info.json").unlink(),
    ],
)
def test_a_damaged_side_is_refused(side, damage):
    damage(side)
    with refused("damaged-file", "data/tokenize/val") as caught:
        load_side("val")
    assert "\n" not in str(caught.value)
