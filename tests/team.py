"""Fixtures: a team on one S3 store. Test files take them with ``pytest_plugins = ["team"]``."""

import shutil
from pathlib import Path

import pytest
from project import clone_project
from s3_server import BUCKET, S3Server, add_remote, commit, dvc, git


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def first(tiny_model, s3, tmp_path_factory) -> Path:
    """Return the repository of a team's first member: everything has run, been committed, and
    pushed to the store and to the bare repository ``hub`` beside it. Tests must not change it.
    """
    place = tmp_path_factory.mktemp("team")
    repository = clone_project(place / "first", tiny_model)
    add_remote(repository, s3.url, f"{BUCKET}/team")
    dvc("repro", repository)
    commit(repository, "results")
    dvc("push", repository)
    git("clone -q --bare . ../hub", repository)
    git("remote add origin ../hub", repository)
    git("fetch -q origin", repository)
    return repository


@pytest.fixture
def clone(first, tmp_path) -> Path:
    """Return a fresh clone of the team's repository, with an empty cache."""
    git(f"clone -q {first.parent / 'hub'} {tmp_path / 'clone'}", first)
    return tmp_path / "clone"


@pytest.fixture
def copy(first, tmp_path) -> Path:
    """Return a copy of the first member's repository, with its cache and workspace."""
    return shutil.copytree(first, tmp_path / "copy", symlinks=True)
