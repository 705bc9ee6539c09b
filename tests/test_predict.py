"""The command codes a file of new rows, or says in one line why not, and leaves nothing else."""

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, environment
from refusals import refused
from small_ledger import ACCOUNT, HEADER, ledger_rows, write_new_rows

from stages import predict


def run(monkeypatch, new: Path, out: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", str(new), str(out)])
    predict.main()


def read_coded(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def files_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_it_writes_coded_and_refused_rows_and_changes_nothing_else(
    trained_project, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(trained_project)
    before = files_in(trained_project)
    rows = ledger_rows(8)
    rows[3][HEADER.index("Transaction Amt.")] = "unknown"
    rows[4][HEADER.index("Purpose")] = "=1+1 jane@example.com"
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", [*rows, [""] * len(HEADER)])
    run(monkeypatch, tmp_path / "new", tmp_path / "out/coded.csv")
    coded = read_coded(tmp_path / "out/coded.csv")
    assert [row["source_row"] for row in coded] == list("23467895")
    assert all(row["predicted"] and not row["refused"] for row in coded[:-1])
    assert (coded[-1]["predicted"], coded[-1]["refused"]) == ("", "unreadable amount in amount")
    assert coded[3]["purpose"] == "'=1+1 [email]"
    said = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'out/coded.csv'}: 7 rows coded, 1 refused; 1 " in said[-3]
    assert said[-2].startswith("autopost95: ") and said[-1] == "autopost99: 0 rows (0.0%)"
    assert files_in(trained_project) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["coded.csv"]


@pytest.mark.parametrize(
    ("left_out", "new", "out", "code", "part"),
    [
        (("Purpose",), "new", "coded.csv", "column-not-found", "ingest.columns.purpose"),
        (ACCOUNT, "new", "new/coded.csv", "unsuitable-output", "new/coded.csv"),
        (ACCOUNT, "new", "coded.xlsx", "unsuitable-output", "coded.xlsx"),
        (ACCOUNT, "old", "coded.csv", "file-not-found", "old"),
    ],
)
def test_what_cannot_be_coded_is_refused_and_leaves_no_file(
    trained_project, tmp_path, monkeypatch, left_out, new, out, code, part
):
    monkeypatch.chdir(trained_project)
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", ledger_rows(8), left_out)
    with refused(code, part):
        run(monkeypatch, tmp_path / new, tmp_path / out)
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize("folder", ["data/raw", "data", "models", "metrics/new"])
def test_a_folder_of_the_pipeline_takes_no_output(trained_project, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(trained_project)
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    with refused("unsuitable-output", folder):
        run(monkeypatch, tmp_path / "march.csv", Path(folder, "coded.csv"))


def test_an_existing_file_is_never_overwritten(trained_project, tmp_path, monkeypatch):
    monkeypatch.chdir(trained_project)
    write_new_rows(tmp_path / "april.csv", ledger_rows(8))
    before = (tmp_path / "april.csv").read_bytes()
    (tmp_path / "march.csv").write_bytes(before)
    with refused("output-exists", "march.csv"):
        run(monkeypatch, tmp_path / "april.csv", tmp_path / "march.csv")
    assert (tmp_path / "march.csv").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused(trained_project, tmp_path, monkeypatch):
    monkeypatch.chdir(trained_project)
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    (tmp_path / "file").touch()
    with refused("cannot-write", "file/coded.csv"):
        run(monkeypatch, tmp_path / "march.csv", tmp_path / "file/coded.csv")


def start(folder: Path, *arguments: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "stages.predict", *map(str, arguments)]
    path = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment(**path), stderr=subprocess.PIPE, text=True
    )


def test_a_refusal_ends_the_process_with_one_line_and_code_1(trained_project, tmp_path):
    folder = shutil.copytree(trained_project, tmp_path / "project")
    shutil.rmtree(folder / "models")
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    process = start(folder, tmp_path / "march.csv", tmp_path / "coded.csv")
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.startswith("error[no-model]: models/train: ") and len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_leaves_no_file(trained_project, tmp_path, number):
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    process = start(trained_project, tmp_path / "march.csv", tmp_path / "coded.csv")
    process.stderr.read(1)  # it loads the model
    process.send_signal(number)
    process.communicate()
    assert process.returncode in (-number, 128 + number)
    assert [path.name for path in tmp_path.iterdir()] == ["march.csv"]
