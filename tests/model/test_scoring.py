"""The trained model and its scores, against the plain model over the whole vocabulary."""

import json
import shutil

import numpy as np
import pytest
import torch
from base_models import model_params
from peft import LoraConfig, PeftModel, get_peft_model
from refusals import refused
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from stages.lib.checksums import file_sha256
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.model import packed_rows, scoring
from stages.lib.model.base_model import pin_revision
from stages.lib.model.batches import pad_right
from stages.lib.model.label_head import load_base_model
from stages.lib.model.manifest import installed_version
from stages.lib.model.prompt import PROMPT_VERSION
from stages.lib.model.scoring import (
    TrainedModel,
    evaluate_model,
    load_trained_model,
    replace_weights,
    score_rows,
)

LABELS = [300, 17, 301, 450]
ACCOUNTS = ["0101", "2010", "4010", "여비"]


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
    manifest = {"base_model": base_model, "versions": {}, "files": files}
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


def test_accounts_are_in_the_order_of_the_label_map(trained):
    assert trained.accounts == ACCOUNTS


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_scores_are_those_of_the_whole_vocabulary(trained, prompts, expected, batch_tokens):
    found = score_rows(trained, prompts, batch_tokens, 1, "test")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


@pytest.mark.parametrize("batch_tokens", [1, 40, 1000])
def test_rows_laid_end_to_end_have_the_same_scores(
    trained_folder, prompts, expected, batch_tokens, monkeypatch
):
    monkeypatch.setattr(scoring, "check_packed", lambda section, dtype: None)
    monkeypatch.setattr(packed_rows, "varlen_attention", packed_rows.plain_attention)
    trained = load_trained_model(trained_folder, trust_remote_code=False, packed=True)
    found = score_rows(trained, prompts, batch_tokens, 1, "test")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert score_rows(trained, [], batch_tokens, 1, "test").shape == (0, 4)


def test_scores_do_not_depend_on_the_order_of_the_rows(trained, prompts, expected):
    order = np.random.default_rng(1).permutation(len(prompts))
    found = score_rows(trained, [prompts[i] for i in order], 60, 1, "test")
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


def test_the_tokens_of_the_padding_do_not_matter(trained, prompts, expected):
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
    found = score_rows(trained, prompts, 1, 1, "test")  # a row in each batch
    handle.remove()
    assert sum(rows) == len(prompts) - 2
    np.testing.assert_array_equal(found[-2], found[2])
    np.testing.assert_array_equal(found[-1], found[0])


def test_no_rows_give_no_scores(trained):
    assert score_rows(trained, [], 100, 1, "test").shape == (0, len(ACCOUNTS))


def test_merged_bfloat16_is_no_further_from_float32_than_adapters_beside_it(
    tiny_model, trained_folder, prompts, expected
):
    """`expected` is float32 with the adapters beside the weights; both ways round to bfloat16."""
    base = load_base_model(tiny_model, model_params(tiny_model, dtype="bfloat16"), LABELS)
    beside = PeftModel.from_pretrained(base, trained_folder, autocast_adapter_dtype=False).eval()
    base = load_base_model(tiny_model, model_params(tiny_model, dtype="bfloat16"), LABELS)
    merged = PeftModel.from_pretrained(base, trained_folder).merge_and_unload().eval()
    dtypes = {weight.dtype for name, weight in merged.named_parameters() if "layers" in name}
    assert dtypes == {torch.bfloat16}
    errors = [
        np.abs(score_rows(TrainedModel(model, ACCOUNTS), prompts, 40, 1, "test") - expected).mean()
        for model in (merged, beside)
    ]
    assert errors[0] < 1.2 * errors[1]


def test_both_sides_are_scored_each_in_its_order(trained, prompts, expected):
    found = evaluate_model(trained, {"val": prompts[:3], "test": prompts[3:]}, 40, 1)
    assert list(found) == ["val", "test"]
    np.testing.assert_allclose(found["val"], expected[:3], atol=1e-5)
    np.testing.assert_allclose(found["test"], expected[3:], atol=1e-5)


# What is checked before a model is used ---------------------------------------------------------


@pytest.fixture
def copy(trained_folder, tmp_path):
    return shutil.copytree(trained_folder, tmp_path / "train")


def load(folder) -> TrainedModel:
    return load_trained_model(folder, trust_remote_code=False)


def test_a_damaged_file_is_refused(copy):
    (copy / LABEL_MAP).write_text((copy / LABEL_MAP).read_text() + " ")
    with refused("damaged-model", str(copy / LABEL_MAP)):
        load(copy)


def test_prompts_of_another_version_are_refused(copy, tiny_model):
    label_map = json.loads((copy / LABEL_MAP).read_text())
    label_map["prompt"]["version"] = PROMPT_VERSION + 1
    (copy / LABEL_MAP).write_text(json.dumps(label_map))
    write_manifest(copy, tiny_model)
    with refused("outdated-model", str(copy), f"version {PROMPT_VERSION + 1}"):
        load(copy)


def test_a_base_model_that_is_gone_is_refused(copy, tmp_path):
    write_manifest(copy, tmp_path / "gone")
    with refused("no-base-model", "model.name", str(tmp_path / "gone")):
        load(copy)


def test_a_base_model_that_changed_after_the_training_is_refused(copy, tiny_model, tmp_path):
    base = shutil.copytree(tiny_model, tmp_path / "base")
    write_manifest(copy, base)
    manifest = json.loads((copy / MANIFEST).read_text())
    pinned = pin_revision(model_params(base))
    manifest["base_model"]["revision"] = pinned.revision
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert load(copy).accounts == ACCOUNTS
    config = base / "generation_config.json"
    config.write_text(config.read_text() + " ")
    with refused("changed-base-model", "model.revision", str(base), pinned.revision):
        load(copy)


def test_a_model_of_version_1_0_notes_nothing_of_quantization(copy):
    manifest = json.loads((copy / MANIFEST).read_text())
    assert manifest["base_model"].pop("quantize") == "none"
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert load(copy).accounts == ACCOUNTS


def test_libraries_of_other_versions_than_made_the_model_are_told(copy, capsys):
    installed = {name: installed_version(name) for name in ("torch", "peft", "transformers")}
    for versions, told in ((installed, False), ({**installed, "peft": "0.0.1"}, True)):
        manifest = json.loads((copy / MANIFEST).read_text())
        (copy / MANIFEST).write_text(json.dumps(manifest | {"versions": versions}))
        capsys.readouterr()
        load(copy)
        lines = [line for line in capsys.readouterr().err.splitlines() if MANIFEST in line]
        assert len(lines) == told
        if told:
            assert f"peft 0.0.1 (installed: {installed['peft']})" in lines[0]
            assert "torch" not in lines[0]


def test_weights_of_another_base_model_are_refused(tiny_model, tmp_path):
    model = load_base_model(tiny_model, model_params(tiny_model), LABELS)
    name, weight = next(iter(load_file(tiny_model / "model.safetensors").items()))
    save_file({name: weight + 1}, tmp_path / "model.safetensors")
    replace_weights(model, tmp_path)
    torch.testing.assert_close(model.state_dict()[name], weight + 1)
    save_file({"model.layers.9.weight": weight}, tmp_path / "model.safetensors")
    with refused("damaged-model", "model.safetensors", "model.layers.9.weight"):
        replace_weights(model, tmp_path)
