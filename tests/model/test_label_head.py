"""The label head: K rows of the output matrix, and what the loaded base model may not lack."""

import shutil

import torch
from base_models import model_params
from refusals import refused
from safetensors.torch import load_file, save_file

from stages.lib.model.batches import pad_right
from stages.lib.model.label_head import LabelHead, load_base_model

LABELS = [300, 17, 301, 450]


def test_only_the_rows_of_the_label_tokens_are_multiplied(tiny_model):
    model = load_base_model(tiny_model, model_params(tiny_model), LABELS)
    assert model(**pad_right([[5, 6], [7]])).logits.shape == (2, 1, len(LABELS))


def test_training_the_head_would_not_change_what_the_model_reads(tiny_model):
    model = load_base_model(tiny_model, model_params(tiny_model), LABELS)
    before = model.get_input_embeddings().weight.clone()
    head = model.get_output_embeddings().weight
    torch.testing.assert_close(head.data, before[LABELS], rtol=0, atol=0)
    head.data += 1
    torch.testing.assert_close(model.get_input_embeddings().weight, before, rtol=0, atol=0)


def test_the_head_adds_a_bias_where_the_model_has_one():
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 9)
    hidden = torch.randn(4, 1, 6)
    found = LabelHead(linear, [8, 0, 3])(hidden)
    torch.testing.assert_close(found, linear(hidden)[..., [8, 0, 3]])


def test_bfloat16_weights_are_loaded_as_such_and_the_head_stays_exact(tiny_model):
    model = load_base_model(tiny_model, model_params(tiny_model, dtype="bfloat16"), LABELS)
    head = model.get_output_embeddings().weight
    others = {weight.dtype for weight in model.parameters() if weight is not head}
    assert (others, head.dtype) == ({torch.bfloat16}, torch.float32)
    assert model(**pad_right([[5, 6]])).logits.dtype == torch.float32


def test_a_base_model_that_cannot_be_loaded_is_one_line(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"\x00" * 40)
    with refused("unreadable-base-model", "model.name", str(folder)) as caught:
        load_base_model(folder, model_params(folder), LABELS)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_a_tensor_are_refused(tiny_model, tmp_path):
    """transformers would fill it with random numbers and continue."""
    folder = shutil.copytree(tiny_model, tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    lacking = "model.layers.1.mlp.up_proj.weight"
    save_file({k: v for k, v in weights.items() if k != lacking}, folder / "model.safetensors")
    with refused("incomplete-base-model", "model.name", str(folder), lacking):
        load_base_model(folder, model_params(folder), LABELS)


def test_an_unknown_architecture_is_one_line(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "strange")
    (folder / "config.json").write_text('{"model_type": "strange"}')
    with refused("unreadable-base-model", "model.name", str(folder)):
        load_base_model(folder, model_params(folder), LABELS)
