"""Linear modules side by side: the products and gradients of peft's own modules, one by one."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from stages.lib.model.side_by_side import SideBySide, cannot_be_stacked

SIZES = {"one": 5, "two": 3, "three": 4}
ADAPTERS = {
    "none": {},
    "all": {"target_modules": list(SIZES), "r": 2, "lora_alpha": 5},
    "two of three": {
        "target_modules": ["one", "three"],
        "rank_pattern": {"one": 3, "three": 1},
        "alpha_pattern": {"one": 5, "three": 8},
    },
    "rank-stabilized": {"target_modules": ["two"], "r": 3, "use_rslora": True},
}


def linear_modules(dtype=torch.float64, inputs=7, sizes=SIZES, **settings) -> nn.ModuleDict:
    """Return linear modules that read the same input, with the LoRA adapters of `settings`."""
    torch.manual_seed(0)
    found = {name: nn.Linear(inputs, size, bias=False) for name, size in sizes.items()}
    modules = nn.ModuleDict(found).requires_grad_(False)
    if settings:
        inject_adapter_in_model(LoraConfig(**settings), modules)
        for name, weight in modules.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weight)
    return modules.to(dtype)


def adapters(modules: nn.Module) -> list[Tensor]:
    return [weight for weight in modules.parameters() if weight.requires_grad]


def one_by_one(modules: nn.ModuleDict, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Return outputs, gradient of the input and of the adapters, by autograd."""
    x = x.detach().requires_grad_()
    outputs = torch.cat([module(x) for module in modules.values()], 1)
    return [outputs.detach(), *torch.autograd.grad(outputs, [x, *adapters(modules)], grad)]


@torch.no_grad()
def together(stacked: SideBySide, x: Tensor, grad: Tensor) -> list[Tensor]:
    full_input, into = stacked.new_input(x)
    into.copy_(x)
    outputs = stacked.forward(full_input)
    full_grad, into = stacked.new_grad(x)
    into.copy_(grad)
    of_input, of_adapters = stacked.backward(full_grad, full_input)
    return [outputs, of_input, *of_adapters]


def batch(dtype=torch.float64, inputs=7, outputs=12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, grad = (torch.randn(9, n, generator=generator).to(dtype) for n in (inputs, outputs))
    return x, grad


def assert_alike(found: list[Tensor], expected: list[Tensor], **tolerance) -> None:
    tolerance = tolerance or {"rtol": 1e-12, "atol": 1e-12}
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("settings", ADAPTERS.values(), ids=ADAPTERS)
def test_products_and_gradients_are_those_of_the_modules_one_by_one(settings):
    modules = linear_modules(**settings)
    expected = one_by_one(modules, *batch())
    stacked = SideBySide(SimpleNamespace(**modules), list(modules))
    assert stacked.sizes == list(SIZES.values())
    assert [id(weight) for weight in stacked.adapters] == [id(w) for w in adapters(modules)]
    assert_alike(together(stacked, *batch()), expected)


def test_a_module_of_its_own_is_a_group_too():
    modules = linear_modules(sizes={"one": 12}, target_modules=["one"], r=4)
    expected = one_by_one(modules, *batch())
    assert_alike(
        together(SideBySide(SimpleNamespace(**modules), list(modules)), *batch()), expected
    )


def test_float32_adapters_of_bfloat16_weights_get_float32_gradients():
    modules = linear_modules(**ADAPTERS["two of three"])
    expected = one_by_one(modules, *batch())
    for module in modules.values():
        getattr(module, "base_layer", module).bfloat16()
    for weight in adapters(modules):
        weight.data = weight.data.float()
    x, grad = batch(torch.bfloat16)
    outputs, of_input, *of_adapters = together(
        SideBySide(SimpleNamespace(**modules), list(modules)), x, grad
    )
    assert outputs.dtype == of_input.dtype == torch.bfloat16
    assert {found.dtype for found in of_adapters} == {torch.float32}
    for one, other in zip([outputs, of_input, *of_adapters], expected, strict=True):
        assert (one.double() - other).norm() < 0.02 * other.norm()


# The frozen weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", ADAPTERS.values(), ids=ADAPTERS)
def test_the_frozen_weights_are_parts_of_one_matrix_and_no_second_copy(settings):
    modules = linear_modules(**settings)
    before = {name: weight.clone() for name, weight in modules.state_dict().items()}
    together(SideBySide(SimpleNamespace(**modules), list(modules)), *batch())
    after = modules.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    frozen = [weight for weight in modules.parameters() if not weight.requires_grad]
    storages = {weight.untyped_storage().data_ptr(): weight.untyped_storage() for weight in frozen}
    (storage,) = storages.values()
    rank = sum(len(weight) for weight in adapters(modules)[::2])
    rounded = 8 if rank else 0
    assert rank < 8 and storage.nbytes() == 8 * (12 + rounded) * (7 + rounded)


def test_adapters_that_changed_in_place_are_seen():
    modules = linear_modules(**ADAPTERS["two of three"])
    stacked = SideBySide(SimpleNamespace(**modules), list(modules))
    before = together(stacked, *batch())
    with torch.no_grad():
        for weight in adapters(modules):
            weight.add_(torch.randn_like(weight))
    after = together(stacked, *batch())
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert_alike(after, one_by_one(modules, *batch()))


def change_in_place(modules: nn.Module) -> None:
    with torch.no_grad():
        for weight in modules.parameters():
            weight.mul_(1.5)


CHANGES = {
    "changed in place": change_in_place,
    "loaded": lambda modules: modules.load_state_dict(
        {name: 2 * weight for name, weight in modules.state_dict().items()}
    ),
    "given other memory": lambda modules: [
        setattr(weight, "data", 2 * weight.data) for weight in modules.parameters()
    ],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_that_changed_or_moved_are_seen(change):
    modules = linear_modules(**ADAPTERS["all"])
    stacked = SideBySide(SimpleNamespace(**modules), list(modules))
    before = together(stacked, *batch())
    change(modules)
    after = together(stacked, *batch())
    assert not torch.equal(after[0], before[0])
    assert_alike(after, one_by_one(modules, *batch()))


def test_converted_weights_compute_in_their_new_precision():
    modules = linear_modules(torch.float32, **ADAPTERS["all"])
    stacked = SideBySide(SimpleNamespace(**modules), list(modules))
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12), (torch.float32, 1e-5)):
        modules.to(dtype)
        found, expected = (f(of, *batch(dtype)) for f, of in ((together, stacked),
                                                              (one_by_one, modules)))  # fmt: skip
        assert {tensor.dtype for tensor in found} == {dtype}
        assert_alike(found, expected, rtol=tolerance, atol=tolerance)


def test_a_first_pass_in_inference_mode_does_not_prevent_training():
    modules = linear_modules(**ADAPTERS["all"])
    stacked = SideBySide(SimpleNamespace(**modules), list(modules))
    with torch.inference_mode():
        together(stacked, *batch())
    assert not any(weight.is_inference() for weight in modules.parameters())
    assert_alike(together(stacked, *batch()), one_by_one(modules, *batch()))


@pytest.fixture
def poisoned_memory():
    """Let new matrices be full of NaN, as they may be by chance."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("dtype", "inputs"),
    [
        (torch.float32, 80),
        (torch.bfloat16, 64),
        (torch.bfloat16, 80),  # reads beyond with AMX only
    ],
)
def test_what_new_memory_holds_does_not_matter(poisoned_memory, dtype, inputs):
    """oneDNN's bfloat16 kernels read 32 columns at a time: beyond the last one of a left part."""
    sizes = {"one": inputs}
    modules = linear_modules(dtype, inputs, sizes, target_modules=["one"], r=6)
    generator = torch.Generator().manual_seed(1)
    x, grad = (torch.randn(40, inputs, generator=generator).to(dtype) for _ in range(2))
    found = together(SideBySide(SimpleNamespace(**modules), list(modules)), x, grad)
    assert all(tensor.isfinite().all() for tensor in found)


# What cannot be stacked --------------------------------------------------------------------------


def one_module(linear: nn.Module, **settings) -> nn.Module:
    modules = nn.ModuleDict({"one": linear})
    if settings:
        inject_adapter_in_model(LoraConfig(target_modules=["one"], **settings), modules)
    return modules["one"]


class Scaled(nn.Linear):
    """A linear module of another kind."""


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (one_module(nn.Linear(4, 3, bias=False)), None),
        (one_module(nn.Linear(4, 3, bias=False), r=2), None),
        (one_module(nn.Linear(4, 3, bias=False), use_rslora=True), None),
        (one_module(nn.Linear(4, 3, bias=False), lora_dropout=0.1), "lora_dropout"),
        (one_module(nn.Linear(4, 3, bias=False), lora_dropout=0.1).eval(), "lora_dropout"),
        (one_module(nn.Linear(4, 3, bias=False), use_dora=True), "use_dora"),
        (one_module(nn.Linear(4, 3)), "biases"),
        (one_module(nn.Linear(4, 3), r=2), "biases"),
        (one_module(Scaled(4, 3, bias=False)), "Scaled"),
        (one_module(Scaled(4, 3, bias=False), r=2), "Scaled"),
        (nn.Conv1d(4, 3, 1, bias=False), "Conv1d"),
    ],
)
def test_what_the_products_cannot_do_is_named(module, named):
    reason = cannot_be_stacked(module)
    assert reason is None if named is None else named in reason
