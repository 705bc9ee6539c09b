"""The stage `tokenize`: the same bytes each time, and nothing of a row lost."""

import json
import shutil
import socket
import sys
from collections import Counter
from contextlib import chdir

import datasets
import pytest
from project import run, run_stage, set_params
from refusals import refused
from small_ledger import ACCOUNTS, ledger_rows

from stages import tokenize
from stages.lib.model.prompt import PROMPT_VERSION
from stages.lib.tables import read_table

SIDES = {"train": 40, "val": 8, "test": 12}
FIELDS = ["merchant", "purpose", "division"]


def contents(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted([*folder.glob("data/tokenize/**/*"), *folder.glob("metrics/tokenize/*")])
        if path.is_file()
    }


@pytest.fixture
def before(tokenized, tmp_path):
    """Return a copy of the project as it is before `tokenize` runs."""
    ignored = shutil.ignore_patterns("tokenize", ".git")
    return shutil.copytree(tokenized, tmp_path / "elsewhere", ignore=ignored)


def tokenize_in(folder) -> None:
    """Run the stage in this process."""
    with chdir(folder):
        tokenize.main()


def test_the_bytes_depend_on_neither_folder_nor_hash_seed(tokenized, before):
    done = run_stage("tokenize", before, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    assert contents(before) == contents(tokenized)
    assert len(contents(before)) > 6


def test_no_output_names_the_folder_or_the_host(tokenized):
    for name, content in contents(tokenized).items():
        assert str(tokenized).encode() not in content, name
        assert socket.gethostname().encode() not in content, name


@pytest.mark.parametrize("side", SIDES)
def test_each_row_keeps_its_id_its_prompt_and_its_label(tokenized, tokenizer, side):
    rows = datasets.load_from_disk(str(tokenized / "data/tokenize" / side))
    table = read_table(tokenized / f"data/split/{side}.parquet")
    assert len(rows) == SIDES[side]
    assert rows["row_id"] == table["row_id"].to_pylist()
    texts = zip(*(table[field].to_pylist() for field in FIELDS), strict=True)
    for row, fields, account in zip(rows, texts, table["acct_code"].to_pylist(), strict=True):
        assert tokenizer.decode(row["input_ids"]) == "".join(f" {text}|" for text in fields)
        assert row["length"] == len(row["input_ids"])
        expected = -1 if account == "5999" else sorted(ACCOUNTS).index(account)
        assert row["label"] == expected
    assert str(rows.features["row_id"].dtype) == "int64"
    assert str(rows.features["label"].dtype) == "int32"
    assert str(rows.features["input_ids"].feature.dtype) == "int32"


def test_only_accounts_of_training_rows_are_in_the_label_map(tokenized):
    label_map = json.loads((tokenized / "data/tokenize/label_map.json").read_text())
    assert label_map["prompt"] == {"version": PROMPT_VERSION, "fields": FIELDS, "max_tokens": 96}
    found = {entry["acct_code"]: entry["train_rows"] for entry in label_map["accounts"]}
    assert found == Counter(row[4] for row in ledger_rows()[:40])
    assert list(found) == sorted(found)
    for entry in label_map["accounts"]:
        assert entry["acct_name"] == ACCOUNTS[entry["acct_code"]][0]


def test_the_report_counts_rows_tokens_and_trimmed_prompts(tokenized):
    report = json.loads((tokenized / "metrics/tokenize/report.json").read_text())
    for side, n_rows in SIDES.items():
        rows = datasets.load_from_disk(str(tokenized / "data/tokenize" / side))
        tokens = sum(map(len, rows["input_ids"]))
        assert report[side] == {"rows": n_rows, "tokens": tokens, "trimmed_rows": 0}
    assert report["accounts"] == 5
    assert report["train_rows_left_out"] == 0


def test_a_part_of_the_training_rows_changes_neither_labels_nor_the_other_sides(before, tokenized):
    set_params(before, {"tokenize.max_train_rows": 9})
    tokenize_in(before)
    report = json.loads((before / "metrics/tokenize/report.json").read_text())
    assert (report["train"]["rows"], report["train_rows_left_out"]) == (9, 31)
    part, whole = contents(before), contents(tokenized)
    same = [name for name in whole if not name.startswith(("data/tokenize/train", "metrics"))]
    assert {name: part[name] for name in same} == {name: whole[name] for name in same}
    place = "data/tokenize/train"
    chosen, all_rows = (
        datasets.load_from_disk(str(folder / place)) for folder in (before, tokenized)
    )
    assert set(chosen["label"]) == set(all_rows["label"])
    by_id = dict(zip(all_rows["row_id"], all_rows["input_ids"], strict=True))
    assert [by_id[row] for row in chosen["row_id"]] == list(chosen["input_ids"])
    assert list(chosen["row_id"]) == sorted(chosen["row_id"])


def test_accounts_that_no_chosen_row_has_are_printed(before, capsys):
    set_params(before, {"tokenize.max_train_rows": 3})
    tokenize_in(before)
    assert "leaves 2 accounts without a row to learn from" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "code", "parts"),
    [
        (
            {"tokenize.max_tokens": 11, "feature.fields": FIELDS * 2},
            "prompt-too-short",
            ["params_train.yaml: tokenize.max_tokens: ", "at least 12"],
        ),
        ({"feature.fields": ["merchant", "colour"]}, "no-column", ["colour"]),
    ],
)
def test_fields_that_do_not_fit_are_one_line(before, values, code, parts):
    set_params(before, values)
    with refused(code, *parts) as caught:
        tokenize_in(before)
    assert "\n" not in str(caught.value)
    assert not (before / "data/tokenize").exists()


def test_the_stage_imports_neither_torch_nor_transformers(before):
    code = (
        "import sys, runpy\n"
        "try: runpy.run_module('stages.tokenize', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('LOADED', sorted({'torch', 'transformers', 'pandas'} & {*sys.modules}))"
    )
    done = run([sys.executable, "-c", code], before)
    # datasets brings pandas along, and would bring torch along if it were asked to
    assert "LOADED ['pandas']" in done.stdout, done.stdout + done.stderr


def test_prompts_begin_with_the_token_that_the_base_model_begins_with(before, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "gemma")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [],
        "special_tokens": {
            "<|im_end|>": {"id": "<|im_end|>", "ids": [1], "tokens": ["<|im_end|>"]}
        },
    }
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    set_params(before, {"model.name": str(model)})
    tokenize_in(before)
    prompts = datasets.load_from_disk(str(before / "data/tokenize/test"))["input_ids"]
    assert all(prompt[0] == 1 and 1 not in prompt[1:] for prompt in prompts)
    label_map = json.loads((before / "data/tokenize/label_map.json").read_text())
    assert label_map["prompt"]["beginning"] == [1]
