"""Tokenized data: the same bytes each time, and nothing of a row lost on the way."""

import json
import shutil
import sys
from collections import Counter

import datasets
import pyarrow as pa
import pytest
from project import ROOT, run, run_stage, set_params
from small_ledger import ACCOUNTS, ledger_rows

from stages.lib.model.prompt import PROMPT_VERSION, encode_prompts
from stages.lib.tables import read_table
from stages.tokenize import build_label_map, tokenize_rows

SIDES = {"train": 40, "val": 8, "test": 12}
FIELDS = ["merchant", "purpose", "division"]


def contents(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted([*folder.glob("data/tokenize/**/*"), *folder.glob("metrics/tokenize/*")])
        if path.is_file()
    }


def without_outputs(tokenized, folder):
    """Return a copy of the project in `folder` as it stands before `tokenize`."""
    ignored = shutil.ignore_patterns("tokenize", ".git")
    return shutil.copytree(tokenized, folder, ignore=ignored)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_bytes_depend_on_neither_folder_nor_hash_seed(tokenized, tmp_path, seed):
    copy = without_outputs(tokenized, tmp_path / f"elsewhere{seed}")
    done = run_stage("tokenize", copy, PYTHONHASHSEED=seed)
    assert done.returncode == 0, done.stderr
    assert contents(copy) == contents(tokenized)
    assert len(contents(copy)) > 6


def test_no_output_names_the_folder_or_the_host(tokenized):
    import socket

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


def test_only_accounts_of_training_rows_are_in_the_label_map(tokenized, tokenizer):
    label_map = json.loads((tokenized / "data/tokenize/label_map.json").read_text())
    assert label_map["prompt"] == {"version": PROMPT_VERSION, "fields": FIELDS, "max_tokens": 96}
    train_rows = Counter(row[4] for row in ledger_rows()[:40])
    found = {entry["acct_code"]: entry["train_rows"] for entry in label_map["accounts"]}
    assert found == train_rows
    assert list(found) == sorted(found)
    for entry in label_map["accounts"]:
        assert entry["acct_name"] == ACCOUNTS[entry["acct_code"]][0]
        assert tokenizer.encode(entry["token"]).ids == [entry["token_id"]]
    assert len({entry["token_id"] for entry in label_map["accounts"]}) == len(found)


def test_the_report_counts_rows_tokens_and_trimmed_prompts(tokenized):
    report = json.loads((tokenized / "metrics/tokenize/report.json").read_text())
    for side, n_rows in SIDES.items():
        rows = datasets.load_from_disk(str(tokenized / "data/tokenize" / side))
        tokens = sum(map(len, rows["input_ids"]))
        assert report[side] == {"rows": n_rows, "tokens": tokens, "trimmed_rows": 0}
    assert report["accounts"] == 5


def test_an_account_without_training_rows_has_label_minus_one(tokenizer):
    table = pa.table(
        {
            "row_id": pa.array([5, 3], pa.int64()),
            "a": ["ttc", "여비"],
            "acct_code": ["0101", "unseen"],
        }
    )
    found, trimmed = tokenize_rows(tokenizer, table, ["a"], ["0100", "0101"], 96)
    assert found["label"].to_pylist() == [1, -1]
    assert found["row_id"].to_pylist() == [5, 3]
    assert found["input_ids"].to_pylist() == encode_prompts(tokenizer, [["ttc", "여비"]], 96)[0]
    assert trimmed == 0


def test_the_prompt_of_a_row_is_the_same_on_every_side(tokenizer):
    """Training and scoring see one prompt: it depends on the row's fields alone."""
    columns = {"row_id": pa.array([1], pa.int64()), "a": ["go train"], "acct_code": ["0101"]}
    alone, _ = tokenize_rows(tokenizer, pa.table(columns), ["a"], ["0101"], 96)
    columns = {"row_id": pa.array([8, 9]), "a": ["x", "go train"], "acct_code": ["1", "2"]}
    among, _ = tokenize_rows(tokenizer, pa.table(columns), ["a"], ["0101"], 96)
    assert alone["input_ids"][0] == among["input_ids"][1]


def test_trimmed_prompts_are_counted(tokenizer):
    table = pa.table({"row_id": [1, 2], "a": ["x" * 99, "ttc"], "acct_code": ["1", "1"]})
    found, trimmed = tokenize_rows(tokenizer, table, ["a"], ["1"], 9)
    assert trimmed == 1
    assert found["length"].to_pylist()[0] == 9


def test_an_account_that_the_chart_does_not_name_still_gets_a_token(tokenizer):
    chart = pa.table({"acct_code": ["0101", "2"], "acct_name": ["PARKING", None]})
    accounts = pa.chunked_array([["0101", "3", "2"]])
    found = build_label_map(tokenizer, accounts, chart)
    assert [(entry["acct_code"], entry["acct_name"]) for entry in found] == [
        ("0101", "PARKING"),
        ("2", ""),
        ("3", ""),
    ]
    assert found[0]["token"] == " parking"


def test_too_few_tokens_for_the_fields_is_one_line(tokenized, tmp_path):
    copy = without_outputs(tokenized, tmp_path / "copy")
    fields = FIELDS * 2
    set_params(copy, {"tokenize.max_tokens": 11, "feature.fields": fields})
    done = run_stage("tokenize", copy)
    assert done.returncode == 1
    assert done.stderr == (
        "error: params_train.yaml: tokenize.max_tokens: expected at least 12 "
        "(two for each of the 6 fields), got 11\n"
    )


def test_a_field_that_the_rows_lack_is_one_line(tokenized, tmp_path):
    copy = without_outputs(tokenized, tmp_path / "copy")
    set_params(copy, {"feature.fields": ["merchant", "colour"]})
    done = run_stage("tokenize", copy)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "colour" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_stage_imports_neither_torch_nor_transformers(tokenized, tmp_path):
    copy = without_outputs(tokenized, tmp_path / "copy")
    code = (
        "import sys, runpy\n"
        "try: runpy.run_module('stages.tokenize', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('LOADED', sorted({'torch', 'transformers', 'pandas'} & {*sys.modules}))"
    )
    done = run([sys.executable, "-c", code], copy)
    # datasets brings pandas along, and would bring torch along if it were asked to
    assert "LOADED ['pandas']" in done.stdout, done.stdout + done.stderr
    assert (ROOT / "stages/tokenize.py").is_file()
