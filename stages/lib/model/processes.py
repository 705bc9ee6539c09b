"""The processes of one training: how many there are, and which one writes."""

import os

import torch

from stages.lib.errors import UserError


def is_main_process() -> bool:
    """Tell whether this process, of those that train together, is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def launched_processes() -> tuple[int, int]:
    """Return how many processes the launcher started: on all machines, and on this one."""
    world, local = (int(os.environ.get(n, "1")) for n in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return world, local


def check_launch(world_size: int, local_world_size: int, n_rows: int, n_devices: int) -> None:
    """Raise a UserError where more processes were started than there is work or devices for.

    Parameters
    ----------
    world_size, local_world_size : int
        Processes on all machines, and on this one.
    n_rows : int
        Training rows.
    n_devices : int
        GPUs of this machine.
    """
    where = "params_train.yaml: training.launcher"
    if world_size > n_rows:
        raise UserError(
            "too-many-processes",
            where,
            f"{world_size} processes for {n_rows} training rows",
            "start at most one process for each row",
        )
    if n_devices and local_world_size > n_devices:
        raise UserError(
            "too-many-processes",
            where,
            f"{local_world_size} processes for {n_devices} GPU(s) of this machine",
            f"set --nproc_per_node={n_devices}",
        )


def name_single_process() -> None:
    """Give a process without a launcher the variables of one: else DeepSpeed looks for MPI."""
    if "RANK" not in os.environ:
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}


def leave_process_group() -> None:
    """Wait for the other processes, and end the connections to them."""
    if torch.distributed.is_initialized():
        # Gloo's threads, where they outlive Python, abort their process now and then
        # (github.com/pytorch/pytorch/pull/179291).
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
