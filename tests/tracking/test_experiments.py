"""What a tracking server is told comes out of git and DVC, of any experiment, as it was."""

import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from refusals import refused
from small_experiments import call, head, without_cache, write_experiments

from stages.lib.tracking.experiments import (
    all_experiments,
    copy_files,
    flat_params,
    locked_digests,
    numbers,
    read_result,
    workspace,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return write_experiments(tmp_path_factory.mktemp("experiments") / "repository")


@pytest.fixture
def repository(made, tmp_path, monkeypatch) -> Path:
    """Run each test in a copy of the repository, which it may change."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "repository", symlinks=True))
    return tmp_path / "repository"


# Values


def test_a_parameter_is_one_value_and_a_mapping_without_names_is_one_too():
    section = {
        "lora": {"r": 16, "on": True, "모듈": ["a"], "none": None, "empty": {}},
        "ingest": {"source": "/home/kim", "other_formats": {"*.csv": {"decimal": "comma"}}},
    }
    assert dict(flat_params(section)) == {
        "lora.r": "16",
        "lora.on": "true",
        "lora.모듈": '["a"]',
        "lora.none": "null",
        "lora.empty": "{}",
        "ingest.other_formats": '{"*.csv": {"decimal": "comma"}}',
    }


def test_only_finite_numbers_are_metrics():
    metrics = {"a": 1, "b": None, "c": float("nan"), "d": {"e": 0.5}, "f": "x"}
    assert numbers(metrics) == {"a": 1.0, "d.e": 0.5}


def test_the_digests_are_those_of_the_base_table_and_of_the_models():
    lock = b"""
stages:
  feature: {outs: [{path: data/feature, md5: a.dir}, {path: metrics/feature/report.json, md5: b}]}
  train: {outs: [{path: models/train, md5: c.dir}, {path: metrics/train/plots, md5: d.dir}]}
  check: {cmd: python}
"""
    assert locked_digests(lock) == {"data/feature": "a.dir", "models/train": "c.dir"}


# Results


@pytest.mark.slow
def test_all_experiments_are_found_whatever_commit_they_are_of(repository):
    call(["git", "commit", "-q", "--allow-empty", "-m", "later"], repository)
    found = all_experiments()
    assert [(one.name, one.experiment) for one in found] == [("rank32", True), ("rank8", True)]
    assert all(len(one.revision) == 40 and one.rev == one.revision for one in found)


@pytest.mark.slow
def test_an_experiment_is_read_as_it_was_and_not_as_the_workspace_is(repository, tmp_path):
    (rank32, _) = all_experiments()
    result = read_result(rank32)
    assert result.params == {
        "ingest.columns.적요.role": "text",
        "ingest.columns.적요.names": '["적요"]',
        "ingest.other_formats": '{"*.csv": {"decimal": "comma"}}',
        "lora.r": "32",
    }
    assert result.metrics == {"accuracy": 0.5}
    assert result.curves == {"val_loss": [(50, 2.5), (100, 1 / 32)]}
    assert list(result.digests) == ["models/train"]
    copy_files(rank32, tmp_path, with_model=False)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "<p>계정 32</p>"
    assert not (tmp_path / "models").exists()
    copy_files(rank32, tmp_path, with_model=True)
    assert (tmp_path / "models/train/adapter.bin").read_text() == "x" * 32


@pytest.mark.slow
def test_a_result_that_is_not_here_is_named(repository, tmp_path):
    without_cache(repository)
    with refused("not-here", "rank32"):
        read_result(all_experiments()[0])
    with refused("not-here", "rank32"):
        copy_files(all_experiments()[0], tmp_path, with_model=False)


@pytest.mark.slow
def test_the_workspace_is_the_commit_or_the_experiment_whose_results_it_has(repository):
    commit = head(repository)
    assert workspace() == (f"main-{commit[:7]}", commit, commit, False)
    call(["git", "checkout", "-q", "--detach"], repository)
    assert workspace().name == commit[:7]
    call(["dvc", "exp", "apply", "-q", "rank8"], repository)
    assert workspace() == all_experiments()[1]


@pytest.mark.slow
def test_a_workspace_with_results_of_its_own_is_known_by_its_lock_file(repository):
    params = repository / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("r: 16", "r: 4"), "utf-8")
    with refused("not-up-to-date", "workspace"):
        workspace()
    call(["dvc", "repro", "-q"], repository)
    lock = sha256((repository / "dvc.lock").read_bytes()).hexdigest()
    named = workspace()
    assert named == (f"workspace-{lock[:7]}", f"{head(repository)}+", None, False)
    result = read_result(named)
    assert (result.lock, result.params["lora.r"]) == (lock, "4")
    (repository / "dvc.lock").unlink()
    with refused("no-result", "dvc.lock"):
        workspace()
