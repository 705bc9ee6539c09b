"""The whole pipeline on a ledger of 60 rows, in a repository of its own, by the users' commands."""

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, files, locked_outputs, run, stages_that_ran
from s3_server import commit
from small_ledger import ACCOUNTS, ledger_rows, write_ledger, write_new_rows

from stages.lib.tables import read_table

ALL = [
    *("check", "ingest", "preprocess", "feature", "split"),
    *("tokenize", "train", "score", "classify", "baseline", "evaluate"),
]
MODEL = ["check", "train", "score", "evaluate"]


pytest_plugins = ["team"]


def dvc(command: str, repository: Path) -> str:
    done = run(["dvc", *shlex.split(command)], repository)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_after_a_run_everything_is_up_to_date_and_nothing_runs_again(reproduced):
    assert "up to date" in dvc("status", reproduced)
    assert stages_that_ran(dvc("repro", reproduced)) == []
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""


def test_every_row_of_the_ledger_is_dealt_to_one_side_and_scored(reproduced):
    sides = {
        side: read_table(reproduced / f"data/split/{side}.parquet")["row_id"].to_pylist()
        for side in ("train", "val", "test")
    }
    rows = [row for side in sides.values() for row in side]
    assert sorted(rows) == list(range(60))
    predictions = read_table(reproduced / "data/evaluate/predictions.parquet")
    assert predictions["row_id"].to_pylist() == sides["test"]
    metrics = json.loads((reproduced / "metrics/evaluate/metrics.json").read_text())
    hits = zip(
        predictions["predicted"].to_pylist(), predictions["acct_code"].to_pylist(), strict=True
    )
    assert metrics["accuracy"] == pytest.approx(sum(a == b for a, b in hits) / len(sides["test"]))


def test_metrics_are_in_git_and_data_models_and_reports_are_not(reproduced):
    tracked = run(["git", "ls-files"], reproduced).stdout.splitlines()
    assert {"metrics/evaluate/metrics.json", "metrics/train/metrics.json"} <= set(tracked)
    stray = [
        name
        for name in tracked
        if name.startswith(("data/", "models/", "metrics/"))
        and not name.startswith(("data/raw/", "data/corrections.csv"))
        and not name.endswith((".gitignore", "/metrics.json"))
    ]
    assert stray == []


@pytest.mark.slow
def test_a_forced_run_gives_the_same_bytes_in_every_output(reproduced):
    before = locked_outputs(reproduced)
    assert sorted(stages_that_ran(dvc("repro --force", reproduced))) == sorted(ALL)
    assert locked_outputs(reproduced) == before
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""


@pytest.fixture
def copy(reproduced, tmp_path) -> Path:
    """Return a copy of the repository that a test may change."""
    return shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)


def test_the_metrics_fit_a_terminal_of_120_columns(reproduced):
    lines = dvc("metrics show", reproduced).splitlines()
    assert max(map(len, lines)) <= 120 and len(lines) == 3  # a line for each of two files
    metrics = {"accuracy", "certified95_rate", "log_loss", "macro_f1", "top3_accuracy", "val_loss"}
    assert lines[0].split() == ["Path", *sorted(metrics)]
    assert "nan" not in "".join(lines).lower()


def test_another_rank_reruns_only_what_depends_on_the_model_and_both_are_shown(copy):
    assert stages_that_ran(dvc("exp run -S lora.r=4", copy)) == MODEL
    config = json.loads((copy / "models/train/adapter_config.json").read_text())
    assert config["r"] == 4

    table = list(csv.DictReader(io.StringIO(dvc("exp show --csv", copy))))
    (column,) = (name for name in table[0] if name.endswith("lora.r"))
    assert {row[column] for row in table} == {"16", "4"}
    (accuracy,) = (name for name in table[0] if name == "accuracy" or name.endswith(":accuracy"))
    assert all(0 <= float(row[accuracy]) <= 1 for row in table)

    dvc("exp run --queue -S lora.r=8", copy)  # so that there is a State
    (line,) = re.findall("^dvc (exp show.*)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    done = run(["dvc", *shlex.split(line)], copy, COLUMNS="120")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    heading = next(line for line in lines if "Experiment" in line).split()
    assert heading[:2] == ["Experiment", "State"]
    assert {"accuracy", "log_loss", "val_loss", "certified95_rate", "lora.r"} == {*heading[2:]}
    assert max(map(len, lines)) <= 120 and sum("Queued" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("-S lora.r=abc", "invalid-parameter"),
        ("-S ingest.source=data/rwa", "file-not-found"),
        pytest.param("-S 'feature.fields=[nobody]'", "unsuitable-column", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_value_deletes_nothing_and_the_documented_line_mends_it(copy, change, code):
    before = files(copy, "data", "models", "metrics")
    done = run(["dvc", *shlex.split(f"exp run {change}")], copy)
    assert done.returncode != 0
    assert f"error[{code}]: params" in done.stderr and "Traceback" not in done.stderr
    after = files(copy, "data", "models", "metrics")
    assert {name: before[name] for name in before if name != "data/check/valid.txt"} == after
    (line,) = re.findall("^git read-tree.*", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    done = run(["sh", "-c", line], copy)
    assert done.returncode == 0, done.stderr
    assert stages_that_ran(done.stdout) == []  # out of the run cache
    assert files(copy, "data", "models", "metrics") == before
    assert run(["git", "status", "--porcelain"], copy).stdout == ""


def test_what_is_judged_or_shown_otherwise_never_touches_the_model(copy):
    template = copy / "stages/lib/evaluation/report.html"
    template.write_text(template.read_text(encoding="utf-8") + "<!-- more -->", encoding="utf-8")
    assert stages_that_ran(dvc("repro", copy)) == ["evaluate"]
    assert (copy / "metrics/evaluate/report.html").read_text(encoding="utf-8").endswith("more -->")
    change = "exp run -S params_train.yaml:evaluate.suspect_probability=0.5"
    assert stages_that_ran(dvc(change, copy)) == ["check", "evaluate"]


def test_another_library_that_shapes_a_model_trains_again_and_no_other_does(copy):
    (copy / "requirements.txt").write_text("")
    assert stages_that_ran(dvc("repro --dry", copy)) == []
    pins = copy / "requirements-model.txt"
    pins.write_text(pins.read_text() + "another==1.0\n")
    # A dry run stops at the first stage whose inputs are not there yet.
    assert stages_that_ran(dvc("repro --dry", copy))[:1] == ["train"]


# New rows


def predict(repository: Path, *arguments: object) -> subprocess.CompletedProcess:
    return run([sys.executable, "-m", "stages.predict", *map(str, arguments)], repository)


def read_coded(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_new_rows_get_the_account_and_the_probability_that_they_had_as_test_rows(
    reproduced, tmp_path
):
    write_new_rows(tmp_path / "새 거래.csv", ledger_rows())
    done = predict(reproduced, tmp_path / "새 거래.csv", tmp_path / "coded.csv")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'coded.csv'}: 60 rows in " in done.stderr
    coded = {int(row["source_row"]): row for row in read_coded(tmp_path / "coded.csv")}
    assert list(coded) == list(range(2, 62))

    known = read_table(reproduced / "data/evaluate/predictions.parquet").to_pylist()
    lines = read_table(reproduced / "data/split/test.parquet")["source_row"].to_pylist()
    names = {code: name for code, (name, _, _) in ACCOUNTS.items()}
    assert len(known) == 12
    for line, row in zip(lines, known, strict=True):
        found = coded[line]
        assert found["acct_code"] == row["predicted"]
        assert found["acct_name"] == names[row["predicted"]]
        assert [found["choice_2"], found["choice_3"]] == [row["choice_2"], row["choice_3"]]
        assert float(found["probability"]) == pytest.approx(row["probability"], abs=1e-4)
    # So few validation rows make no threshold certain.
    assert {row["decision"] for row in coded.values()} == {"review"}
    assert "no row is posted" in done.stderr
    assert predict(reproduced, "--verify", tmp_path / "coded.csv").returncode == 0
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""
    assert "up to date" in dvc("status", reproduced)


# The month


def fill_in(path: Path, account: str) -> None:
    """Correct the first row of a coded sheet, as a person does."""
    from ledger_files import write_xlsx
    from python_calamine import CalamineWorkbook

    header, first, *rest = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    first[header.index("corrected")] = account
    path.unlink()
    write_xlsx(path, {"rows": [header, first, *rest]})


@pytest.mark.slow
def test_the_lines_of_the_page_about_the_month_run_in_their_order(copy, tmp_path):
    page = (copy / "docs/month.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", page, re.S | re.M)).splitlines()
    assert len(lines) == 18
    run(["git", "init", "-q", "--bare", str(tmp_path / "hub")], copy)
    run(["git", "remote", "add", "origin", str(tmp_path / "hub")], copy)
    run(["git", "push", "-q", "-u", "origin", "HEAD"], copy)
    dvc(f"remote add -d store {tmp_path / 'store'}", copy)
    commit(copy, "results")
    rows = [[*row[:1], f"2019-01-{i % 28 + 1:02}", *row[2:]] for i, row in enumerate(ledger_rows())]
    for folder in ("new", "posted"):
        (copy / folder).mkdir()
    write_new_rows(copy / "new/2019-01.csv", rows)
    write_ledger(copy / "posted/2019-01.csv", rows)
    said, models = {}, {}
    for line in lines:
        if "stages.learn" in line:
            fill_in(copy / "coded.xlsx", "0101")
        done = run(["bash", "-c", line], copy)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said[line] = done.stdout + done.stderr
        if line.startswith("dvc artifacts get"):
            models[line.rpartition("/")[2]] = files(
                copy / f"released/{line.rpartition('/')[2]}", "."
            )
    before, compared = (said[line] for line in lines if "stages.month" in line)
    assert "released/january: 60 rows count" in before
    assert re.search(r"^2019-01 +60 ", before, re.M)
    assert re.search(r"^models: \d+ rows count; \d+ others do not", compared, re.M)
    assert re.search(r"^2019-01: \d+ rows that neither has learned", compared, re.M)
    assert "McNemar, p = " in compared
    # January is what it was, February learned more, and rolling back brings January's bytes.
    assert models["january"] != models["february"] and models["january"] == models["again"]
    assert models["february"] == files(copy / "models", ".")
