"""The label head and the scores, against the plain model over the whole vocabulary."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from stages.lib.errors import UserError
from stages.lib.model.base_model import ModelParams, file_sha256, pin_revision
from stages.lib.model.batches import pad_right
from stages.lib.model.prompt import PROMPT_VERSION
from stages.lib.model.scoring import (
    LABEL_MAP,
    MANIFEST,
    LabelHead,
    TrainedModel,
    load_base_model,
    load_trained_model,
    score_rows,
)

LABELS = [300, 17, 301, 450]
ACCOUNTS = ["0101", "2010", "4010", "여비"]


def model_params(folder, dtype: str = "float32") -> ModelParams:
    return ModelParams(name=str(folder), revision=None, trust_remote_code=False, dtype=dtype)


def adapted(model) -> PeftModel:
    """Return `model` with LoRA adapters whose weights are random, not zero."""
    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def trained_folder(tiny_model, tmp_path_factory):
    """Return a folder as `train` writes it, made by hand."""
    folder = tmp_path_factory.mktemp("trained")
    adapted(AutoModelForCausalLM.from_pretrained(tiny_model)).save_pretrained(folder)
    accounts = [
        {"acct_code": code, "token_id": token_id}
        for code, token_id in zip(ACCOUNTS, LABELS, strict=True)
    ]
    label_map = {"prompt": {"version": PROMPT_VERSION}, "accounts": accounts}
    (folder / LABEL_MAP).write_text(json.dumps(label_map))
    write_manifest(folder, tiny_model)
    return folder


def write_manifest(folder, base) -> None:
    files = {p.name: file_sha256(p) for p in folder.iterdir() if p.is_file() and p.name != MANIFEST}
    base_model = model_params(base).model_dump(exclude={"trust_remote_code"})
    manifest = {"base_model": base_model, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def trained(trained_folder) -> TrainedModel:
    return load_trained_model(trained_folder, trust_remote_code=False)


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    random = np.random.default_rng(0)
    found = [random.integers(2, 600, size=length).tolist() for length in [7, 1, 30, 12, 12, 3, 21]]
    return [*found, found[2], found[0]]  # two of them twice


@pytest.fixture(scope="module")
def expected(tiny_model, trained_folder, prompts) -> np.ndarray:
    """Return the logits as plain transformers and peft give them: a row alone, all tokens."""
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = PeftModel.from_pretrained(plain, trained_folder).eval()
    with torch.inference_mode():
        rows = [plain(input_ids=torch.tensor([ids])).logits[0, -1, LABELS] for ids in prompts]
    return torch.stack(rows).numpy()


def test_accounts_come_in_the_order_of_the_label_map(trained):
    assert trained.accounts == ACCOUNTS


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_scores_are_those_of_the_whole_vocabulary(trained, prompts, expected, batch_tokens):
    found = score_rows(trained, prompts, batch_tokens, "test")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


def test_scores_do_not_depend_on_the_order_of_the_rows(trained, prompts, expected):
    order = np.random.default_rng(1).permutation(len(prompts))
    found = score_rows(trained, [prompts[i] for i in order], 60, "test")
    np.testing.assert_allclose(found, expected[order], atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_without_a_mask_equals_padding_with_one(
    tiny_model, trained_folder, prompts, expected, side
):
    """The usual way: pad on either side, mask the padding, number the positions by the mask."""
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = PeftModel.from_pretrained(plain, trained_folder).eval()
    width = max(map(len, prompts))
    ids, mask = (torch.zeros(len(prompts), width, dtype=torch.long) for _ in range(2))
    for i, prompt in enumerate(prompts):
        place = slice(width - len(prompt), width) if side == "left" else slice(0, len(prompt))
        ids[i, place], mask[i, place] = torch.tensor(prompt), 1
    last = [width - 1 if side == "left" else len(prompt) - 1 for prompt in prompts]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits = plain(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    found = logits[range(len(prompts)), last][:, LABELS].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_stands_in_the_padding_does_not_matter(trained, prompts, expected):
    inputs = pad_right(prompts)
    lengths = inputs["logits_to_keep"] + 1
    padding = torch.arange(inputs["input_ids"].shape[1])[None] >= lengths
    inputs["input_ids"][padding] = torch.randint(2, 600, (int(padding.sum()),))
    with torch.inference_mode():
        found = trained.model(**inputs).logits[:, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_identical_prompts_are_scored_once(trained, prompts):
    rows = []
    handle = trained.model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    found = score_rows(trained, prompts, 40, "test")
    handle.remove()
    assert sum(rows) == len(prompts) - 2
    np.testing.assert_array_equal(found[-2], found[2])
    np.testing.assert_array_equal(found[-1], found[0])


def test_no_rows_give_no_scores(trained):
    assert score_rows(trained, [], 100, "test").shape == (0, len(ACCOUNTS))


def test_only_the_rows_of_the_label_tokens_are_multiplied(tiny_model):
    model = load_base_model(tiny_model, model_params(tiny_model), LABELS)
    assert model(**pad_right([[5, 6], [7]])).logits.shape == (2, 1, len(LABELS))


def test_merged_bfloat16_is_no_further_from_float32_than_adapters_beside_it(
    tiny_model, trained_folder, prompts, expected
):
    """`expected` is float32 with the adapters beside the weights; both ways round to bfloat16."""
    base = load_base_model(tiny_model, model_params(tiny_model, "bfloat16"), LABELS)
    beside = PeftModel.from_pretrained(base, trained_folder, autocast_adapter_dtype=False).eval()
    base = load_base_model(tiny_model, model_params(tiny_model, "bfloat16"), LABELS)
    merged = PeftModel.from_pretrained(base, trained_folder).merge_and_unload().eval()
    dtypes = {weight.dtype for name, weight in merged.named_parameters() if "layers" in name}
    assert dtypes == {torch.bfloat16}
    errors = [
        np.abs(score_rows(TrainedModel(model, ACCOUNTS), prompts, 40, "test") - expected).mean()
        for model in (merged, beside)
    ]
    assert errors[0] < 1.2 * errors[1]


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
    model = load_base_model(tiny_model, model_params(tiny_model, "bfloat16"), LABELS)
    head = model.get_output_embeddings().weight
    others = {weight.dtype for weight in model.parameters() if weight is not head}
    assert (others, head.dtype) == ({torch.bfloat16}, torch.float32)
    assert model(**pad_right([[5, 6]])).logits.dtype == torch.float32


# What is verified before a model is used --------------------------------------------------------


@pytest.fixture
def copy(trained_folder, tmp_path):
    return shutil.copytree(trained_folder, tmp_path / "train")


def refusal(folder) -> str:
    with pytest.raises(UserError) as caught:
        load_trained_model(folder, trust_remote_code=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", LABEL_MAP])
def test_a_flipped_bit_is_refused_by_name(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert refusal(copy).startswith(f"{copy / name}: sha256 is ")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", LABEL_MAP])
def test_a_missing_file_is_refused_by_name(copy, name):
    (copy / name).unlink()
    assert refusal(copy).startswith(f"{copy / name}: missing")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_manifest_that_cannot_be_read_is_refused(copy, content):
    (copy / MANIFEST).unlink()
    if content is not None:
        (copy / MANIFEST).write_text(content)
    assert refusal(copy).startswith(f"{copy / MANIFEST}: not readable")


def test_prompts_of_another_version_are_refused(copy, tiny_model):
    label_map = json.loads((copy / LABEL_MAP).read_text())
    label_map["prompt"]["version"] = PROMPT_VERSION + 1
    (copy / LABEL_MAP).write_text(json.dumps(label_map))
    write_manifest(copy, tiny_model)
    assert "trained on prompts of version" in refusal(copy)


def test_a_base_model_that_is_gone_is_refused(copy, tmp_path):
    write_manifest(copy, tmp_path / "gone")
    assert refusal(copy).startswith(f"model.name: {tmp_path / 'gone'}: no such folder")


def test_a_base_model_that_changed_after_the_training_is_refused(copy, tiny_model, tmp_path):
    base = shutil.copytree(tiny_model, tmp_path / "base")
    write_manifest(copy, base)
    manifest = json.loads((copy / MANIFEST).read_text())
    pinned = pin_revision(model_params(base))
    manifest["base_model"]["revision"] = pinned.revision
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert load_trained_model(copy, trust_remote_code=False).accounts == ACCOUNTS
    config = base / "generation_config.json"
    config.write_text(config.read_text() + " ")
    assert refusal(copy).startswith(f"model.revision: {base} should have sha256 {pinned.revision}")


def test_a_base_model_that_cannot_be_loaded_is_one_line(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(UserError, match=r"model.name: .*broken: cannot be loaded") as caught:
        load_base_model(folder, model_params(folder), LABELS)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_a_tensor_are_refused(tiny_model, tmp_path):
    """transformers would fill it with random numbers and go on."""
    folder = shutil.copytree(tiny_model, tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    lacking = "model.layers.1.mlp.up_proj.weight"
    save_file({k: v for k, v in weights.items() if k != lacking}, folder / "model.safetensors")
    with pytest.raises(UserError, match=f"partial: its weights lack 1 tensors .*{lacking}"):
        load_base_model(folder, model_params(folder), LABELS)


def test_an_unknown_architecture_is_one_line(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "strange")
    (folder / "config.json").write_text('{"model_type": "strange"}')
    with pytest.raises(UserError, match=r"model.name: .*strange: cannot be loaded"):
        load_base_model(folder, model_params(folder), LABELS)
