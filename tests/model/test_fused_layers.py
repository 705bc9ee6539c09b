"""Fused decoder layers: the logits and gradients of the model as transformers and peft have it."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
import transformers
from peft import PeftModel
from small_models import KINDS, SMALL, base_model, with_adapters
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from stages.lib.model.batches import pad_right
from stages.lib.model.fused_layers import cannot_be_fused, fuse_layers

ADAPTERS = {
    "all-linear": {},
    "q and v": {"target_modules": ["q_proj", "v_proj"]},
    "rank-stabilized": {"use_rslora": True, "r": 5},
    "different ranks": {
        "rank_pattern": {"k_proj": 5, "up_proj": 1},
        "alpha_pattern": {"o_proj": 9},
    },
}


def fused(model: nn.Module) -> nn.Module:
    """Return a copy of `model`, fused."""
    copy = deepcopy(model)
    assert cannot_be_fused(copy) is None
    fuse_layers(copy)
    return copy


def pair(kind: str = "qwen3", config: dict | None = None, **lora) -> tuple[nn.Module, nn.Module]:
    """Return a model with adapters, fused and as it was."""
    plain = with_adapters(base_model(kind, **config or {}), **lora)
    return fused(plain), plain


def trained(model: nn.Module) -> list[Tensor]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def results(model: nn.Module, **inputs) -> list[Tensor]:
    """Return the logits, and the gradients of all trained weights."""
    logits = model(**inputs or {"input_ids": IDS}).logits
    return [logits.detach(), *torch.autograd.grad(loss_of(logits), trained(model))]


def loss_of(logits: Tensor) -> Tensor:
    return (logits * torch.linspace(-1, 1, logits.numel()).view(logits.shape)).mean()


def assert_alike(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    """Assert that no number is off by more than `tolerance` of the largest one of its matrix."""
    assert len(found) == len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        size = float(other.detach().abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * size + 1e-9)


def same_bits(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def random_ids(rows: int, positions: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, SMALL["vocab_size"], (rows, positions), generator=generator)


IDS = random_ids(3, 7)

# The same numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_those_of_the_plain_model(kind, lora):
    ours, plain = pair(kind, **lora)
    assert_alike(results(ours), results(plain))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "positions"), [(1, 7), (3, 1), (1, 1)])
def test_a_single_row_and_a_single_position_are_no_exception(kind, rows, positions):
    ours, plain = pair(kind)
    ids = random_ids(rows, positions)
    assert_alike(results(ours, input_ids=ids), results(plain, input_ids=ids))


CONFIGS = [
    ("qwen3", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    ("qwen3", {"num_key_value_heads": 4}),
    ("llama", {"num_key_value_heads": 1, "num_hidden_layers": 3}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
]


@pytest.mark.parametrize(("kind", "config"), CONFIGS)
def test_windows_heads_and_rotations_are_those_of_the_configuration(kind, config):
    ours, plain = pair(kind, config)
    assert_alike(results(ours), results(plain))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_the_right_changes_nothing(kind):
    ours, plain = pair(kind)
    prompts = [IDS[i, :length].tolist() for i, length in enumerate((3, 7, 1))]
    together = ours(**pad_right(prompts)).logits[:, 0]
    alone = [plain(input_ids=torch.tensor([ids])).logits[0, -1] for ids in prompts]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-5)
    inputs = pad_right(prompts)
    assert_alike(results(ours, **inputs), results(plain, **inputs))


def masked() -> dict[str, Tensor]:
    mask = torch.ones_like(IDS)
    mask[0, :3] = mask[1, :1] = 0
    return {"input_ids": IDS, "attention_mask": mask}


def packed() -> dict[str, Tensor]:
    """Two texts in a row: positions start again."""
    return {"input_ids": IDS, "position_ids": torch.tensor([[0, 1, 2, 0, 1, 2, 3]]).expand(3, -1)}


def whole_mask() -> dict[str, Tensor]:
    """As transformers makes it of others: added to the scores, a row for each position."""
    lowest = torch.finfo(torch.float32).min
    mask = torch.full((3, 1, 7, 7), lowest).triu(1)
    mask[1, 0, 4:, 2] = lowest
    return {"input_ids": IDS, "attention_mask": mask}


def mask_of_truth_values() -> dict[str, Tensor]:
    inputs = whole_mask()
    return inputs | {"attention_mask": inputs["attention_mask"] == 0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", [masked, packed, whole_mask, mask_of_truth_values])
def test_the_mask_of_the_caller_is_honoured(kind, inputs):
    ours, plain = pair(kind)
    found = results(ours, **inputs())
    assert_alike(found, results(plain, **inputs()))
    assert (found[0] - results(ours)[0]).abs().max() > 0.01


@pytest.mark.parametrize(
    "lora", [{"target_modules": ["down_proj"]}, {"target_modules": ["o_proj"]}]
)
def test_layers_that_need_no_gradient_are_no_exception(lora):
    """With the adapters after everything else in the first layer, and with an input to train."""
    ours, plain = pair(**lora)
    assert_alike(results(ours), results(plain))
    for model in (ours, plain):
        model.get_input_embeddings().weight.requires_grad_()
    assert_alike(results(ours), results(plain))


def test_a_second_backward_pass_gives_the_same_gradients():
    ours, _ = pair()
    loss = ours(input_ids=IDS).logits.square().mean()
    first = torch.autograd.grad(loss, trained(ours), retain_graph=True)
    assert same_bits(first, torch.autograd.grad(loss, trained(ours)))


def test_a_fused_model_scores_without_adapters():
    plain = base_model("llama").requires_grad_(False)
    with torch.inference_mode():
        found, expected = (model(input_ids=IDS).logits for model in (fused(plain), plain))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


# Precision ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_no_further_from_float32_than_without_fusing(kind):
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    exact = with_adapters(base_model(kind, **sizes).bfloat16().float())
    plain = with_adapters(base_model(kind, **sizes).bfloat16())
    ids = random_ids(16, 24)
    expected = results(exact, input_ids=ids)
    errors = []
    for model in (fused(plain), plain):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids).logits.float()
        grads = torch.autograd.grad(loss_of(logits), trained(model))
        assert {grad.dtype for grad in grads} == {torch.float32}
        pairs = zip([logits.detach(), *grads], expected, strict=True)
        errors.append(sum((one - other).norm() / other.norm() for one, other in pairs))
    assert errors[0] < 1.5 * errors[1]


def test_a_model_that_is_converted_between_two_passes_is_computed_in_its_new_precision():
    ours, plain = pair()
    for convert in (lambda model: model, nn.Module.double, nn.Module.float):
        assert_alike(results(convert(ours)), results(convert(plain)))
    assert ours.double()(input_ids=IDS).logits.dtype == torch.float64


def test_a_backward_pass_under_autocast_has_the_precision_of_the_forward_pass():
    ours, _ = pair()
    with torch.autocast("cpu", torch.bfloat16):
        logits = ours(input_ids=IDS).logits
        found = torch.autograd.grad(logits.float().sum(), trained(ours), retain_graph=True)
    assert_alike(list(found), list(torch.autograd.grad(logits.float().sum(), trained(ours))))


# Activation checkpointing -------------------------------------------------------------------------


def kept_numbers(model: nn.Module) -> int:
    """Return how many numbers a forward pass keeps for the backward pass."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        model(input_ids=IDS)
    return sum(kept)


def checkpointed(model: nn.Module) -> nn.Module:
    """Return a copy of `model` that recomputes activations, as `instantiate_model` sets it."""
    copy = deepcopy(model)
    copy.activation_checkpointing_enable({"use_reentrant": False})
    return copy.train()


@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_does_not_change_a_bit(kind):
    _, plain = pair(kind)
    assert same_bits(results(fused(checkpointed(plain))), results(fused(plain)))


def test_activation_checkpointing_keeps_fewer_numbers():
    _, plain = pair()
    assert kept_numbers(checkpointed(plain)) < kept_numbers(plain) / 2
    assert kept_numbers(fused(checkpointed(plain))) < kept_numbers(fused(plain)) / 2


# What the plain layers do -------------------------------------------------------------------------


def test_a_cache_gives_the_same_logits_and_the_same_text():
    ours, plain = (model.eval() for model in pair())
    expected = plain(input_ids=IDS).logits
    ours(input_ids=IDS)  # so the weights are views
    first = ours(input_ids=IDS[:, :4], use_cache=True)
    rest = ours(input_ids=IDS[:, 4:], past_key_values=first.past_key_values, use_cache=True)
    found = torch.cat([first.logits, rest.logits], 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    texts = [
        model.generate(input_ids=IDS, max_new_tokens=5, do_sample=False, use_cache=cache)
        for model, cache in ((ours, True), (ours, False), (plain, True))
    ]
    assert torch.equal(texts[0], texts[2])
    assert torch.equal(texts[1], texts[2])


@pytest.mark.parametrize("kind", KINDS)
def test_another_implementation_of_attention_is_left_to_the_layer(kind):
    """SDPA has no mask that could be added; the numbers are the same to rounding."""
    ours, plain = pair(kind, {"attn_implementation": "sdpa"})
    assert same_bits(results(ours), results(plain))
    assert_alike(results(ours), results(pair(kind)[1]))


def test_hidden_states_are_recorded():
    ours, plain = pair()
    found, expected = (
        list(model(input_ids=IDS, output_hidden_states=True).hidden_states)
        for model in (ours, plain)
    )
    assert_alike(found, expected)


def test_attention_weights_are_recorded():
    ours, plain = pair()
    found, expected = (
        list(model(input_ids=IDS, output_attentions=True).attentions) for model in (ours, plain)
    )
    assert_alike(found, expected)


# Adapters that are switched, merged, saved and loaded ---------------------------------------------


def test_adapters_can_be_disabled_for_a_while():
    ours, plain = pair()
    with ours.disable_adapter(), plain.disable_adapter():
        found, expected = (model(input_ids=IDS).logits for model in (ours, plain))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert_alike(results(ours), results(plain))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first_pass", [True, False])
def test_merged_weights_are_the_same_bits_as_without_fusing(kind, first_pass):
    ours, plain = pair(kind)
    if first_pass:
        ours(input_ids=IDS)
    found, expected = (model.merge_and_unload().state_dict() for model in (ours, plain))
    assert list(found) == list(expected)
    assert same_bits(list(found.values()), list(expected.values()))


@pytest.mark.parametrize("how", ["merge_and_unload", "merge_adapter", "unload"])
def test_a_model_that_is_merged_or_unloaded_after_fusing_gives_the_same_logits(how):
    ours, plain = pair()
    ours(input_ids=IDS)
    found, expected = (
        (getattr(model, how)() or model)(input_ids=IDS).logits for model in (ours, plain)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_an_adapter_that_was_saved_fused_gives_the_same_logits_unfused(tmp_path):
    ours, plain = pair()
    optimizer = torch.optim.SGD(trained(ours), lr=0.1)
    ours(input_ids=IDS).logits.square().mean().backward()
    optimizer.step()
    expected = ours(input_ids=IDS).logits
    assert (expected - plain(input_ids=IDS).logits).abs().max() > 0.01
    ours.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(base_model("qwen3"), tmp_path)
    torch.testing.assert_close(loaded(input_ids=IDS).logits, expected, rtol=0, atol=1e-4)


def test_an_adapter_that_is_loaded_into_a_fused_model_is_seen(tmp_path):
    """So does the Trainer: it resumes from a checkpoint, and goes back to the best one."""
    ours, plain = pair()
    ours(input_ids=IDS)
    with torch.no_grad():
        for weight in trained(plain):
            weight.mul_(1.5)
    plain.save_pretrained(tmp_path)
    ours.load_adapter(tmp_path, "default", is_trainable=True)
    assert_alike(results(ours), results(plain))


@pytest.mark.parametrize("assign", [False, True])
def test_weights_that_are_loaded_into_a_fused_model_are_seen(assign):
    ours, plain = pair()
    ours(input_ids=IDS)
    changed = {name: 1.1 * weight for name, weight in plain.state_dict().items()}
    ours.load_state_dict(deepcopy(changed), assign=assign)
    plain.load_state_dict(changed)
    found = ours(input_ids=IDS).logits
    torch.testing.assert_close(found, plain(input_ids=IDS).logits, rtol=0, atol=1e-4)


def test_a_copy_of_a_fused_model_is_a_model_of_its_own():
    ours, plain = pair()
    before = results(ours)
    copy = deepcopy(ours)
    with torch.no_grad():
        for weight in ours.parameters():
            weight.mul_(1.1)
    assert_alike(results(copy), results(plain))
    assert same_bits(results(copy), before)
    assert not same_bits(results(ours), before)


# Threads ------------------------------------------------------------------------------------------


def test_threads_that_begin_at_once_get_what_one_gets_alone():
    _, plain = pair()
    expected = results(fused(plain))
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            ours = fused(plain)
            for found in pool.map(lambda _, ours=ours: results(ours), range(4)):
                assert same_bits(found, expected)


def test_scores_before_a_training_do_not_prevent_it():
    ours, plain = pair()
    with torch.inference_mode():
        ours(input_ids=IDS)
    assert_alike(results(ours), results(plain))


# What cannot be fused -----------------------------------------------------------------------------


def test_a_model_with_adapters_or_without_trained_weights_can_be_fused():
    for kind in KINDS:
        assert cannot_be_fused(base_model(kind).requires_grad_(False)) is None
        for lora in ({}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}):
            assert cannot_be_fused(with_adapters(base_model(kind), **lora)) is None


@pytest.mark.parametrize(
    ("kind", "config", "lora", "named"),
    [
        ("qwen3", {}, {"lora_dropout": 0.1}, "lora_dropout"),
        ("qwen3", {}, {"use_dora": True}, "use_dora"),
        ("llama", {"attention_bias": True}, {"bias": "all"}, "biases"),
        ("llama", {"mlp_bias": True}, {"bias": "lora_only"}, "biases"),
        ("qwen3", {"hidden_act": "gelu"}, {}, "GELU"),
        ("qwen3", {}, {"modules_to_save": ["input_layernorm"]}, "more than adapters"),
        ("qwen3", {}, None, "more than adapters"),
        ("qwen3", {"attention_dropout": 0.1}, {}, "dropout"),
    ],
)
def test_what_cannot_be_fused_is_named(kind, config, lora, named):
    model = base_model(kind, **config)
    assert named in cannot_be_fused(model if lora is None else with_adapters(model, **lora))


@pytest.mark.parametrize(
    "config",
    [
        transformers.MistralConfig(**SMALL),
        transformers.Qwen2Config(**SMALL),
        transformers.OPTConfig(vocab_size=97, hidden_size=24, num_hidden_layers=1, ffn_dim=8,
                               num_attention_heads=4, word_embed_proj_dim=24),
        transformers.GPT2Config(vocab_size=97, n_embd=24, n_layer=1, n_head=4,
                                bos_token_id=0, eos_token_id=0),
        transformers.BloomConfig(vocab_size=97, hidden_size=24, n_layer=1, n_head=4),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_other_architectures_are_named(config):
    model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    assert cannot_be_fused(model).startswith("a ")


def test_an_adapter_of_another_name_is_fused_or_refused():
    plain = with_adapters(base_model("qwen3"), "other")
    if cannot_be_fused(plain) is None:
        assert_alike(results(fused(plain)), results(plain))
