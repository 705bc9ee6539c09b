"""A file appears whole or not at all, and never in the place of another one."""

import os
from pathlib import Path

import pytest
from refusals import refused

from stages.lib.review.new_file import new_file


def test_a_file_appears_at_the_end_and_nothing_else_stays(tmp_path):
    path = tmp_path / "folder" / "a.csv"
    with new_file(path) as partial:
        assert partial.parent.parent == path.parent
        assert partial.parent.name.startswith("a.csv.") and partial.parent.suffix == ".partial"
        partial.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert os.listdir(path.parent) == ["a.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_stays_after_an_error(tmp_path, error):
    with pytest.raises(error), new_file(tmp_path / "a.csv") as partial:
        partial.write_text("x")
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_in_the_meantime_stays(tmp_path, monkeypatch, links):
    if not links:  # as on exFAT
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    path = tmp_path / "a.csv"
    with refused("output-exists", "a.csv"), new_file(path) as partial:
        partial.write_text("new")
        path.write_text("old")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]
    path.unlink()
    with new_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"


def test_two_runs_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.csv"
    with refused("output-exists", "a.csv"), new_file(path) as first:
        first.write_text("first")
        with new_file(path) as second:
            second.write_text("second")
    assert path.read_text() == "second"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with refused("cannot-write", "file/a.csv"), new_file(tmp_path / "file" / "a.csv"):
        raise AssertionError


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_file(tmp_path):
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "a.csv"):
        Path(tmp_path / "other").read_text()
