"""The parts of a decoder layer and their derivatives, in few large operators.

Autograd would record dozens of small operators for each part. On a CPU each of them reads and
writes a whole matrix, and starting it costs as much as a small matrix product. Sums, roots and
exponentials are computed in float32, or in float64 for float64 inputs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def rms_norm(x: Tensor, weight: Tensor, eps: float, out: Tensor) -> Tensor:
    """Normalize the last dimension by its root mean square (Zhang and Sennrich 2019).

    Parameters
    ----------
    x : Tensor, (..., n)
    weight : Tensor, (n,)
    eps : float
    out : Tensor, (..., n)
        Takes the result.

    Returns
    -------
    Tensor, (..., 1)
        One over the root mean square, as `rms_norm_backward` needs it.
    """
    wide = x.to(_wide(x.dtype), copy=True)
    mean_square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1])
    scale = mean_square.add_(eps).rsqrt_()
    out.copy_(wide.mul_(scale).mul_(weight))
    return scale


def rms_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, scale: Tensor, residual: Tensor
) -> Tensor:
    """Return `residual` plus the gradient of `x`; `weight` is frozen.

    Parameters
    ----------
    grad, x, residual : Tensor, (..., n)
    weight : Tensor, (n,)
    scale : Tensor, (..., 1)
        As `rms_norm` returns it.
    """
    inner = grad * weight
    along = (inner * x).sum(-1, keepdim=True, dtype=scale.dtype).div_(-x.shape[-1])
    along.mul_(scale).mul_(scale).mul_(scale)
    through = torch.addcmul(residual, inner, scale.to(x.dtype))
    return through.addcmul_(x, along.to(x.dtype))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of features by their position's angles (rotary embedding, Su et al. 2021).

    The gradient is the rotation back: ``rotate(grad, cos, -sin)``.

    Parameters
    ----------
    x : Tensor, (rows, heads, positions, n)
        Feature i is a pair with i + n/2. Any strides.
    cos, sin : Tensor, (1 or rows, 1, positions, n)
        Both halves are the same.

    Returns
    -------
    Tensor
        Contiguous.
    """
    half = x.shape[-1] // 2
    rotated = torch.mul(x, cos, out=x.new_empty(x.shape))
    rotated[..., :half].addcmul_(x[..., half:], sin[..., half:], value=-1)
    rotated[..., half:].addcmul_(x[..., :half], sin[..., :half])
    return rotated


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """Return what each position reads (scaled dot-product attention, Vaswani et al. 2017).

    Query heads that share a key head (Ainslie et al. 2023) are rows of one product, so keys are
    not repeated.

    Parameters
    ----------
    query : Tensor, (rows, heads, positions, n)
    key, value : Tensor, (rows, key heads, positions, n)
        `heads` is a multiple of `key heads`. All three are contiguous.
    mask : Tensor, (1 or rows, 1, positions, positions)
        Added to the scores.
    scaling : float

    Returns
    -------
    read : Tensor
        Shape of `query`.
    weights : Tensor, (rows * key heads, heads / key heads * positions, positions)
        As `attend_backward` needs them.
    """
    rows, heads, positions, _ = query.shape
    key_heads = key.shape[1]
    scores = torch.bmm(_by_key_head(query, key_heads), key.flatten(0, 1).mT)
    scores = scores.view(rows, key_heads, heads // key_heads, positions, positions)
    scores = torch.add(mask[:, :, None].to(_wide(mask.dtype)), scores, alpha=scaling)
    weights = torch.softmax(scores, -1).to(query.dtype).view(rows * key_heads, -1, positions)
    return torch.bmm(weights, value.flatten(0, 1)).view(query.shape), weights


def attend_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of query, key and value, in their shapes; `grad` is contiguous."""
    grad = _by_key_head(grad, key.shape[1])
    grad_value = torch.bmm(weights.mT, grad)
    grad_weights = torch.bmm(grad, value.flatten(0, 1).mT)
    grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
    grad_query = torch.bmm(grad_scores, key.flatten(0, 1)).mul_(scaling)
    grad_key = torch.bmm(grad_scores.mT, _by_key_head(query, key.shape[1])).mul_(scaling)
    return grad_query.view(query.shape), grad_key.view(key.shape), grad_value.view(key.shape)


def _by_key_head(x: Tensor, key_heads: int) -> Tensor:
    """View (rows, heads, positions, n) as (rows * key heads, heads / key heads * positions, n)."""
    return x.view(x.shape[0] * key_heads, -1, x.shape[-1])


def gate(gate_input: Tensor, up: Tensor, out: Tensor) -> Tensor:
    """Write ``silu(gate_input) * up`` (SwiGLU, Shazeer 2020); return ``silu(gate_input)``."""
    opened = F.silu(gate_input)
    _multiply(opened, up, out)
    return opened


def gate_backward(
    grad: Tensor,
    gate_input: Tensor,
    up: Tensor,
    opened: Tensor,
    grad_gate_input: Tensor,
    grad_up: Tensor,
) -> None:
    """Write the gradients of `gate_input` and `up` into the last two parameters.

    `grad` may be overwritten.
    """
    _multiply(grad, opened, grad_up)
    if torch.compiler.is_compiling():
        grad_gate_input.copy_(torch.ops.aten.silu_backward(grad * up, gate_input))
    else:
        silu_backward = torch.ops.aten.silu_backward.grad_input
        silu_backward(grad.mul_(up), gate_input, grad_input=grad_gate_input)


def _multiply(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Write a product; a compiler cannot write into a part of a matrix, and needs no such help."""
    if torch.compiler.is_compiling():
        out.copy_(one * other)
    else:
        torch.mul(one, other, out=out)
