"""A folder with the small ledger, its base table and a model: what `predict` needs."""

import json
import shutil
from contextlib import chdir
from pathlib import Path

from project import ROOT, set_params, tiny_params
from small_ledger import ledger_rows, write_ledger

from stages.lib.checksums import file_sha256
from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.classify import MODEL as TEXT_EXPERTS
from stages.lib.contracts.evaluate import CALIBRATION
from stages.lib.contracts.feature import BASE, ROWS
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.names import LABEL
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.contracts.train import MODEL
from stages.lib.model.manifest import library_versions, write_manifest
from stages.lib.params.classify import ClassifyParams
from stages.lib.params.files import load_params
from stages.lib.tables import read_json, read_table, write_json

THRESHOLDS = {"autopost95": 0.5, "autopost99": None}
# 200 rows above 0.4, all of them right: enough for 95 %, too few for 99 %.
CERTIFICATE = [[0.4, 200.0, 0.0]]
# The random language model is given a say.
WEIGHTS = {"language_model": 10.0, "text_classifier": 0.3, "past_postings": 0.2}
WITHOUT_LANGUAGE_MODEL = {"language_model": 0.0, "text_classifier": 0.6, "past_postings": 0.4}


def write_trained_project(folder: Path, tiny_model: Path) -> Path:
    """Run the stages of the ledger in `folder`, in this process, and save a random adapter."""
    write_base(folder, tiny_model)
    with chdir(folder):
        write_model(tiny_model)
        write_text_experts()
        write_calibration()
    return folder


def write_light_project(folder: Path) -> Path:
    """Make what `write_trained_project` makes, with a language model that has no weight: PyTorch is
    never imported."""
    write_base(folder, folder / "none")
    with chdir(folder):
        write_light_models()
    return folder


def write_light_models() -> None:
    """Save the models of the base table in this folder, the language model without weights."""
    names = {row["acct_code"]: row["acct_name"] for row in read_table(ACCOUNTS).to_pylist()}
    codes = sorted(set(read_table(BASE)[LABEL].to_pylist()))
    accounts = [
        {"acct_code": code, "acct_name": names.get(code, ""), "token_id": number}
        for number, code in enumerate(codes)
    ]
    shutil.rmtree(MODEL, ignore_errors=True)
    write_json({"prompt": {}, "accounts": accounts}, MODEL / LABEL_MAP)
    base = {"name": "none", "revision": None, "dtype": "float32"}
    write_manifest(MODEL, library_versions(), base_model=base)
    write_text_experts(read_table(BASE).num_rows)
    write_calibration(WITHOUT_LANGUAGE_MODEL)


def write_base(folder: Path, tiny_model: Path) -> None:
    """Run the stages of the ledger in `folder`, in this process."""
    from stages import feature, ingest, preprocess

    pins = [f"requirements-{name}.txt" for name in ("model", "classify")]
    for name in ("params.yaml", "params_train.yaml", *pins):
        shutil.copy2(ROOT / name, folder / name)
    set_params(folder, tiny_params(tiny_model))
    write_ledger(folder / "data/raw/ledger.csv", ledger_rows())
    with chdir(folder):
        for stage in (ingest, preprocess, feature):
            stage.main()


def write_model(base_model: Path) -> None:
    """Save an adapter with random weights to ``models/train``, as `train` would."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from stages.lib.model.base_model import load_tokenizer
    from stages.lib.model.labels import build_label_map
    from stages.lib.model.prompt import PROMPT_VERSION

    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base_model), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(MODEL)
    (MODEL / "README.md").unlink(missing_ok=True)
    fields = read_json(ROWS)["made_with"]["feature.fields"]
    accounts = build_label_map(
        load_tokenizer(base_model), read_table(BASE)[LABEL], read_table(ACCOUNTS)
    )
    prompt = {"version": PROMPT_VERSION, "fields": fields, "max_tokens": 96}
    write_json({"prompt": prompt, "accounts": accounts}, MODEL / LABEL_MAP)
    base = {"name": str(base_model), "revision": None, "dtype": "float32"}
    write_manifest(MODEL, library_versions(), base_model=base)


def write_text_experts(rows: int = 60) -> None:
    """Save a text classifier and an index of the ledger's first rows, as `classify` would."""
    from stages.lib.model.text_experts import fit_text_experts, save_text_experts

    made = read_json(ROWS)
    fields = made["made_with"]["feature.fields"]
    params = load_params(classify=ClassifyParams).classify
    base = read_table(BASE).slice(0, rows)
    shutil.rmtree(TEXT_EXPERTS, ignore_errors=True)
    save_text_experts(fit_text_experts(base, fields, made["roles"], params, 1), TEXT_EXPERTS)


def write_calibration(weights: dict[str, float] = WEIGHTS) -> None:
    """Write what `evaluate` would have fitted for the models."""
    calibration = {
        "models": {
            "train": file_sha256(MODEL / MANIFEST),
            "classify": file_sha256(TEXT_EXPERTS / MANIFEST),
        },
        "weights": weights,
        "confidence": [1.0, 1.0, 0.0],
        "thresholds": THRESHOLDS,
        "certificate": CERTIFICATE,
        "rows_made_with": read_json(ROWS)["made_with"],
    }
    shutil.rmtree(CALIBRATION.parent, ignore_errors=True)
    write_json(calibration, CALIBRATION)
    write_manifest(CALIBRATION.parent, {})


def change_calibration(**values: object) -> None:
    """Replace some keys of the calibration, and make its manifest anew."""
    change_json(CALIBRATION, **values)
    (CALIBRATION.parent / MANIFEST).unlink()
    write_manifest(CALIBRATION.parent, {})


def change_json(path: Path, **values: object) -> None:
    """Replace some keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
