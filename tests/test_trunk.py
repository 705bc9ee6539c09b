"""The frozen layers, run once: the same logits and gradients as the whole model."""

import os
import shutil

import pytest
import torch

from stages.lib.errors import UserError
from stages.lib.model.base_model import ModelParams
from stages.lib.model.batches import pad_right
from stages.lib.model.scoring import load_base_model
from stages.lib.model.trunk import decoder_layers, drop_trunk, pad_states, trunk_states

ROWS = [[5, 9, 300], [7], [11, 12, 13, 14, 15, 16], [300, 5]]
LABELS = [300, 17, 301, 450]


def load(folder):
    model = ModelParams(name=str(folder), revision=None, trust_remote_code=False, dtype="float32")
    return load_base_model(folder, model, LABELS)


def loss_gradient(model, inputs) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model(**inputs).logits[:, 0]
    weight = next(w for n, w in model.named_parameters() if "layers.1" in n and "q_proj" in n)
    (gradient,) = torch.autograd.grad(logits.square().sum(), weight)
    return logits, gradient


def test_the_layers_above_the_trunk_give_the_logits_and_gradients_of_the_whole(
    tiny_model, tmp_path
):
    whole, upper = load(tiny_model), load(tiny_model)
    states = trunk_states(upper, 1, ROWS, tmp_path / "trunk.bin")
    drop_trunk(upper, 1)
    assert states.shape == (sum(map(len, ROWS)), whole.config.hidden_size)

    expected, expected_gradient = loss_gradient(whole, pad_right(ROWS))
    rows = torch.split(states, [len(row) for row in ROWS])
    found, found_gradient = loss_gradient(upper, pad_states(rows))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found_gradient, expected_gradient, atol=1e-5, rtol=1e-4)


def test_a_finished_file_is_taken_as_it_is_and_a_partial_one_is_not(tiny_model, tmp_path):
    path = tmp_path / "trunk.bin"
    model = load(tiny_model)
    first = trunk_states(model, 1, ROWS, path).clone()
    stamp = path.stat().st_mtime_ns
    drop_trunk(model, 1)  # could not compute them again
    assert torch.equal(trunk_states(model, 1, ROWS, path), first)
    assert path.stat().st_mtime_ns == stamp

    path.rename(path.with_suffix(".partial"))
    path.with_suffix(".partial").write_bytes(b"killed while writing")
    assert torch.equal(trunk_states(load(tiny_model), 1, ROWS, path), first)


@pytest.mark.parametrize("damage", [lambda p: flip(p), lambda p: os.truncate(p, 8)])
def test_a_damaged_file_is_made_anew(tiny_model, tmp_path, damage):
    path = tmp_path / "trunk.bin"
    first = trunk_states(load(tiny_model), 1, ROWS, path).clone()
    damage(path)
    assert torch.equal(trunk_states(load(tiny_model), 1, ROWS, path), first)


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def test_a_disk_without_room_is_told_before_any_work(tiny_model, tmp_path, monkeypatch):
    usage = type(shutil.disk_usage(tmp_path))(100, 90, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"take 0\.0 GB, 0\.0 GB are free; make room"):
        trunk_states(load(tiny_model), 1, ROWS, tmp_path / "trunk.bin")
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_left_in_the_mode_it_came_in(tiny_model, tmp_path):
    model = load(tiny_model).train()
    trunk_states(model, 1, ROWS, tmp_path / "trunk.bin")
    assert model.training
    assert not model.get_decoder().layers[1]._forward_pre_hooks


def test_a_row_is_padded_on_the_right_and_its_last_position_kept():
    found = pad_states([torch.ones(1, 2), torch.full((3, 2), 2.0)])
    assert found["inputs_embeds"][:, :, 0].tolist() == [[1, 0, 0], [2, 2, 2]]
    assert found["logits_to_keep"].tolist() == [[0], [2]]


def test_states_take_the_dtype_of_the_model(tiny_model, tmp_path):
    states = trunk_states(load(tiny_model).bfloat16(), 1, ROWS, tmp_path / "trunk.bin")
    assert states.dtype == torch.bfloat16
    assert (tmp_path / "trunk.bin").stat().st_size == states.numel() * 2


def test_a_model_whose_layers_are_elsewhere_is_refused():
    class Elsewhere:
        def get_decoder(self):
            return self

    with pytest.raises(UserError, match=r"lora.top_layers: Elsewhere does not say"):
        decoder_layers(Elsewhere())
