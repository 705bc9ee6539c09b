"""A saved model: the trained weights alone, and the same bytes for the same weights."""

import json

import pytest
import torch
from base_models import model_params
from project import ROOT
from safetensors.torch import load_file

from stages.lib.model.manifest import verify_manifest
from stages.lib.model.saved_model import save_model, trained_weights
from stages.lib.model.trainable_model import apply_peft_adapters, instantiate_model, unfreeze
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams


@pytest.fixture(autouse=True)
def repository(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)  # which has the list of libraries


@pytest.fixture
def label_map(tmp_path):
    path = tmp_path / "label_map.json"
    path.write_text('{"accounts": []}')
    return path


def base(tiny_model, dtype="float32", all_weights=False):
    params = model_params(tiny_model, "0" * 64, dtype=dtype)
    unpinned = params.model_copy(update={"revision": None})
    model = instantiate_model(unpinned, [300, 17], all_weights=all_weights, checkpointing=False)
    return params, model


def adapted(tiny_model):
    params, model = base(tiny_model)
    lora = load_params(ROOT, lora=LoraParams).lora.model_copy(
        update={"target_modules": ["v_proj", "q_proj", "o_proj"]}
    )
    torch.manual_seed(0)
    return params, apply_peft_adapters(model, lora, params)


def test_only_trained_weights_are_saved(tiny_model, label_map, tmp_path):
    params, model = adapted(tiny_model)
    weights = trained_weights(model)
    assert len(weights) == 2 * 3 * 2 + 1  # two matrices, three modules, two layers; the head
    assert {weight.device.type for weight in weights.values()} == {"cpu"}
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").write_text("of the training before")
    save_model(model, weights, params, label_map, folder)
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "label_map.json",
        "manifest.json",
    }
    assert len(load_file(folder / "adapter_model.safetensors")) == len(weights)
    manifest = verify_manifest(folder)
    assert manifest["base_model"] == {
        "name": str(tiny_model),
        "revision": "0" * 64,
        "dtype": "float32",
        "quantize": "none",
    }
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)
    assert config["revision"] == "0" * 64
    assert config["target_modules"] == ["o_proj", "q_proj", "v_proj"]  # peft has a set of them


def test_the_same_weights_are_the_same_bytes(tiny_model, label_map, tmp_path):
    saved = []
    for name in ("one", "two"):
        params, model = adapted(tiny_model)
        save_model(model, trained_weights(model), params, label_map, tmp_path / name)
        files = sorted((tmp_path / name).iterdir())
        saved.append({path.name: path.read_bytes() for path in files})
    assert saved[0] == saved[1]


def test_whole_weights_are_saved_in_the_format_of_the_base_model(tiny_model, label_map, tmp_path):
    params, model = base(tiny_model, "bfloat16", all_weights=True)
    weights = trained_weights(unfreeze(model, True))
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    save_model(model, weights, params, label_map, tmp_path / "model")
    saved = load_file(tmp_path / "model/model.safetensors")
    assert saved.keys() == weights.keys()
    assert {weight.dtype for weight in saved.values()} == {torch.bfloat16}
