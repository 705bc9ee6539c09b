"""What several test files share: a tiny base model, a small ledger, and copies of the project."""

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]

# A shell that starts the tests in the background has them, and so their children, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# account, its name, and what is bought from whom: Hangul, a leading zero, an account seen once
ACCOUNTS = {
    "0101": ("PARKING", ["GREEN P", "IMPARK 24", "주차장 강남"], ["parking at site", "주차 요금"]),
    "2010": ("OFFICE SUPPLIES", ["STAPLES #12", "GRAND & TOY"], ["toner", "paper, A4", "펜"]),
    "2020": ("PRINTING & PAPER", ["알파문구", "KWIK KOPY"], ["banners", "인쇄물"]),
    "4010": ("여비 교통비", ["대한항공", "VIA RAIL", "택시"], ["출장", "site visit"]),
    "4110": ("복리후생비 - 식대", ["김밥천국", "TIM HORTONS"], ["회식", "team lunch"]),
    "5999": ("", ["MISC VENDOR"], ["sundry"]),
}
HEADER = [
    "Batch-Transaction ID",
    "Transaction Date",
    "Merchant Name",
    "Transaction Amt.",
    "G/L Account",
    "G/L Account Description",
    "Cost Centre / WBS Element Description",
    "Merchant Type Description",
    "Purpose",
    "Division",
]
# The other columns of params.yaml, which a file must announce though they may be empty.
EMPTY = [
    "Card Posting Dt",
    "Trx Currency",
    "Original Amount",
    "Original Currency",
    "Cost Centre / WBS Element",
    "Merchant Type",
]


def ledger_rows(n_rows: int = 60) -> list[list[str]]:
    """Return the cells of a small ledger, in the order of HEADER, always the same ones."""
    choose = random.Random(7)
    accounts = list(ACCOUNTS)
    rows = []
    for i in range(n_rows):
        code = accounts[-1] if i == n_rows - 1 else choose.choice(accounts[:-1])
        name, merchants, purposes = ACCOUNTS[code]
        rows.append(
            [
                f"{1000 + i}-1",
                f"2018-{1 + i % 12:02}-{1 + i % 28:02}",
                choose.choice(merchants),
                f"{choose.randrange(100, 90000) / 100:.2f}",
                code,
                name,
                choose.choice(["WATER", "ROADS", "본사 총무팀"]),
                choose.choice(["SERVICE", "RETAIL"]),
                f"{choose.choice(purposes)} {i % 9}",
                choose.choice(["PARKS", "재무과"]),
            ]
        )
    return rows


def write_ledger(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        blank = [""] * len(EMPTY)
        csv.writer(file).writerows([[*HEADER, *EMPTY], *([*row, *blank] for row in rows)])


def write_tiny_model(folder: Path) -> None:
    """Save a random Qwen3 of two layers and a byte-level tokenizer trained on the small ledger."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<|endoftext|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f" {cell.casefold()}" for row in ledger_rows() for cell in row]
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Return a model folder; tests must not write into it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    from stages.lib.model.base_model import load_tokenizer

    return load_tokenizer(tiny_model)


def set_params(repository: Path, values: dict[str, object]) -> None:
    """Set ``{"training.seed": 1}`` in whichever parameter file has the section."""
    yaml = YAML()
    for name in ("params.yaml", "params_train.yaml"):
        content = yaml.load(repository / name)
        for key, value in values.items():
            section, *middle, last = key.split(".")
            if section in content:
                node = content[section]
                for part in middle:
                    node = node[part]
                assert last in node, key
                node[last] = value
        yaml.dump(content, repository / name)


def tiny_params(model: Path) -> dict[str, object]:
    """Return parameters with which the whole experiment takes seconds."""
    return {
        "model.name": str(model),
        "model.revision": None,
        "model.dtype": "float32",
        "deepspeed.bf16.enabled": False,
        "lora.top_layers": 1,
        "lora.lora_dropout": 0.1,
        "training.num_train_epochs": 2,
        "training.per_device_train_batch_size": 8,
        "training.per_device_eval_batch_size": 8,
        "training.gradient_accumulation_steps": 1,
        "training.learning_rate": 0.01,
        "training.warmup_steps": 2,
        "training.logging_steps": 1,
        "training.eval_strategy": "steps",
        "training.eval_steps": 2,
        "training.save_strategy": "steps",
        "training.save_steps": 2,
        "evaluate.bootstrap_resamples": 100,
    }


def environment(**extra: str) -> dict[str, str]:
    """Return an environment without network, git identity of the user, or threads to spare."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    names = {f"GIT_{who}_{what}": "tester@localhost" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **names, **offline, "PATH": path, **extra}


def run(command: list[str], folder: Path, **extra: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=folder, env=environment(**extra), text=True, capture_output=True, timeout=900
    )


def run_stage(name: str, folder: Path, **extra: str) -> subprocess.CompletedProcess:
    return run([sys.executable, "-m", f"stages.{name}"], folder, **extra)


def copy_project(folder: Path) -> Path:
    """Copy code and parameters as they stand, without data, to `folder`."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        top = Path(name).parts[0]
        if top not in ("data", "models", "metrics", "dvc.lock") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def clone_project(folder: Path, model: Path) -> Path:
    """Make a git repository of the project as it stands, with the small ledger and tiny model."""
    copy_project(folder)
    write_ledger(folder / "data/raw/ledger.csv", ledger_rows())
    set_params(folder, tiny_params(model))
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "x"]):
        done = run(command, folder)
        assert done.returncode == 0, done.stderr
    return folder


def write_split(folder: Path, model: Path) -> Path:
    """Copy the project to `folder` with tiny parameters, and deal the small ledger by hand.

    So that tests of the model's stages do not stand on those of the ledger's.
    """
    import pyarrow as pa

    from stages.lib.tables import write_table

    copy_project(folder)
    set_params(folder, tiny_params(model))
    set_params(folder, {"feature.fields": ["merchant", "purpose", "division"]})
    rows = ledger_rows()
    table = pa.table(
        {
            "row_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
            "merchant": [row[2].casefold() for row in rows],
            "purpose": [row[8].casefold() for row in rows],
            "division": [row[9].casefold() for row in rows],
            "group": [row[2].casefold() for row in rows],
            "acct_code": [row[4] for row in rows],
        }
    )
    parts = {"train": (0, 40), "val": (40, 8), "test": (48, 12)}  # 5999 stands in test only
    for side, (start, size) in parts.items():
        write_table(table.slice(start, size), folder / f"data/split/{side}.parquet")
    chart = {code: name for code, (name, *_) in ACCOUNTS.items()}
    accounts = {"acct_code": sorted(chart), "acct_name": [chart[c] for c in sorted(chart)]}
    write_table(pa.table(accounts), folder / "data/preprocess/accounts.parquet")
    return folder


@pytest.fixture(scope="session")
def tokenized(tiny_model, tmp_path_factory) -> Path:
    """Return a copy of the project in which `tokenize` has run; tests must not write into it."""
    folder = write_split(tmp_path_factory.mktemp("tokenized"), tiny_model)
    done = run_stage("tokenize", folder)
    assert done.returncode == 0, done.stderr
    return folder
