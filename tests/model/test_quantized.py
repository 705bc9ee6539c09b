"""Base weights in 4 bits: the model that is trained is the one that is saved and scores."""

import json
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from base_models import model_params
from project import run
from refusals import refused
from torch import nn
from training import adapter, copy_of, curve, train_in

from stages.lib.model import quantized
from stages.lib.model.label_head import load_base_model
from stages.lib.model.quantized import quantized_loading
from stages.lib.model.scoring import load_trained_model, score_rows
from stages.lib.model.tokenized import load_side

LABELS = [300, 17, 301, 450, 20]
NF4 = {"model__quantize": "nf4", "lora__lora_dropout": 0.0}


def test_a_machine_without_the_package_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    with refused("missing-package", "model.quantize", "pip install -r requirements-quantize.txt"):
        quantized_loading(model_params("./tiny", quantize="nf4"))
    assert quantized_loading(model_params("./tiny")) == {}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def trained_in_4_bits(request, tokenized, tmp_path_factory):
    pytest.importorskip("bitsandbytes")
    folder = copy_of(
        tokenized,
        tmp_path_factory.mktemp("nf4") / "project",
        model__dtype=request.param,
        training__num_train_epochs=4,
        **NF4,
    )
    train_in(folder)
    return folder, request.param


def test_it_trains_saves_reloads_and_scores(trained_in_4_bits, monkeypatch, tiny_model):
    folder, dtype = trained_in_4_bits
    losses = curve(folder, "train_loss")
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])

    manifest = json.loads((folder / "models/train/manifest.json").read_text())
    assert manifest["base_model"]["quantize"] == "nf4"
    assert manifest["versions"]["bitsandbytes"] == version("bitsandbytes")
    monkeypatch.chdir(folder)
    rows = load_side("val")
    model = load_trained_model(folder / "models/train", trust_remote_code=False)
    scores = score_rows(model, rows["input_ids"], 100, 1, "test")

    # The training's own last word on these rows, so nothing was lost on the way.
    loss = nn.functional.cross_entropy(torch.from_numpy(scores), torch.tensor(rows["label"]))
    tolerance = 1e-5 if dtype == "float32" else 3e-2
    assert float(loss) == pytest.approx(min(curve(folder, "val_loss")), rel=tolerance)


def test_scores_are_those_of_the_weights_that_the_4_bits_stand_for(trained_in_4_bits, tiny_model):
    """Against a plain model to which the adapters are added by hand, in float64."""
    from bitsandbytes.functional import dequantize_4bit

    folder, dtype = trained_in_4_bits
    label_map = json.loads((folder / "models/train/label_map.json").read_text())
    ids = [entry["token_id"] for entry in label_map["accounts"]]
    coarse = load_base_model(tiny_model, model_params(tiny_model, dtype=dtype, quantize="nf4"), ids)
    plain = load_base_model(tiny_model, model_params(tiny_model, dtype=dtype), ids).double()
    saved, config = adapter(folder), folder / "models/train/adapter_config.json"
    config = json.loads(config.read_text())
    n_coarse = 0
    for name, module in coarse.named_modules():
        if type(module).__name__ == "Linear4bit":
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state).double()
            down, up = (saved[f"base_model.model.{name}.lora_{m}.weight"].double() for m in "AB")
            weight += config["lora_alpha"] / config["r"] * up @ down
            plain.get_submodule(name).weight.data = weight
            n_coarse += 1
    assert n_coarse == 14  # all linear modules of both layers
    plain.lm_head.weight.data = saved["base_model.model.lm_head.weight"].double()
    random = np.random.default_rng(0)
    prompts = [random.integers(2, 600, size=length).tolist() for length in [7, 1, 30, 12]]
    with torch.inference_mode():
        expected = [plain(torch.tensor([row])).logits[0, -1].numpy() for row in prompts]
    model = load_trained_model(folder / "models/train", trust_remote_code=False)
    found = score_rows(model, prompts, 40, 1, "test")
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=scale * (1e-5 if dtype == "float32" else 2e-2))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_validation_leaves_the_gradient_as_it_was(tiny_model, dtype):
    """Guards ``support_avx512bf16_for_cpu``: bitsandbytes would lose the gradient."""
    pytest.importorskip("bitsandbytes")
    params = model_params(tiny_model, dtype=dtype, quantize="nf4")
    model = load_base_model(tiny_model, params, LABELS)
    ids = torch.tensor([[5, 6, 7]])

    def gradient() -> torch.Tensor:
        embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
        logits = model.train()(inputs_embeds=embedded).logits
        return torch.autograd.grad(logits.square().sum(), embedded)[0]

    before = gradient()
    with torch.inference_mode():
        model.eval()(ids)
    assert torch.equal(gradient(), before) and before.abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"deepspeed__enabled": True, "model__dtype": "bfloat16", "deepspeed__bf16__enabled": True},
        {"training__gradient_checkpointing": True, "lora__use_dora": True},
    ],
    ids=["ZeRO-2", "gradient checkpointing, DoRA"],
)
def test_a_variant_learns_saves_and_reloads(tokenized, tmp_path, values):
    pytest.importorskip("bitsandbytes")
    folder = copy_of(
        tokenized, tmp_path / "project", training__num_train_epochs=4, **{**NF4, **values}
    )
    done = run([sys.executable, "-m", "stages.train"], folder)  # DeepSpeed stays in its process
    assert done.returncode == 0, done.stderr
    losses = curve(folder, "train_loss")
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    model = load_trained_model(folder / "models/train", trust_remote_code=False)
    assert np.isfinite(score_rows(model, [[5, 6, 7]], 40, 1, "test")).all()
