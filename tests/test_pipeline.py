"""The whole pipeline on a ledger of 60 rows, in a repository of its own, by the users' commands."""

import csv
import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from project import clone_project, environment, run, set_params
from ruamel.yaml import YAML
from small_ledger import ACCOUNTS, HEADER, ledger_rows

from stages.lib.errors import UserError
from stages.lib.params.files import load_params
from stages.lib.tables import read_table
from stages.predict import BatchTokens, ModelTrust, load_calibration, score

pytestmark = pytest.mark.slow

ALL = ["ingest", "preprocess", "feature", "split", "tokenize", "train", "baseline", "evaluate"]


def dvc(command: str, repository: Path) -> str:
    done = run(["dvc", *shlex.split(command)], repository)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stages_that_ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def locked_outputs(repository: Path) -> dict[str, str]:
    lock = YAML(typ="safe").load(repository / "dvc.lock")
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def commit(repository: Path) -> None:
    for command in (["git", "add", "-A"], ["git", "commit", "-qm", "results"]):
        assert run(command, repository).returncode == 0


@pytest.fixture(scope="module")
def reproduced(tiny_model, tmp_path_factory) -> Path:
    """Return a repository in which `dvc repro` has run; tests must not change its results."""
    repository = clone_project(tmp_path_factory.mktemp("clone") / "repository", tiny_model)
    assert sorted(stages_that_ran(dvc("repro", repository))) == sorted(ALL)
    commit(repository)
    return repository


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


def test_metrics_and_reports_are_in_git_and_data_and_models_are_not(reproduced):
    tracked = run(["git", "ls-files"], reproduced).stdout.splitlines()
    assert {"metrics/evaluate/metrics.json", "metrics/train/metrics.json"} <= set(tracked)
    stray = [
        name
        for name in tracked
        if name.startswith(("data/", "models/"))
        and not name.startswith("data/raw/")
        and not name.endswith(".gitignore")
    ]
    assert stray == []


def test_a_forced_run_gives_the_same_bytes_in_every_output(reproduced):
    before = locked_outputs(reproduced)
    assert sorted(stages_that_ran(dvc("repro --force", reproduced))) == sorted(ALL)
    assert locked_outputs(reproduced) == before
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""


def test_another_rank_reruns_train_and_evaluate_only_and_both_are_shown(reproduced, tmp_path):
    repository = shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)
    assert stages_that_ran(dvc("exp run -S lora.r=4", repository)) == ["train", "evaluate"]
    config = json.loads((repository / "models/train/adapter_config.json").read_text())
    assert config["r"] == 4

    table = list(csv.DictReader(io.StringIO(dvc("exp show --csv", repository))))
    (column,) = (name for name in table[0] if name.endswith("lora.r"))
    assert {row[column] for row in table} == {"16", "4"}
    (accuracy,) = (name for name in table[0] if name == "accuracy" or name.endswith(":accuracy"))
    assert all(0 <= float(row[accuracy]) <= 1 for row in table)


# New rows ---------------------------------------------------------------------------------------

ACCOUNT = ("G/L Account", "G/L Account Description")


def write_new_rows(path: Path, rows: list[list[str]], left_out: tuple[str, ...] = ACCOUNT) -> None:
    """Write rows of the small ledger without the columns `left_out`."""
    kept = [place for place, name in enumerate(HEADER) if name not in left_out]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row[place] for place in kept] for row in [HEADER, *rows])


def predict(repository: Path, new: Path, out: Path) -> subprocess.CompletedProcess:
    return run([sys.executable, "-m", "stages.predict", str(new), str(out)], repository)


def read_coded(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_new_rows_get_the_account_and_the_probability_that_they_had_as_test_rows(
    reproduced, tmp_path
):
    write_new_rows(tmp_path / "새 거래.csv", ledger_rows())
    done = predict(reproduced, tmp_path / "새 거래.csv", tmp_path / "coded.csv")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'coded.csv'}: 60 rows coded, 0 refused; 0 that say" in done.stderr
    coded = {int(row["source_row"]): row for row in read_coded(tmp_path / "coded.csv")}
    assert sorted(coded) == list(range(2, 62))

    known = read_table(reproduced / "data/evaluate/predictions.parquet").to_pylist()
    lines = read_table(reproduced / "data/split/test.parquet")["source_row"].to_pylist()
    names = {code: name for code, (name, _, _) in ACCOUNTS.items()}
    assert len(known) == 12
    for line, row in zip(lines, known, strict=True):
        found = coded[line]
        assert found["predicted"] == row["predicted"]
        assert found["predicted_name"] == names[row["predicted"]]
        assert [found["choice_2"], found["choice_3"]] == [row["choice_2"], row["choice_3"]]
        assert float(found["probability"]) == pytest.approx(row["probability"], abs=1e-4)
        assert [found["autopost95"], found["autopost99"]] == [
            "yes" if row[name] else "no" for name in ("autopost95", "autopost99")
        ]
    assert run(["git", "status", "--porcelain"], reproduced).stdout == ""
    assert "up to date" in dvc("status", reproduced)


def test_each_new_row_is_coded_or_listed_with_its_reason_or_counted(reproduced, tmp_path):
    rows = ledger_rows(8)
    rows[1] = rows[0]  # no duplicate here: both want an account
    rows[2][HEADER.index("Merchant Name")] = ""
    rows[3][HEADER.index("Transaction Amt.")] = "unknown"
    rows[4][HEADER.index("Purpose")] = "=1+1 jane@example.com"
    total = ["" if name != "Transaction Amt." else "99.00" for name in HEADER]
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", [*rows, total, [""] * len(HEADER)])
    done = predict(reproduced, tmp_path / "new", tmp_path / "coded.csv")
    assert done.returncode == 0, done.stderr
    assert "6 rows coded, 3 refused; 1 that say nothing" in done.stderr
    coded = read_coded(tmp_path / "coded.csv")
    assert [(row["source_row"], row["refused"]) for row in coded if not row["predicted"]] == [
        ("4", "no merchant"),
        ("10", "subtotal"),
        ("5", "unreadable amount in amount"),
    ]
    assert [row["source_row"] for row in coded if row["predicted"]] == list("23") + list("6789")
    assert coded[0]["predicted"] == coded[1]["predicted"]
    assert coded[2]["purpose"] == "'=1+1 [email]"


def change_nothing(folder: Path) -> None:
    pass


def change_edges(folder: Path) -> None:
    set_params(folder, {"feature.amount_edges": [10.0, 20.0]})


def change_mask(folder: Path) -> None:
    set_params(folder, {"ingest.mask": []})


def change_fields(folder: Path) -> None:
    set_params(folder, {"feature.fields": ["merchant", "purpose"]})


def replace_text(path: Path, content: dict) -> None:
    path.unlink()  # the cache may hold the same file
    path.write_text(json.dumps(content))


def change_model(folder: Path) -> None:
    path = folder / "data/evaluate/calibration.json"
    replace_text(path, json.loads(path.read_text()) | {"model": "0" * 64})


def change_notes(folder: Path) -> None:
    path = folder / "data/evaluate/calibration.json"
    content = json.loads(path.read_text())
    content["rows_made_with"]["feature.gone"] = 1
    replace_text(path, content)


def change_temperature(folder: Path) -> None:
    path = folder / "data/evaluate/calibration.json"
    replace_text(path, json.loads(path.read_text()) | {"temperature": 0.0})


def change_label_map(folder: Path) -> None:
    replace_text(folder / "models/train/label_map.json", {})


def delete_model(folder: Path) -> None:
    shutil.rmtree(folder / "models/train")


@pytest.mark.parametrize(
    ("change", "left_out", "out", "message"),
    [
        (change_edges, ACCOUNT, "coded.csv", "error: params.yaml: feature.amount_edges: expected"),
        (change_mask, ACCOUNT, "coded.csv", "error: params.yaml: ingest.mask: expected ['email'"),
        (change_fields, ACCOUNT, "coded.csv", "error: params.yaml: feature.fields: expected ['m"),
        (change_model, ACCOUNT, "coded.csv", "belongs to another model than the one in models/tr"),
        (change_notes, ACCOUNT, "coded.csv", "error: params.yaml: feature.gone: expected 1, with"),
        (change_temperature, ACCOUNT, "coded.csv", "calibration.json: temperature: Input should"),
        (change_label_map, ACCOUNT, "coded.csv", "models/train/label_map.json: sha256 is"),
        (delete_model, ACCOUNT, "coded.csv", "error: models/train: holds no model"),
        (change_nothing, ("Purpose",), "coded.csv", "ingest.columns.purpose: no file has it"),
        (change_nothing, ACCOUNT, "new/coded.csv", "where the next run reads or deletes it"),
        (change_nothing, ACCOUNT, "coded.xlsx", "expected the name of a CSV file to write"),
    ],
)
def test_what_cannot_be_coded_costs_one_line_and_leaves_no_file(
    reproduced, tmp_path, change, left_out, out, message
):
    repository = shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)
    change(repository)
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", ledger_rows(8), left_out)
    done = predict(repository, tmp_path / "new", tmp_path / out)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error:"))
    assert message in line and "Traceback" not in done.stderr
    assert not (tmp_path / out).exists()


def test_an_existing_file_is_never_overwritten(reproduced, tmp_path):
    write_new_rows(tmp_path / "april.csv", ledger_rows(8))
    before = (tmp_path / "april.csv").read_bytes()
    (tmp_path / "march.csv").write_bytes(before)
    done = predict(reproduced, tmp_path / "april.csv", tmp_path / "march.csv")
    assert done.returncode == 1 and "march.csv: exists already" in done.stderr
    assert (tmp_path / "march.csv").read_bytes() == before


def test_a_model_that_is_replaced_meanwhile_is_not_mixed_with_the_old_calibration(
    reproduced, tmp_path, monkeypatch
):
    repository = shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)
    monkeypatch.chdir(repository)
    calibration = load_calibration()
    manifest = repository / "models/train/manifest.json"
    replace_text(manifest, json.loads(manifest.read_text()) | {"versions": {}})
    base = read_table(repository / "data/feature/base.parquet").slice(0, 2)
    params = load_params(evaluate=BatchTokens, model=ModelTrust)
    with pytest.raises(UserError, match="models/train: was replaced meanwhile"):
        score(base, calibration, params)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_leaves_no_process_and_no_file(reproduced, tmp_path, number):
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-m", "stages.predict", tmp_path / "march.csv", tmp_path / "o.csv"]
    place = environment(TMPDIR=str(tmp_path / "scratch"))
    process = subprocess.Popen(command, cwd=reproduced, env=place, stderr=subprocess.DEVNULL)
    while not (children := psutil.Process(process.pid).children()):
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait() == 128 + number
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["march.csv", "scratch"]


def test_rows_rebuilt_with_other_parameters_are_not_coded_by_the_old_model(reproduced, tmp_path):
    repository = shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)
    change_edges(repository)
    assert stages_that_ran(dvc("repro feature", repository)) == ["feature"]
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    done = predict(repository, tmp_path / "march.csv", tmp_path / "coded.csv")
    assert done.returncode == 1 and "feature.amount_edges: expected [0, 20, 50" in done.stderr


def test_a_ledger_that_requires_little_loses_no_new_row(tiny_model, tmp_path):
    repository = clone_project(tmp_path / "repository", tiny_model)
    set_params(repository, {"ingest.required": ["acct_code"], "feature.date_column": None})
    dvc("repro", repository)
    rows = ledger_rows(6)
    vendor, purpose = HEADER.index("Merchant Name"), HEADER.index("Purpose")
    rows[0][vendor], rows[1][vendor] = "TOTAL 4512", "Total Wine"
    rows[2][vendor] = rows[2][purpose] = ""
    write_new_rows(tmp_path / "march.csv", rows, (*ACCOUNT, "Transaction Date", HEADER[0]))
    done = predict(repository, tmp_path / "march.csv", tmp_path / "coded.csv")
    assert done.returncode == 0, done.stderr
    coded = read_coded(tmp_path / "coded.csv")
    assert [row["source_row"] for row in coded] == list("235674")
    assert {row["predicted"] for row in coded[:5]} <= ACCOUNTS.keys()
    assert coded[5]["refused"] == "no merchant"
