"""The parts of a decoder layer, against plain formulas and what autograd makes of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from stages.lib.model.layer_math import (
    attend,
    attend_backward,
    gate,
    gate_backward,
    rms_norm,
    rms_norm_backward,
    rotate,
)

LOWEST = torch.finfo(torch.float64).min


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def matrix(*shape: int, wider: int = 0) -> Tensor:
    """Return random float64 numbers: the left part of a matrix that is wider by `wider` columns."""
    return torch.randn(*shape[:-1], shape[-1] + wider, dtype=torch.float64)[..., : shape[-1]]


def heads(rows: int, heads: int, positions: int, size: int) -> Tensor:
    """Return random float64 numbers, a view of (rows, positions, heads, size)."""
    return matrix(rows, positions, heads, size, wider=3).transpose(1, 2)


def gradients(output: Tensor, inputs: list[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, inputs, grad)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]


def assert_exact(found: Tensor, expected: Tensor) -> None:
    """Assert that two results differ by nothing but the rounding of float64."""
    assert found.dtype == expected.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


# Norm --------------------------------------------------------------------------------------------

NORMED = {
    "whole": lambda: matrix(5, 6),
    "left part": lambda: matrix(5, 6, wider=4),
    "heads": lambda: heads(2, 3, 4, 6),
}


@pytest.mark.parametrize("kind", NORMED)
def test_the_norm_and_its_gradient_are_those_of_the_formula(kind):
    (x,), weight, eps = leaves(NORMED[kind]()), matrix(6), 0.1
    out, grad, residual = (NORMED[kind]() for _ in range(3))
    scale = rms_norm(x.detach(), weight, eps, out)
    expected = F.rms_norm(x, (6,), weight, eps)
    assert_exact(out, expected.detach())
    assert_exact(scale, 1 / (x.detach().square().mean(-1, keepdim=True) + eps).sqrt())
    (expected_grad,) = gradients(expected, [x], grad)
    before = residual.clone()
    found = rms_norm_backward(grad, x.detach(), weight, scale, residual)
    assert_exact(found, residual + expected_grad)
    assert torch.equal(residual, before)


def test_the_norm_of_bfloat16_is_rounded_once():
    x, weight = matrix(50, 64).bfloat16(), matrix(64).bfloat16()
    out = torch.empty_like(x)
    scale = rms_norm(x, weight, 1e-6, out)
    assert scale.dtype == torch.float32
    expected = F.rms_norm(x.double(), (64,), weight.double(), 1e-6)
    torch.testing.assert_close(out.double(), expected, rtol=2**-8, atol=0)


# Rotation ----------------------------------------------------------------------------------------


def angles(rows: int, positions: int, size: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of random angles; those of YaRN are scaled."""
    half = matrix(rows, positions, size // 2)
    both = torch.cat([half, half], -1)
    return scale * both.cos(), scale * both.sin()


@pytest.mark.parametrize("rows_of_angles", [1, 2])
def test_the_rotation_is_that_of_transformers_and_so_is_its_gradient(rows_of_angles):
    (x,) = leaves(heads(2, 3, 4, 6))
    cos, sin = angles(rows_of_angles, 4, 6, scale=1.3)
    expected, _ = apply_rotary_pos_emb(x, x, cos, sin)
    cos, sin = cos[:, None], sin[:, None]
    found = rotate(x.detach(), cos, sin)
    assert_exact(found, expected.detach())
    assert found.is_contiguous()
    grad = heads(2, 3, 4, 6)
    (expected_grad,) = gradients(expected, [x], grad)
    assert_exact(rotate(grad, cos, -sin), expected_grad)


def test_rotating_by_the_negative_angle_is_the_way_back():
    x, (cos, sin) = heads(2, 3, 4, 6), angles(2, 4, 6)
    cos, sin = cos[:, None], sin[:, None]
    assert_exact(rotate(rotate(x, cos, sin), cos, -sin), x)


# Attention ---------------------------------------------------------------------------------------


def masks(rows: int, positions: int) -> dict[str, Tensor]:
    """Return causal masks, for all rows and for rows whose first positions are padding."""
    causal = torch.full((1, 1, positions, positions), LOWEST, dtype=torch.float64).triu(1)
    padded = causal.repeat(rows, 1, 1, 1)
    padded[0, :, :, :2] = LOWEST  # so the first two positions of this row may read nothing
    return {"causal": causal, "padded": padded}


@pytest.mark.parametrize("mask", ["causal", "padded"])
@pytest.mark.parametrize(("n_heads", "key_heads"), [(4, 4), (4, 2), (6, 1)])
def test_attention_and_its_gradients_are_those_of_the_formula(n_heads, key_heads, mask):
    """Query head i reads the key head i // (heads / key heads)."""
    rows, positions, size, scaling = 3, 5, 6, 0.3
    inputs = [matrix(rows, n, positions, size) for n in (n_heads, key_heads, key_heads)]
    mask = masks(rows, positions)[mask]
    read, weights = attend(*inputs, mask, scaling)
    query, key, value = copies = leaves(*inputs)
    repeated = [x.repeat_interleave(n_heads // key_heads, 1) for x in (key, value)]
    scores = torch.einsum("rhqn,rhkn->rhqk", query, repeated[0]) * scaling
    expected = torch.softmax((scores + mask).clamp(min=LOWEST), -1) @ repeated[1]
    assert_exact(read, expected.detach())
    grad = matrix(*read.shape)
    found = attend_backward(grad, *inputs, weights, scaling)
    for one, other in zip(found, gradients(expected, copies, grad), strict=True):
        assert one.shape == other.shape
        assert_exact(one, other)


def test_no_position_reads_what_comes_later():
    query, key, value = (matrix(2, n, 5, 6) for n in (4, 2, 2))
    mask = masks(2, 5)["causal"]
    before, _ = attend(query, key, value, mask, 0.3)
    key[:, :, 3:], value[:, :, 3:] = 7, -7
    after, _ = attend(query, key, value, mask, 0.3)
    assert torch.equal(after[:, :, :3], before[:, :, :3])
    assert not torch.equal(after[:, :, 3:], before[:, :, 3:])


def test_a_single_position_reads_itself():
    query, key, value = (matrix(2, n, 1, 6) for n in (4, 2, 2))
    read, weights = attend(query, key, value, torch.zeros(1, 1, 1, 1, dtype=torch.float64), 0.3)
    assert torch.equal(read, value.repeat_interleave(2, 1))
    grad = matrix(2, 4, 1, 6)
    of_query, of_key, of_value = attend_backward(grad, query, key, value, weights, 0.3)
    assert not of_query.any() and not of_key.any()
    assert_exact(of_value, grad.view(2, 2, 2, 1, 6).sum(2))


def test_weights_of_bfloat16_attention_are_computed_in_float32():
    query, key, value = (matrix(2, 4, 40, 16).bfloat16() for _ in range(3))
    mask = torch.zeros(1, 1, 40, 40, dtype=torch.bfloat16)
    _, weights = attend(query, key, value, mask, 0.25)
    scores = (query @ key.mT).float() * 0.25  # the product itself is rounded to bfloat16
    expected = torch.softmax(scores, -1).flatten(0, 1)
    assert weights.dtype == torch.bfloat16
    torch.testing.assert_close(weights.float(), expected, rtol=2**-8, atol=0)


# Gate --------------------------------------------------------------------------------------------


def test_the_gate_and_its_gradients_are_those_of_the_formula():
    """Both inputs, both gradients and the result are parts of wider matrices."""
    gate_input, up = leaves(*matrix(5, 12, wider=2).chunk(2, 1))
    out, grad = matrix(5, 6, wider=3), matrix(5, 6)
    opened = gate(gate_input.detach(), up.detach(), out)
    expected = gate_input * torch.sigmoid(gate_input) * up
    assert_exact(out, expected.detach())
    expected_grads = gradients(expected, [gate_input, up], grad)
    into = matrix(5, 14)
    beside = into[:, 12:].clone()
    found = into[:, :12].chunk(2, 1)
    gate_backward(grad, gate_input.detach(), up.detach(), opened, *found)
    for one, other in zip(found, expected_grads, strict=True):
        assert_exact(one, other)
    assert torch.equal(into[:, 12:], beside)
