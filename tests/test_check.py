"""`check` refuses wrong parameters and writes the same bytes for all right ones."""

import pytest
from project import copy_project, run_stage, set_params

from stages.check import check_source

VALID = b"All parameters are valid.\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("check"))
    (project / "data/raw").mkdir(parents=True)
    return project


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
    done = run_stage("check", project)
    set_params(project, {"lora.r": 16, "training.learning_rate": 1e-3})
    set_params(project, {"feature.date_column": "date", "ingest.source": "data/raw"})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error[{code}]: params") and key in line


def test_all_mistakes_are_told_at_once(project):
    set_params(project, {"lora.r": 0, "split.seed": -1})
    done = run_stage("check", project)
    set_params(project, {"lora.r": 16, "split.seed": 42})
    assert done.returncode == 1
    split, lora = done.stderr.splitlines()
    assert split.startswith("error[invalid-parameter]: params_train.yaml: split.seed: ")
    assert lora.startswith("params.yaml: lora.r: ")


def test_a_section_too_many_is_a_mistake(project):
    file = project / "params_train.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(before + "\nspilt: {}\n", encoding="utf-8")
    done = run_stage("check", project)
    file.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.startswith("error[invalid-parameter]: params_train.yaml: spilt: ")


def test_a_ledger_that_is_on_another_machine_may_be_missing(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text("stages: {ingest: {deps: [{path: data/elsewhere}]}}\n", encoding="utf-8")
    assert check_source("data/elsewhere", lock) == []
    assert [error.code for error in check_source("data/nowhere", lock)] == ["file-not-found"]
    assert [error.code for error in check_source("a/*.csv", tmp_path / "no")] == ["file-not-found"]
    assert check_source(str(tmp_path), lock) == []
