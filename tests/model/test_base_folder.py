"""A base model in a local folder: where it is looked for, and each part that it may lack."""

import json
import shutil
from pathlib import Path

import pytest
from refusals import refused

from stages.lib.checksums import folder_sha256
from stages.lib.model.base_folder import check_parts, find_folder


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_a_folder_is_used_where_it_is(folder):
    assert find_folder(str(folder), None) == folder
    assert find_folder(str(folder), folder_sha256(folder)) == folder


def test_a_relative_folder_starts_with_a_dot(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert find_folder("./model", None) == Path("model")


def test_a_queued_experiment_finds_the_folder_in_the_repository(folder, monkeypatch, tmp_path):
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(folder.parent))
    assert find_folder("./model", None) == folder


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with refused("no-base-model", "model.name", str(tmp_path / "none")):
        find_folder(str(tmp_path / "none"), None)


def test_a_folder_with_other_bytes_than_the_revision_is_refused(folder):
    revision = folder_sha256(folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with refused("changed-base-model", "model.revision", revision, folder_sha256(folder)):
        find_folder(str(folder), revision)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("config.json", "config.json"),
        ("tokenizer.json", "tokenizer.json"),
        ("model.safetensors", "*.safetensors"),
    ],
)
def test_a_folder_without_one_of_its_parts_is_refused(folder, missing, named):
    check_parts("./model", folder)
    (folder / missing).unlink()
    with refused("incomplete-base-model", "model.name", "./model", named):
        check_parts("./model", folder)


def test_a_folder_that_lacks_a_shard_is_refused(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with refused("incomplete-base-model", "model-00002-of-00002.safetensors"):
        check_parts("./model", folder)
