"""Both parameter files are as `dvc exp run -S` writes them, so that one -S changes one line."""

import difflib
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from project import ROOT

from stages.lib.params.files import PARAM_FILES, read_yaml


@pytest.fixture(params=PARAM_FILES)
def file(request, tmp_path) -> Path:
    return shutil.copy(ROOT / request.param, tmp_path / request.param)


# Keys that may be a list, and are none in the file.
LISTS_TOO = {
    "params.yaml": ["lora.target_modules"],
    "params_train.yaml": ["baseline.lookup_columns", "baseline.character_fields"],
}


def changed_lines(old: str, new: str) -> list[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return [line for line in list(lines)[2:] if line[0] in "+-"]


def leaves(content: dict, prefix: str = "") -> dict[str, object]:
    """Return ``{dotted key: value}`` of everything that is no mapping."""
    found = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def comments(text: str) -> list[str]:
    """Return what stands behind a `#`, list items apart, which may have one in quotes."""
    lines = (line for line in text.splitlines() if not line.strip().startswith("- "))
    return [line.partition("# ")[2] for line in lines if "# " in line]


def test_the_writer_changes_no_byte(file):
    before = file.read_bytes()
    with modify_yaml(file) as content:
        assert content
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("params.yaml", "lora.r=32", "lora.bias=all", ["r: 32", "bias: all   # Biases"]),
        ("params.yaml", "lora.use_rslora=true", "lora.r=8", ["r: 8", "use_rslora: true"]),
        (
            "params.yaml",
            'ingest.source="장부 (1)"',
            'preprocess.labels.pattern="[0-9]{3}"',
            ["source: 장부 (1)", "pattern: '[0-9]{3}'"],
        ),
        (
            "params.yaml",
            'preprocess.credit_words=[cr,"대변"]',
            "preprocess.date_order=dmy",
            ["credit_words:", "- cr", "- 대변", "date_order: dmy  # The order"],
        ),
        (
            "params_train.yaml",
            "training.learning_rate=1e-4",
            "training.threads=1",
            ["threads: 1", "learning_rate: 0.0001"],
        ),
        (
            "params_train.yaml",
            'training.launcher="torchrun --nproc_per_node=2"',
            "training.early_stopping_patience=null",
            ["launcher: torchrun --nproc_per_node=2"],
        ),
    ],
)
def test_two_values_in_a_row_change_their_own_lines(tmp_path, name, first, second, expected):
    path = shutil.copy(ROOT / name, tmp_path / name)
    before = path.read_text(encoding="utf-8")
    for override in (first, second):
        apply_overrides(path, [override])
    lines = changed_lines(before, path.read_text(encoding="utf-8"))
    added = [line[1:].strip() for line in lines if line[0] == "+"]
    assert len(added) == len(expected)
    assert all(a.startswith(b) for a, b in zip(added, expected, strict=True)), added
    whole = sum("- " not in line for line in expected)
    assert len([line for line in lines if line[0] == "-"]) == whole


@pytest.mark.parametrize("value", ["[]", '[x,"계"]', "null", "7"])
def test_no_comment_is_lost_whatever_the_values_are(file, value):
    """Of all lists, of all keys that may be null, and of all numbers; twice, as the writer loses
    comments only when it reads what it wrote."""
    before = file.read_text(encoding="utf-8")
    content = leaves(read_yaml(file))
    kinds = list if value.startswith("[") else type(None) | int | float
    keys = [key for key, old in content.items() if isinstance(old, kinds)]
    if kinds is list:
        keys += LISTS_TOO[file.name]
    assert keys
    for _ in range(2):
        apply_overrides(file, [f"{key}={value}" for key in keys])
        assert comments(file.read_text(encoding="utf-8")) == comments(before)
    after = leaves(read_yaml(file))
    wanted = {"[]": [], '[x,"계"]': ["x", "계"], "null": None, "7": 7}[value]
    assert {key: after[key] for key in keys} == dict.fromkeys(keys, wanted)
    assert {key: after[key] for key in content if key not in keys} == {
        key: content[key] for key in content if key not in keys
    }
