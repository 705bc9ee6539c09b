"""Linear modules that read the same input, as one matrix product, with their LoRA adapters.

q, k and v, or gate and up, are one product; the adapters' A matrices are further rows of it. Their
B matrices stand block by block in one small matrix. So a group needs two products forward and four
backward, whatever the number of its modules; module by module it is five for each, and a third of
the time of a step is spent in products too small to fill a core.
"""

from collections.abc import Sequence
from threading import Lock

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

_ADAPTER = "default"
_stacking = Lock()  # the first pass may be that of several threads


def cannot_be_stacked(module: nn.Module) -> str | None:
    """Return what about a linear module the products here cannot do; None: nothing."""
    if isinstance(module, LoraLinear):
        if module.lora_variant:
            return "lora.use_dora is true"
        if list(module.lora_A) != [_ADAPTER]:
            return f"its adapters are {', '.join(module.lora_A)}, not '{_ADAPTER}'"
        if not isinstance(module.lora_dropout[_ADAPTER], nn.Identity):
            return "lora.lora_dropout is above 0"
        module = module.base_layer
    if type(module) is not nn.Linear:
        return f"{type(module).__name__} is not a plain linear module"
    return "its linear modules have biases" if module.bias is not None else None


class SideBySide:
    """Linear modules without biases that read the same input.

    One matrix has the weights W below each other, the adapters' B to their right (block by block,
    zeros elsewhere) and their A below them. So ``[x, A x]`` times its upper part is the output, and
    ``[g, B' g]`` times its left part the gradient of the input: adapters add no pass over the
    output. The frozen weights become views of the matrix, so they take no more memory than before.

    Parameters
    ----------
    parent : nn.Module
    names : sequence of str
        Of modules of `parent` for which `cannot_be_stacked` returns None.

    Attributes
    ----------
    sizes : list of int
        Outputs of each module.
    """

    def __init__(self, parent: nn.Module, names: Sequence[str]):
        self._parent, self._names = parent, names
        self._modules = [getattr(parent, name) for name in names]
        self._linears = [getattr(module, "base_layer", module) for module in self._modules]
        self.sizes = [linear.out_features for linear in self._linears]
        self._inputs, self._outputs = self._linears[0].in_features, sum(self.sizes)
        self._places = []
        rank = first_output = 0
        for module, size in zip(self._modules, self.sizes, strict=True):
            if isinstance(module, LoraLinear):
                last = rank + len(module.lora_A[_ADAPTER].weight)
                place = slice(rank, last), slice(first_output, first_output + size)
                self._places.append((*place, module.scaling[_ADAPTER]))
                rank = last
            first_output += size
        # Rounded up, so that rows begin where a GPU's fast products need it; what is added is zero.
        self._rank, self._matrix = -(-rank // 8) * 8, None

    @property
    def adapters(self) -> list[nn.Parameter]:
        """A and B of each adapter, in the order of the gradients that `backward` returns."""
        adapted = [module for module in self._modules if isinstance(module, LoraLinear)]
        pairs = [(module.lora_A[_ADAPTER], module.lora_B[_ADAPTER]) for module in adapted]
        return [matrix.weight for pair in pairs for matrix in pair]

    def is_in_use(self) -> bool:
        """Tell whether the parent still has these modules, their adapters not merged or off."""
        return all(
            getattr(self._parent, name) is module
            and not (isinstance(module, LoraLinear) and (module.merged or module.disable_adapters))
            for name, module in zip(self._names, self._modules, strict=True)
        )

    @property
    def _down(self) -> Tensor:
        return self._matrix[self._outputs :, : self._inputs]

    @property
    def _up(self) -> Tensor:
        return self._matrix[: self._outputs, self._inputs :]

    def _stack(self) -> None:
        """Copy the frozen weights into the matrix, and make them views of it."""
        weights = [linear.weight for linear in self._linears]
        size = self._outputs + self._rank, self._inputs + self._rank
        with torch.inference_mode(False):
            self._matrix = weights[0].new_zeros(size)
            parts = self._matrix[: self._outputs, : self._inputs].split(self.sizes)
            for weight, part in zip(weights, parts, strict=True):
                weight.data = part.copy_(weight.data)

    def _is_stacked(self) -> bool:
        """Tell whether the weights are those in the matrix: a model may be moved or converted."""
        if self._matrix is None:
            return False
        parts = self._matrix[: self._outputs].split(self.sizes)
        weights = [linear.weight for linear in self._linears]
        return all(
            weight.data_ptr() == part.data_ptr() and weight.dtype == part.dtype
            for weight, part in zip(weights, parts, strict=True)
        )

    def _refresh(self) -> None:
        """Copy the adapters, as they are now, to their places."""
        pairs = zip(self.adapters[::2], self.adapters[1::2], strict=True)
        for (down, up), (ranks, outputs, scaling) in zip(pairs, self._places, strict=True):
            torch.mul(down.detach(), scaling, out=self._down[ranks])
            self._up[outputs, ranks] = up.detach()

    def new_input(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return an empty matrix for `forward`, with as many rows as `like`, and the part of it
        that is to be filled, (rows, inputs)."""
        full = like.new_empty(len(like), self._inputs + self._rank)
        full[:, self._inputs :] = 0  # oneDNN reads beyond the end of a left part, times zero
        return full, full[:, : self._inputs]

    def forward(self, full_input: Tensor) -> Tensor:
        """Return the outputs of all modules, (rows, outputs); complete `full_input`."""
        with _stacking:
            if not self._is_stacked():
                self._stack()
        if self._rank:
            self._refresh()
            x, x_down = full_input.tensor_split([self._inputs], 1)
            torch.mm(x, self._down.T, out=x_down)
        return full_input @ self._matrix[: self._outputs].T

    def new_grad(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return an empty matrix for `backward`, with as many rows as `like`, and the part of it
        that is to be filled, (rows, outputs)."""
        full = like.new_empty(len(like), self._outputs + self._rank)
        full[:, self._outputs :] = 0  # as in `new_input`
        return full, full[:, : self._outputs]

    def backward(self, full_grad: Tensor, full_input: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the gradients of the input, (rows, inputs), and of `adapters`."""
        if not self._rank:
            return full_grad @ self._matrix, []
        grad, grad_up = full_grad.tensor_split([self._outputs], 1)
        x, x_down = full_input.tensor_split([self._inputs], 1)
        torch.mm(grad, self._up, out=grad_up)
        of_down, of_up = grad_up.T @ x, x_down.T @ grad
        grads = []
        for i, (ranks, outputs, scaling) in enumerate(self._places):
            down, up = self.adapters[2 * i : 2 * i + 2]
            grads += [of_down[ranks].to(down.dtype).mul_(scaling)]
            grads += [of_up[ranks, outputs].T.to(up.dtype, memory_format=torch.contiguous_format)]
        return full_grad @ self._matrix[:, : self._inputs], grads
