"""Decoder layers as two autograd functions each: the same computation in fewer, larger operators.

The model keeps its modules, names and parameters, and adapters their file format. Only what a
decoder layer runs is replaced: the attention block, with its norm and residual, is one function,
and the feed-forward block is the other.
"""

from collections.abc import Callable
from functools import partial, wraps
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from transformers.activations import SiLUActivation
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from stages.lib.model.layer_math import (
    attend,
    attend_backward,
    gate,
    gate_backward,
    rms_norm,
    rms_norm_backward,
    rotate,
)
from stages.lib.model.side_by_side import SideBySide, cannot_be_stacked

_LAYERS = (LlamaDecoderLayer, Qwen3DecoderLayer)
# What is no matrix product, and no attention.
_ELEMENTWISE = (gate, gate_backward, rms_norm, rms_norm_backward, rotate)
PLAIN = SimpleNamespace(**{operator.__name__: operator for operator in _ELEMENTWISE})


class AttentionBlock:
    """The attention of a decoder layer, with the norm before it and the residual around it."""

    def __init__(self, layer: nn.Module, elementwise: SimpleNamespace = PLAIN):
        attention = layer.self_attn
        self.elementwise = elementwise
        self.norm = layer.input_layernorm
        self.qkv = SideBySide(attention, ["q_proj", "k_proj", "v_proj"])
        self.out = SideBySide(attention, ["o_proj"])
        self.head_norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        self.head_size, self.scaling = attention.head_dim, attention.scaling

    @property
    def adapters(self) -> list[nn.Parameter]:
        return [*self.qkv.adapters, *self.out.adapters]

    def is_in_use(self) -> bool:
        return self.qkv.is_in_use() and self.out.is_in_use()

    def heads(self, qkv: Tensor, rows: int) -> tuple[Tensor, ...]:
        """View query, key and value as (rows, heads, positions, head size)."""
        by_head = qkv.unflatten(1, (-1, self.head_size)).unflatten(0, (rows, -1)).transpose(1, 2)
        return by_head.split([size // self.head_size for size in self.qkv.sizes], 1)

    def merged_heads(self, x: Tensor, rows: int) -> Tensor:
        """View (tokens, heads * head size) as (rows, heads, positions, head size)."""
        return x.unflatten(1, (-1, self.head_size)).unflatten(0, (rows, -1)).transpose(1, 2)


class FeedForwardBlock:
    """The feed-forward part of a decoder layer, with the norm before it and the residual."""

    def __init__(self, layer: nn.Module, elementwise: SimpleNamespace = PLAIN):
        self.elementwise = elementwise
        self.norm = layer.post_attention_layernorm
        self.gate_up = SideBySide(layer.mlp, ["gate_proj", "up_proj"])
        self.down = SideBySide(layer.mlp, ["down_proj"])

    @property
    def adapters(self) -> list[nn.Parameter]:
        return [*self.gate_up.adapters, *self.down.adapters]

    def is_in_use(self) -> bool:
        return self.gate_up.is_in_use() and self.down.is_in_use()


def _without_autocast(backward: Callable) -> Callable:
    """Let `backward` compute in the dtypes of its inputs, as the forward pass does."""

    @wraps(backward)
    def run(ctx, grad):
        with torch.autocast(grad.device.type, enabled=False):
            return backward(ctx, grad)

    return run


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, hidden, cos, sin, mask, by_row, *adapters):
        rows, x = len(hidden), hidden.flatten(0, 1)
        full_x, normed = block.qkv.new_input(x)
        scale = _norm(block, x, normed)
        qkv = block.qkv.forward(full_x)
        raw_query, raw_key, value = block.heads(qkv, rows)
        rotate = block.elementwise.rotate
        query, query_scale = _head_norm(block, raw_query, block.head_norms[0])
        key, key_scale = _head_norm(block, raw_key, block.head_norms[1])
        query, key, value = rotate(query, cos, sin), rotate(key, cos, sin), value.contiguous()
        if by_row is None:
            read, weights = attend(query, key, value, mask, block.scaling)
        else:
            read, weights = by_row(query, key, value), None
        full_read, into = block.out.new_input(x)
        block.merged_heads(into, rows).copy_(read)
        out = block.out.forward(full_read).add_(x)
        ctx.block, ctx.rows, ctx.by_row = block, rows, by_row
        if not block.head_norms[0]:
            qkv = None
        ctx.save_for_backward(
            *(x, full_x, scale, qkv, query_scale, key_scale, query, key, value, weights),
            *(full_read, cos, sin),
        )
        return out.view_as(hidden)

    @staticmethod
    @_without_autocast
    def backward(ctx, grad):
        block, ops = ctx.block, ctx.block.elementwise
        x, full_x, scale, qkv, query_scale, key_scale, *rest = ctx.saved_tensors
        query, key, value, weights, full_read, cos, sin = rest
        residual = grad.flatten(0, 1)
        full_grad, into = block.out.new_grad(x)
        into.copy_(residual)
        grad_read, out_grads = block.out.backward(full_grad, full_read)
        grad_read = block.merged_heads(grad_read, ctx.rows).contiguous()
        if ctx.by_row is None:
            grads = attend_backward(grad_read, query, key, value, weights, block.scaling)
        else:
            grads = _backward_of(ctx.by_row, grad_read, query, key, value)
        full_grad, into = block.qkv.new_grad(x)
        into_query, into_key, into_value = block.heads(into, ctx.rows)
        raw_query, raw_key = (None, None) if qkv is None else block.heads(qkv, ctx.rows)[:2]
        for into, grad_head, raw, norm, head_scale in (
            (into_query, grads[0], raw_query, block.head_norms[0], query_scale),
            (into_key, grads[1], raw_key, block.head_norms[1], key_scale),
        ):
            back = ops.rotate(grad_head, cos, -sin)
            if norm is not None:
                zeros = torch.zeros_like(back)
                back = ops.rms_norm_backward(back, raw, norm.weight, head_scale, zeros)
            into.copy_(back)
        into_value.copy_(grads[2])
        grad_normed, qkv_grads = block.qkv.backward(full_grad, full_x)
        grad_x = None
        if ctx.needs_input_grad[1]:
            grad_x = ops.rms_norm_backward(grad_normed, x, block.norm.weight, scale, residual)
            grad_x = grad_x.view_as(grad)
        return (None, grad_x, None, None, None, None, *qkv_grads, *out_grads)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, hidden, *adapters):
        x = hidden.flatten(0, 1)
        full_x, normed = block.gate_up.new_input(x)
        scale = _norm(block, x, normed)
        gate_up = block.gate_up.forward(full_x)
        full_product, product = block.down.new_input(x)
        opened = block.elementwise.gate(*gate_up.chunk(2, 1), product)
        ctx.block = block
        down = block.down.forward(full_product).add_(x)
        ctx.save_for_backward(x, full_x, scale, gate_up, full_product, opened)
        return down.view_as(hidden)

    @staticmethod
    @_without_autocast
    def backward(ctx, grad):
        block, ops = ctx.block, ctx.block.elementwise
        x, full_x, scale, gate_up, full_product, opened = ctx.saved_tensors
        residual = grad.flatten(0, 1)
        full_grad, into = block.down.new_grad(x)
        into.copy_(residual)
        grad_product, down_grads = block.down.backward(full_grad, full_product)
        full_grad, into = block.gate_up.new_grad(x)
        ops.gate_backward(grad_product, *gate_up.chunk(2, 1), opened, *into.chunk(2, 1))
        grad_normed, gate_up_grads = block.gate_up.backward(full_grad, full_x)
        grad_x = ops.rms_norm_backward(grad_normed, x, block.norm.weight, scale, residual)
        return (None, grad_x.view_as(grad), *gate_up_grads, *down_grads)


def _backward_of(read: Callable[..., Tensor], grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of `inputs`; reading again costs less than keeping what was read."""
    with torch.enable_grad():
        again = [part.detach().requires_grad_() for part in inputs]
        return torch.autograd.grad(read(*again), again, grad)


def _norm(block: AttentionBlock | FeedForwardBlock, x: Tensor, into: Tensor) -> Tensor:
    return block.elementwise.rms_norm(x, block.norm.weight, block.norm.variance_epsilon, into)


def _head_norm(
    block: AttentionBlock, x: Tensor, norm: nn.Module | None
) -> tuple[Tensor, Tensor | None]:
    if norm is None:
        return x, None
    normed = torch.empty_like(x)
    return normed, block.elementwise.rms_norm(x, norm.weight, norm.variance_epsilon, normed)


def _run(layer, attention, feed_forward, plain, hidden_states, **kwargs):
    """Stand in for a decoder layer's ``forward``; what it cannot do, the layer does itself."""
    mask, by_row = kwargs.get("attention_mask"), None
    if (starts := kwargs.get("row_starts")) is not None:
        by_row = partial(_read_by_row, layer.self_attn, starts, kwargs["longest_row"])
    elif mask is None or not mask.is_floating_point() or mask.shape[1] != 1:
        return plain(hidden_states, **kwargs)
    wants_more = kwargs.get("past_key_values") is not None or kwargs.get("output_attentions")
    if wants_more or not (attention.is_in_use() and feed_forward.is_in_use()):
        return plain(hidden_states, **kwargs)
    cos, sin = (part[:, None] for part in kwargs["position_embeddings"])
    run = partial(_run_blocks, attention, feed_forward, cos, sin, mask, by_row)
    if layer.gradient_checkpointing and layer.training:
        return layer._gradient_checkpointing_func(run, hidden_states)
    return run(hidden_states)


def _run_blocks(attention, feed_forward, cos, sin, mask, by_row, hidden_states) -> Tensor:
    with torch.autocast(hidden_states.device.type, enabled=False):
        places = cos, sin, mask, by_row
        hidden = _Attention.apply(attention, hidden_states, *places, *attention.adapters)
        return _FeedForward.apply(feed_forward, hidden, *feed_forward.adapters)


def _read_by_row(
    module: nn.Module, starts: Tensor, longest: int, query: Tensor, key: Tensor, value: Tensor
) -> Tensor:
    """Attend within rows laid end to end, by what `use_packed_attention` gave the model.

    Parameters
    ----------
    module : nn.Module
        The layer's attention.
    starts, longest
        ``row_starts`` and ``longest_row`` of `pack_rows`.
    query : Tensor, (1, heads, tokens, n)
    key, value : Tensor, (1, key heads, tokens, n)
    """
    attend_by_row = ALL_ATTENTION_FUNCTIONS[module.config._attn_implementation]
    places = {"row_starts": starts, "longest_row": longest}
    read, _ = attend_by_row(module, query, key, value, None, scaling=module.scaling, **places)
    return read.transpose(1, 2)


def cannot_be_fused(model: nn.Module) -> str | None:
    """Return why `fuse_layers` does not suit the decoder layers of `model`; None: it does."""
    decoder = model.get_decoder()
    if not hasattr(decoder, "layers"):
        return f"a {type(decoder).__name__} is not one of the kinds that can be fused"
    for layer in decoder.layers:
        if type(layer) not in _LAYERS:
            return f"a {type(layer).__name__} is not one of the kinds that can be fused"
        if layer.self_attn.attention_dropout:
            return "its attention has dropout"
        if not isinstance(layer.mlp.act_fn, SiLUActivation | nn.SiLU):
            return f"its activation is {type(layer.mlp.act_fn).__name__}, not SiLU"
        for linear in _linear_modules(layer):
            if reason := cannot_be_stacked(linear):
                return reason
        adapters = {*AttentionBlock(layer).adapters, *FeedForwardBlock(layer).adapters}
        if {weight for weight in layer.parameters() if weight.requires_grad} - adapters:
            return "more than adapters is trained"
    return None


def _linear_modules(layer: nn.Module) -> list[nn.Module]:
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    return [*projections, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def fuse_layers(model: nn.Module, compiled: bool = False) -> None:
    """Let the decoder layers of `model`, for which `cannot_be_fused` returns None, run fused.

    Parameters
    ----------
    model : nn.Module
    compiled : bool
        Compile what is no matrix product, once for each shape.
    """
    elementwise = PLAIN
    if compiled:
        compiled_operators = (
            torch.compile(one, dynamic=False, fullgraph=True) for one in _ELEMENTWISE
        )
        names = (one.__name__ for one in _ELEMENTWISE)
        elementwise = SimpleNamespace(**dict(zip(names, compiled_operators, strict=True)))
    for layer in model.get_decoder().layers:
        parts = AttentionBlock(layer, elementwise), FeedForwardBlock(layer, elementwise)
        layer.forward = partial(_run, layer, *parts, layer.forward)
