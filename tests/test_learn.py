"""`learn` takes reviewed sheets into data/corrections.csv: all of them, or none."""

import sys
from pathlib import Path

import pytest
from ledger_files import csv_text, write_xlsx
from project import ROOT
from refusals import refused
from reviewed_sheets import CHART, FIELDS, as_text, coded, sheet_rows
from ruamel.yaml import YAML

from stages import learn
from stages.lib.review.corrections import PATH, read_corrections
from stages.lib.tables import write_json


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with parameters and a chart, in which a command is run."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "params_train.yaml"):
        content = YAML().load(ROOT / name)
        if "feature" in content:
            content["feature"]["fields"] = FIELDS
            content["preprocess"]["labels"] |= {"retire": ["0900"], "pattern": "[0-9]{4}|.-."}
        YAML().dump(content, tmp_path / name)
    accounts = [{"acct_code": code, "acct_name": name} for code, name in CHART.items()]
    write_json({"accounts": accounts}, "models/train/label_map.json")


def run(capsys, *arguments: str) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["learn", *arguments])
        learn.main()
    return capsys.readouterr().err.splitlines()


def save(path: str, rows: list[dict], comma=True) -> str:
    cells = [[as_text(cell, comma, "%d.%m.%Y") for cell in row] for row in sheet_rows(rows)]
    Path(path).write_bytes(csv_text(cells, ";").encode("cp1252"))
    return path


def test_corrected_and_confirmed_rows_are_kept_and_others_named(capsys):
    write_xlsx(Path("a.xlsx"), {"rows": sheet_rows([coded(1, "0102"), coded(2), coded(3, "ok")])})
    lines = run(capsys, "a.xlsx", save("b.csv", [coded(4, "101"), coded(5, "0102", key="0" * 16)]))
    kept = {(row.account, row.kind) for row in read_corrections()}
    assert kept == {("0102", "corrected"), ("0101", "confirmed")}
    assert lines[0].startswith("learn: not taken: a.xlsx, sheet 'rows', row 4: 'ok'")
    assert lines[1].startswith("learn: not taken: b.csv, row 3: its key 0000000000000000 is not")
    assert lines[2] == (
        "learn: data/corrections.csv: 1 corrected and 1 confirmed rows taken, 0 known before; "
        "2 not taken; 1 untouched; it has 2 rows now"
    )


def test_the_same_command_again_changes_nothing(capsys):
    path = save("b.csv", [coded(1, "0102"), coded(2, "0101")])
    run(capsys, path)
    before = PATH.read_bytes()
    lines = run(capsys, path, path)
    assert PATH.read_bytes() == before
    assert lines == [
        "learn: data/corrections.csv: 0 corrected and 0 confirmed rows taken, 4 known before; "
        "0 not taken; 0 untouched; it has 2 rows now"
    ]


def test_the_order_of_rows_makes_no_difference(capsys):
    rows = [coded(number, "0102") for number in range(1, 9)]
    run(capsys, save("b.csv", rows))
    before = PATH.read_bytes()
    PATH.unlink()
    run(capsys, save("c.csv", rows[::-1]))
    assert PATH.read_bytes() == before


def test_one_sheet_that_cannot_be_read_leaves_everything_as_it_was(capsys):
    run(capsys, save("a.csv", [coded(1, "0102")]))
    before = PATH.read_bytes()
    Path("c.csv").write_text("decision,acct_code\npost,0101\n")
    with refused("no-key-column", "c.csv"):
        run(capsys, save("b.csv", [coded(2, "0102")]), "c.csv")
    assert PATH.read_bytes() == before


def test_a_sheet_without_answers_teaches_nothing(capsys):
    lines = run(capsys, save("b.csv", [coded(1), coded(2)]))
    assert lines[-1].endswith("0 not taken; 2 untouched; it has 0 rows now")
    assert not PATH.exists()


def test_a_new_account_must_be_given_and_fit_the_pattern(capsys):
    path = save("b.csv", [coded(1, "0555")])
    assert "'0555': no account of the chart" in run(capsys, path)[0]
    with refused("unsuitable-account", "--new-account 55", "preprocess.labels.pattern"):
        run(capsys, path, "--new-account", "55")
    run(capsys, path, "--new-account", "0555")
    assert read_corrections()[0].account == "0555"
    # From then on it is known.
    run(capsys, save("c.csv", [coded(2, "0555")]))
    assert [row.account for row in read_corrections()] == ["0555", "0555"]


def test_a_closed_account_is_not_taken(capsys):
    assert "account 0900 is closed" in run(capsys, save("b.csv", [coded(1, "0900")]))[0]
    assert not PATH.exists()


def test_a_damaged_file_of_corrections_is_never_overwritten(capsys):
    PATH.parent.mkdir()
    PATH.write_text("<<<<<<< HEAD\n")
    with refused("damaged-corrections", "corrections.csv"):
        run(capsys, save("b.csv", [coded(1, "0102")]))
    assert PATH.read_text() == "<<<<<<< HEAD\n"
