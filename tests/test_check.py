"""`check` refuses wrong parameters and writes the same bytes for all right ones."""

import subprocess
from contextlib import chdir

import pytest
from project import copy_project, run_stage, set_params

from stages import check
from stages.check import check_history, check_source
from stages.lib.errors import UserError

VALID = b"All parameters are valid.\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("check"))
    (project / "data/raw").mkdir(parents=True)
    return project


def refusal(project) -> UserError:
    """Return what the stage, in this process, says of the parameters."""
    with chdir(project), pytest.raises(UserError) as caught:
        check.main()
    return caught.value


def test_any_valid_parameters_give_the_same_output(project):
    for rank in (16, 32):
        set_params(project, {"lora.r": rank})
        done = run_stage("check", project)
        assert done.returncode == 0, done.stderr
        assert (project / "data/check/valid.txt").read_bytes() == VALID


@pytest.mark.parametrize(
    ("key", "wrong", "code"),
    [
        ("lora.r", "abc", "invalid-parameter"),
        ("training.learning_rate", -1, "invalid-parameter"),
        ("feature.date_column", "nobody", "unsuitable-column"),
        ("ingest.source", "data/rwa", "file-not-found"),
    ],
)
def test_a_wrong_value_costs_one_line(project, key, wrong, code, tmp_path):
    set_params(project, {key: wrong})
    error = refusal(project)
    set_params(project, {"lora.r": 16, "training.learning_rate": 1e-3})
    set_params(project, {"feature.date_column": "date", "ingest.source": "data/raw"})
    (line,) = str(error).splitlines()
    assert error.code == code and line.startswith("params") and key in line


def test_all_mistakes_are_told_at_once(project):
    set_params(project, {"lora.r": 0, "split.seed": -1})
    done = run_stage("check", project)
    set_params(project, {"lora.r": 16, "split.seed": 42})
    assert done.returncode == 1
    split, lora = done.stderr.splitlines()
    assert split.startswith("error[invalid-parameter]: params_train.yaml: split.seed: ")
    assert lora.startswith("params.yaml: lora.r: ")


def test_a_file_of_an_older_version_costs_one_line(project):
    file = project / "params.yaml"
    before = file.read_text(encoding="utf-8")
    lines = [line for line in before.splitlines() if line.split(":")[0].strip() not in
             ("duplicates", "use_dora", "short_rows")]  # fmt: skip
    file.write_text("\n".join(lines), encoding="utf-8")
    error = refusal(project)
    file.write_text(before, encoding="utf-8")
    (line,) = str(error).splitlines()
    assert error.code == "missing-key" and line.startswith("params.yaml: ")
    for key in ("ingest.reading.0.short_rows", "preprocess.duplicates", "lora.use_dora"):
        assert key in line


def test_a_section_too_many_is_a_mistake(project):
    file = project / "params_train.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(before + "\nspilt: {}\n", encoding="utf-8")
    error = refusal(project)
    file.write_text(before, encoding="utf-8")
    assert error.code == "invalid-parameter"
    assert str(error).startswith("params_train.yaml: spilt: ")


def test_a_ledger_that_is_on_another_machine_may_be_missing(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text("stages: {ingest: {deps: [{path: data/elsewhere}]}}\n", encoding="utf-8")
    assert check_source("data/elsewhere", lock) == []
    assert [error.code for error in check_source("data/nowhere", lock)] == ["file-not-found"]
    assert [error.code for error in check_source("a/*.csv", tmp_path / "no")] == ["file-not-found"]
    assert check_source(str(tmp_path), lock) == []


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the repository, in which DVC runs an experiment: its place is within the other."""
    root, copy = tmp_path / "repository", tmp_path / "repository/.dvc/tmp/exps/temp/x"
    copy.mkdir(parents=True)
    (tmp_path / "ledger").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.chdir(copy)
    return copy


def test_a_path_that_leads_out_of_a_copy_of_the_repository_is_named(copy, tmp_path, capsys):
    (error,) = check_source("../ledger")
    assert (error.code, error.where) == ("file-not-found", "params.yaml: ingest.source")
    assert str(tmp_path / "ledger") in str(error)
    assert check_source(str(tmp_path / "ledger")) == []
    for nowhere in ("../elsewhere", "data/raw"):
        (error,) = check_source(nowhere)
        assert str(tmp_path) not in str(error)
    (copy / "dvc.lock").write_text("stages: {ingest: {deps: [{path: ../ledger}]}}\n")
    assert check_source("../ledger") == []  # --allow-missing may make DVC use the tables
    assert str(tmp_path / "ledger") in capsys.readouterr().err


def test_a_ledger_that_git_does_not_track_is_named_where_a_copy_lacks_it(copy, tmp_path, capsys):
    (tmp_path / "repository/data/장부 1").mkdir(parents=True)
    (error,) = check_source("data/장부 1")
    assert (error.code, error.where) == ("file-not-found", "params.yaml: ingest.source")
    assert "what git tracks; add -C 'data/장부 1', or --allow-missing" in str(error)
    (copy / "dvc.lock").write_text("stages: {ingest: {deps: [{path: data/장부 1}]}}\n")
    assert check_source("data/장부 1") == []
    assert "add -C 'data/장부 1'" in capsys.readouterr().err
    assert check_source("data/raw")[0].action  # which is nowhere


def test_an_experiment_that_a_shallow_clone_would_lose_is_refused(copy, tmp_path, monkeypatch):
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *words], check=True, capture_output=True)

    whole, shallow = tmp_path / "whole", tmp_path / "shallow"
    git("init", str(whole))
    for message in "12":
        git("-C", str(whole), "commit", "--allow-empty", "-m", message)
    git("clone", "--depth", "1", f"file://{whole}", str(shallow))
    assert check_history(tmp_path) == check_history(whole) == []
    (error,) = check_history(shallow)
    assert error.code == "shallow-clone" and "--unshallow" in error.action
    monkeypatch.chdir(shallow)
    assert check_history(shallow) == []  # there, DVC keeps it
