"""Fixtures: a repository in which everything has run, and a team that shares it on one S3 store.

Test files take them with ``pytest_plugins = ["team"]``.
"""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from project import clone_project
from s3_server import BUCKET, S3Server, add_remote, commit, dvc, git


@pytest.fixture(scope="session")
def reproduced(tiny_model, tmp_path_factory) -> Path:
    """Return a repository in which `dvc repro` has run, and which is committed. Tests must not
    change it. The workers of a session build it once: it takes a minute.
    """
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    repository = place / "reproduced/repository"
    with FileLock(place / "reproduced.lock"):
        if not (repository / "dvc.lock").exists():
            # Under another name until it is whole.
            unfinished = clone_project(tmp_path_factory.mktemp("reproduced") / "x", tiny_model)
            dvc("repro", unfinished)
            commit(unfinished, "results")
            repository.parent.mkdir(exist_ok=True)
            unfinished.rename(repository)
    return repository


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def first(reproduced, s3, tmp_path_factory) -> Path:
    """Return the repository of a team's first member: everything has run, been committed, and
    pushed to the store and to the bare repository ``hub`` beside it. Tests must not change it.
    """
    place = tmp_path_factory.mktemp("team")
    repository = shutil.copytree(reproduced, place / "first", symlinks=True)
    add_remote(repository, s3.url, f"{BUCKET}/team")
    commit(repository, "store")
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
    """Return a copy of the first member's repository."""
    return shutil.copytree(first, tmp_path / "copy", symlinks=True)
