"""The stage `score`: logits of the rows as `evaluate_model` computes them, in the split's order."""

import json
import shutil
from contextlib import chdir

import numpy as np
import pyarrow as pa
import pytest
from project import run_stage
from refusals import refused

from stages import score
from stages.lib.checksums import file_sha256
from stages.lib.contracts.scores import (
    LANGUAGE_MODEL,
    accounts_of,
    logits_of,
    model_of,
    scores_path,
)
from stages.lib.model.scoring import load_trained_model
from stages.lib.tables import read_table
from stages.score import evaluate_model


@pytest.fixture(scope="module")
def scored(trained, tmp_path_factory):
    """Return a project in which `score` has run as a process, and what it printed."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("scored") / "project")
    done = run_stage("score", folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def scores(folder, side: str) -> pa.Table:
    return read_table(folder / scores_path(LANGUAGE_MODEL, side))


def test_each_row_of_the_split_has_its_logits(scored):
    folder, _ = scored
    trained = load_trained_model(folder / "models/train", trust_remote_code=False)
    for side in ("val", "test"):
        rows = pa.ipc.open_stream(next((folder / f"data/tokenize/{side}").glob("*.arrow")))
        prompts = rows.read_all()["input_ids"].to_pylist()
        found = scores(folder, side)
        expected = evaluate_model(trained, {side: prompts}, 1024, 1)[side]
        np.testing.assert_array_equal(logits_of(found), expected)
        split = read_table(folder / f"data/split/{side}.parquet")
        assert found["row_id"].to_pylist() == split["row_id"].to_pylist()
        assert found.schema.types == [pa.int64(), pa.list_(pa.float32(), 5)]


def test_the_scores_name_their_accounts_and_their_model(scored):
    folder, _ = scored
    label_map = json.loads((folder / "data/tokenize/label_map.json").read_text())
    for side in ("val", "test"):
        found = scores(folder, side)
        assert accounts_of(found) == [entry["acct_code"] for entry in label_map["accounts"]]
        assert model_of(found) == file_sha256(folder / "models/train/manifest.json")


def test_the_stage_writes_nothing_else(scored, trained):
    folder, _ = scored
    new = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    new -= {path.relative_to(trained) for path in trained.rglob("*") if path.is_file()}
    written = {path.as_posix() for path in new if path.suffix != ".pyc"}
    assert written == {f"data/score/language_model_{side}.parquet" for side in ("val", "test")}


def test_nothing_is_printed_but_the_rows(scored):
    _, done = scored
    assert done.stdout == "val: 8 rows scored\ntest: 12 rows scored\n"
    assert done.stderr == ""


def test_a_damaged_model_leaves_no_scores(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "project")
    (folder / "models/train/adapter_config.json").unlink()
    with chdir(folder), refused("damaged-model", "models/train/adapter_config.json"):
        score.main()
    assert not (folder / "data/score").exists()


def test_prompts_of_another_form_than_the_model_learned_are_refused(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "project")
    path = folder / "data/tokenize/label_map.json"
    content = json.loads(path.read_text())
    content["prompt"]["max_tokens"] += 1
    path.write_text(json.dumps(content))
    with chdir(folder), refused("other-prompts", "data/tokenize", "models/train"):
        score.main()
    assert not (folder / "data/score").exists()
