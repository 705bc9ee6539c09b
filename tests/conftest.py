"""Fixtures that several test files share."""

import os
import signal
from pathlib import Path

import pytest
from project import run_stage, write_split
from tiny_model import write_tiny_model

# One thread a worker: threads that wait for each other take minutes instead of seconds.
os.environ["OMP_NUM_THREADS"] = "1"
# One core a worker: a stage that has two starts two more processes, which import all that it does.
if "PYTEST_XDIST_WORKER" in os.environ:
    cores = sorted(os.sched_getaffinity(0))
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.sched_setaffinity(0, {cores[number % len(cores)]})

# A shell that starts the tests in the background, or nohup, has them and their children ignore
# these signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that have slow tests first, so that no worker ends with minutes of work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Return a model folder; tests must not write into it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    from stages.lib.model.base_model import load_tokenizer

    return load_tokenizer(tiny_model)


@pytest.fixture(scope="session")
def tokenized(tiny_model, tmp_path_factory) -> Path:
    """Return a copy of the project in which `tokenize` has run; tests must not write into it."""
    folder = write_split(tmp_path_factory.mktemp("tokenized"), tiny_model)
    done = run_stage("tokenize", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def trained_project(tiny_model, tmp_path_factory) -> Path:
    """Return a folder with all that `predict` reads; tests must not write into it."""
    from trained_project import write_trained_project

    return write_trained_project(tmp_path_factory.mktemp("trained"), tiny_model)


@pytest.fixture(scope="session")
def light_project(tmp_path_factory) -> Path:
    """Return such a folder whose language model has no weight; tests must not write into it."""
    from trained_project import write_light_project

    return write_light_project(tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="session")
def trained(tokenized, tmp_path_factory) -> Path:
    """Return a copy of the project in which `train` has run; tests must not write into it."""
    from training import copy_of, train_in

    folder = copy_of(tokenized, tmp_path_factory.mktemp("trained") / "project")
    train_in(folder)
    return folder
