"""The processes of a training: no more than there is work for, and one that writes."""

import os

import pytest
from refusals import refused

from stages.lib.model.processes import (
    check_launch,
    is_main_process,
    launched_processes,
    name_single_process,
)


@pytest.mark.parametrize(
    ("world", "local", "rows", "devices", "parts"),
    [
        (8, 8, 7, 0, ("8 processes", "7 training rows")),
        (4, 4, 100, 2, ("4 processes", "--nproc_per_node=2")),
    ],
)
def test_more_processes_than_rows_or_devices_are_refused(world, local, rows, devices, parts):
    check_launch(7, 2, 7, 2)
    check_launch(8, 8, 8, 0)
    with refused("too-many-processes", "training.launcher", *parts):
        check_launch(world, local, rows, devices)


@pytest.fixture
def variables(monkeypatch):
    """Replace the environment by a copy without a launcher's variables."""
    names = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    monkeypatch.setattr(os, "environ", kept)
    return kept


def test_one_process_without_a_launcher_is_the_only_one(variables):
    assert is_main_process()
    assert launched_processes() == (1, 1)
    name_single_process()
    assert (variables["RANK"], variables["WORLD_SIZE"]) == ("0", "1")
    assert is_main_process()


def test_the_variables_of_a_launcher_count(variables):
    variables |= {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
    assert not is_main_process()
    assert launched_processes() == (8, 4)
    name_single_process()
    assert variables["RANK"] == "3"
