"""The command codes files of new rows, or says in one line why not, and leaves nothing else."""

import json
import os
import resource
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from coded_files import read_coded, with_cells
from forked_stages import Forked
from project import ROOT, set_params
from project import run as run_process
from refusals import refused
from small_ledger import ACCOUNT, HEADER, ledger_rows, write_ledger, write_new_rows
from trained_project import change_json

from stages import predict


@pytest.fixture(autouse=True)
def project(light_project, monkeypatch):
    monkeypatch.chdir(light_project)


@pytest.fixture
def new(tmp_path) -> Path:
    """Return a file of eight new rows."""
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    return tmp_path / "march.csv"


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
    predict.main()


def files_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_it_writes_every_row_and_the_audit_file_and_changes_nothing_else(
    light_project, tmp_path, monkeypatch, capsys
):
    before = files_in(light_project)
    rows = ledger_rows(8)
    rows[3] = with_cells(rows[3], transaction_amt="unknown")
    rows[4] = with_cells(rows[4], purpose="=1+1 jane@example.com")
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", [*rows, [""] * len(HEADER)])
    run(monkeypatch, tmp_path / "new", tmp_path / "out/coded.csv")
    coded = read_coded(tmp_path / "out/coded.csv")
    assert [row["source_row"] for row in coded] == [str(line) for line in range(2, 11)]
    assert [row["decision"] for row in coded[3::5]] == ["refused", "none"]
    assert coded[4]["Purpose"] == "'=1+1 jane@example.com"
    assert coded[4]["seen_purpose"] == "'=1+1 [email]"
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith(f"{tmp_path / 'out/coded.csv'}: 9 rows in ")
    assert "1 refused (11%), 1 none (11%)" in said.err and said.out == ""
    assert "jane" not in said.err
    assert files_in(light_project) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "coded.csv",
        "coded.csv.audit.json",
    ]


def test_the_summary_for_scripts_is_one_line_of_json(new, tmp_path, monkeypatch, capsys):
    run(monkeypatch, new, tmp_path / "out.csv", "--json", "--precision", "0.99")
    assert json.loads(capsys.readouterr().out) == {
        "rows": 8, "post": 0, "review": 8, "refused": 0, "none": 0, "threshold": None
    }  # fmt: skip


def test_the_command_line_stands_in_for_parameters(new, tmp_path, monkeypatch):
    run(monkeypatch, new, tmp_path / "out.csv", "--language", "ko", "--precision", "0.9")
    assert "decision" not in read_coded(tmp_path / "out.csv")[0]
    said = json.loads((tmp_path / "out.csv.audit.json").read_text())["parameters"]["predict"]
    assert (said["language"], said["precision"]) == ("ko", 0.9)
    for wrong in ("1", "0.5", "nan", "-3"):
        with refused("invalid-parameter", "--precision"):
            run(monkeypatch, new, tmp_path / "no.csv", "--precision", wrong)


def test_a_file_says_how_other_files_are_read(new, tmp_path, monkeypatch):
    run(monkeypatch, new, tmp_path / "own.csv")
    text = new.read_text().replace("Merchant Name", "Payee", 1)
    new.write_text(text)
    with refused("header-not-found", "march.csv", "merchant (merchant name)"):
        run(monkeypatch, new, tmp_path / "out.csv")
    (tmp_path / "bank.yaml").write_text("ingest: {columns: {merchant: {names: [payee]}}}")
    run(monkeypatch, new, tmp_path / "out.csv", "--reading", tmp_path / "bank.yaml")
    own, bank = read_coded(tmp_path / "own.csv"), read_coded(tmp_path / "out.csv")
    assert [row.pop("Merchant Name") for row in own] == [row.pop("Payee") for row in bank]
    assert own == bank
    (tmp_path / "bank.yaml").write_text("feature: {fields: [purpose]}")
    with refused("invalid-parameter", "bank.yaml: feature", "ingest.columns"):
        run(monkeypatch, new, tmp_path / "no.csv", "--reading", tmp_path / "bank.yaml")


@pytest.mark.parametrize(
    ("left_out", "new", "out", "code", "part"),
    [
        (("Purpose",), "new", "coded.csv", "column-not-found", "ingest.columns.purpose"),
        (ACCOUNT, "new", "new/coded.csv", "unsuitable-output", "new/coded.csv"),
        (ACCOUNT, "new", "coded.xls", "unsuitable-output", "coded.xls"),
        (ACCOUNT, "old", "coded.csv", "file-not-found", "old"),
    ],
)
def test_what_cannot_be_coded_is_refused_and_leaves_no_file(
    tmp_path, monkeypatch, left_out, new, out, code, part
):
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", ledger_rows(8), left_out)
    with refused(code, part):
        run(monkeypatch, tmp_path / new, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("folder", ["data/raw", "data", "models", "metrics/new"])
def test_a_folder_of_the_pipeline_takes_no_output(new, monkeypatch, folder):
    with refused("unsuitable-output", folder):
        run(monkeypatch, new, Path(folder, "coded.csv"))


@pytest.mark.parametrize("name", ["coded.csv", "coded.csv.audit.json", "coded.csv.partial"])
def test_an_existing_file_is_never_overwritten(new, tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("mine")
    if name.endswith("partial"):
        run(monkeypatch, new, tmp_path / "coded.csv")
    else:
        with refused("output-exists", name):
            run(monkeypatch, new, tmp_path / "coded.csv")
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet"])
def test_a_file_that_appears_meanwhile_stays(new, tmp_path, monkeypatch, ending):
    from stages.lib.review import coding_run

    out, real = tmp_path / f"out{ending}", coding_run.code_base

    def code_base(*arguments):
        out.write_text("mine")
        return real(*arguments)

    monkeypatch.setattr(coding_run, "code_base", code_base)
    with refused("output-exists", out.name):
        run(monkeypatch, new, out)
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["march.csv", out.name]


def test_a_folder_that_cannot_be_written_is_refused(new, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with refused("cannot-write", "file/coded.csv"):
        run(monkeypatch, new, tmp_path / "file/coded.csv")


def test_verifying_says_yes_or_what_differs(light_project, new, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(shutil.copytree(light_project, tmp_path / "project"))
    out = tmp_path / "out.parquet"
    (tmp_path / "new").mkdir()
    new = new.rename(tmp_path / "new/march.csv")
    run(monkeypatch, new, out)
    capsys.readouterr()
    before = files_in(tmp_path)
    run(monkeypatch, "--verify", out)
    run(monkeypatch, "--verify", new.parent, out)
    assert capsys.readouterr().err.count("is what its audit file says") == 2
    assert files_in(tmp_path) == before
    content = new.read_bytes()
    new.write_bytes(content + b"\n")
    with refused("not-verified", str(new)) as caught:
        run(monkeypatch, "--verify", new, out)
    assert f"{out}: its content" not in str(caught.value)
    new.write_bytes(content)
    change_json(Path("models/evaluate/manifest.json"), more=1)
    with refused("not-verified", "models/evaluate"):
        run(monkeypatch, "--verify", out)
    out.write_bytes(out.read_bytes()[:-1])
    with refused("not-verified", f"{out}: its content is not what was written"):
        run(monkeypatch, "--verify", out)


def test_posted_rows_and_a_chart_are_taken(new, tmp_path, monkeypatch, capsys):
    posted = [with_cells(ledger_rows(1)[0], merchant_name="Zamboni", purpose="ice")]
    write_ledger(tmp_path / "posted.csv", posted)
    (tmp_path / "chart.csv").write_text("0101\n2010\n")
    options = ["--posted", tmp_path / "posted.csv", "--chart", tmp_path / "chart.csv"]
    run(monkeypatch, new, tmp_path / "out.csv", *options)
    proposed = {row["acct_code"] for row in read_coded(tmp_path / "out.csv")}
    assert proposed <= {"0101", "2010"}
    assert "1 posted rows count as corrections" in capsys.readouterr().err


# As a process ------------------------------------------------------------------------------------


def predict_as(limit: int, *arguments: object) -> None:
    """Run the command, which can write no file that is larger than `limit` bytes."""
    sys.argv = ["predict", *map(str, arguments)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    predict.main()


def start(folder: Path, *arguments: object, limit: int = resource.RLIM_INFINITY) -> Forked:
    return Forked(partial(predict_as, limit, *arguments), folder)


def test_a_refusal_ends_the_process_with_one_line_and_code_1(light_project, new, tmp_path):
    folder = shutil.copytree(light_project, tmp_path / "project")
    shutil.rmtree(folder / "models")
    command = [sys.executable, "-m", "stages.predict", str(new), str(tmp_path / "coded.csv")]
    done = run_process(command, folder, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert done.stderr.startswith("error[no-model]: models/train: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_a_run_that_is_stopped_leaves_no_sheet(light_project, new, tmp_path, ending):
    project = shutil.copytree(light_project, tmp_path / "project")
    place = tmp_path / "out"
    place.mkdir()
    write_new_rows(new, ledger_rows() * 40)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        command = start(project, new, place / f"coded{ending}")
        while not list(place.glob("*.partial/*")) and command.process.is_alive():
            time.sleep(0.02)
        os.kill(command.process.pid, number)
        assert command.end().returncode in (-number, 128 + number)
        left = {path.name.partition(".")[0] + path.suffix for path in place.iterdir()}
        assert left == ({"coded.partial"} if number == signal.SIGKILL else set())
    done = start(project, new, place / f"coded{ending}").end()
    assert done.returncode == 0 and (place / f"coded{ending}").is_file(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet"])
def test_a_full_disk_leaves_nothing_and_is_one_line(light_project, new, tmp_path, ending):
    project = shutil.copytree(light_project, tmp_path / "project")
    rows = [with_cells(row, purpose=os.urandom(5_000).hex()) for row in ledger_rows()]
    write_new_rows(new, rows)
    limit = 300_000  # the rows themselves, spooled, are larger
    done = start(project, new, tmp_path / f"coded{ending}", limit=limit).end()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error[cannot-write]: ")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["march.csv", "project"]


def test_a_parameter_of_the_section_is_checked(light_project, new, tmp_path, monkeypatch):
    folder = shutil.copytree(light_project, tmp_path / "project")
    monkeypatch.chdir(folder)
    set_params(folder, {"predict.review.share": 2.0, "predict.language": "de"})
    with refused("invalid-parameter", "predict.review.share", "predict.language"):
        run(monkeypatch, new, tmp_path / "out.csv")
