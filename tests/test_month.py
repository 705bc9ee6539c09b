"""`month` says whether a model still holds, changes nothing, and refuses in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import environment
from refusals import refused
from small_ledger import ledger_rows, write_ledger

from stages import month


@pytest.fixture(autouse=True)
def project(light_project, monkeypatch):
    """Run each test in a project with the models of 60 rows of 2018."""
    monkeypatch.chdir(light_project)


@pytest.fixture
def posted(tmp_path) -> Path:
    """Return a file of posted rows: 30 of January and 30 of February 2019."""
    rows = [[*row[:1], f"2019-0{1 + i // 30}-15", *row[2:]] for i, row in enumerate(ledger_rows())]
    write_ledger(tmp_path / "게시.csv", rows)
    return tmp_path / "게시.csv"


def run(monkeypatch, capsys, *arguments: object) -> tuple[str, str]:
    monkeypatch.setattr(sys, "argv", ["month", *map(str, arguments)])
    month.main()
    return capsys.readouterr()


def test_the_table_has_a_line_a_month_and_says_whether_a_retraining_is_due(
    posted, monkeypatch, capsys, light_project
):
    before = {path: path.stat().st_mtime_ns for path in light_project.rglob("*") if path.is_file()}
    lines = run(monkeypatch, capsys, posted)[0].splitlines()
    assert lines[0] == (
        "models: 60 rows count; 0 others do not, because the model has learned them"
    )
    assert lines[1].split("  ")[0] == "month"
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["2019-01", "30"],
        ["2019-02", "30"],
        ["all", "months"],
    ]
    assert lines[-1] == "nothing shows that a retraining is due"
    after = {path: path.stat().st_mtime_ns for path in light_project.rglob("*") if path.is_file()}
    assert before == after


def test_two_models_are_compared_as_json(posted, tmp_path, monkeypatch, capsys):
    shutil.copytree("models", tmp_path / "v1")
    found = json.loads(run(monkeypatch, capsys, posted, "--against", tmp_path / "v1", "--json")[0])
    assert list(found["models"]) == ["models", str(tmp_path / "v1")]
    assert found["models"]["models"]["retraining_due"] is False
    assert {name: rows["rows"] for name, rows in found["compared"].items()} == {
        "2019-02": 30,
        "all months": 60,
    }
    assert (found["compared"]["2019-02"]["only_first"], found["compared"]["2019-02"]["p"]) == (0, 1)
    printed = run(monkeypatch, capsys, posted, "--against", tmp_path / "v1")[0]
    assert printed.count("they cannot be told apart") == 2


def test_rows_of_the_training_are_named_and_do_not_count(tmp_path, monkeypatch, capsys):
    write_ledger(tmp_path / "old.csv", ledger_rows())
    shutil.copytree("models", tmp_path / "v1")
    printed = run(monkeypatch, capsys, tmp_path / "old.csv", "--against", tmp_path / "v1")[0]
    assert "models: 0 rows count; 60 others do not" in printed
    assert printed.splitlines()[-1].endswith("each row is one that one of them has learned")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["none.csv"], "file-not-found"),
        (["posted.csv", "--model", "none"], "no-model"),
        (["posted.csv", "--against", "none"], "no-model"),
        (["header.csv"], "no-transactions"),
    ],
)
def test_what_cannot_be_read_is_refused(arguments, code, posted, tmp_path, monkeypatch, capsys):
    posted.rename(tmp_path / "posted.csv")
    write_ledger(tmp_path / "header.csv", [])
    places = [tmp_path / name if name.endswith(".csv") else name for name in arguments]
    with refused(code):
        run(monkeypatch, capsys, *places)


def test_a_model_is_not_compared_with_itself(posted, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, capsys, posted, "--against", "./models")
    assert "another folder" in capsys.readouterr().err


def test_an_account_that_the_terminal_cannot_show_does_not_end_the_command(
    posted, tmp_path, light_project
):
    done = subprocess.run(
        [sys.executable, "-m", "stages.month", posted, "--json"],
        cwd=light_project,
        env=environment(PYTHONPATH=str(Path(month.__file__).parents[1]), PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 60
