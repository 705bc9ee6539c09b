"""A parameter file of an older version is refused with the values that it lacks."""

import subprocess
from pathlib import Path

import pytest
from project import environment
from ruamel.yaml import YAML

from stages.lib.errors import UserError
from stages.lib.params.files import PARAM_FILES
from stages.lib.params.older_files import (
    MISSING_KEY,
    MISSING_SECTION,
    add_values,
    committed_values,
)

NEW = {"a": {"kept": 1, "words": ["x", "원"], "rules": [{"match": "*", "sheets": None}]}}
OTHER = {"b": {"name": "0101", "deep": {"on": True}}}


def write(folder: Path, *contents: dict) -> None:
    for name, content in zip(PARAM_FILES, contents, strict=True):
        YAML().dump(content, folder / name)


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=environment(), check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path):
    git(tmp_path, "init", "-q")
    inner = tmp_path / "inner"  # the project need not be the whole repository
    inner.mkdir()
    write(inner, NEW, OTHER)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "new")
    return inner


def missing(*keys: str, code: str = MISSING_KEY) -> list[UserError]:
    return [UserError(code, key, "missing", "add it") for key in keys]


def told(folder: Path, *errors: UserError) -> list[tuple[str, str]]:
    return [(error.where, str(error)) for error in add_values(errors, PARAM_FILES, folder)]


def test_all_missing_keys_of_a_file_are_one_error_with_their_values(folder):
    keys = ("params.yaml: a.words", "params.yaml: a.rules.0.sheets", "params_train.yaml: b.name")
    other = UserError("invalid-parameter", "params.yaml: a.kept", "wrong")
    (first, one), (second, two), third = told(folder, *missing(*keys), other)
    assert (first, second) == ("params.yaml", "params_train.yaml")
    assert 'a.words: ["x", "원"]' in one and "a.rules.0.sheets: null" in one
    assert 'b.name: "0101"' in two and third == (
        "params.yaml: a.kept",
        "params.yaml: a.kept: wrong",
    )


def test_values_are_found_in_an_older_commit_too(folder):
    write(folder, {"a": {"kept": 2}}, {})
    git(folder, "commit", "-qam", "an older file again")
    found = committed_values("params.yaml", ["a.kept", "a.words", "a.none"], folder)
    assert {key: value for key, (_, value) in found.items()} == {
        "a.kept": 2,
        "a.words": ["x", "원"],
    }
    assert found["a.kept"][0] != found["a.words"][0]


def test_a_later_entry_of_a_list_gets_the_value_of_the_last_one(folder):
    found = committed_values("params.yaml", ["a.rules.3.match"], folder)
    assert found["a.rules.3.match"][1] == "*"


def test_a_missing_section_is_copied_from_the_commit_that_has_it(folder):
    ((where, text),) = told(folder, *missing("either: b", code=MISSING_SECTION))
    assert where == "params_train.yaml: b"
    assert text.endswith(":./params_train.yaml'")


def test_without_git_the_keys_are_named_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    ((where, text),) = told(tmp_path, *missing("params.yaml: a.words", "params.yaml: a.kept"))
    assert where == "params.yaml" and "a.words, a.kept;" in text
