"""Experiments by the users' commands: queues, kills, comparing, handing over between two clones."""

import csv
import fcntl
import io
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import environment, run
from s3_server import (
    PULLED,
    attempt,
    dvc,
    git,
    locked_outputs,
    login,
    readme_lines,
    stages_that_ran,
)

pytestmark = pytest.mark.slow
pytest_plugins = ["team"]

RATE = "params_train.yaml:training.learning_rate"
DEEPSPEED = "params_train.yaml:deepspeed"
LAUNCHER = "params_train.yaml:training.launcher"
# What is varied, beside the default: one process without DeepSpeed.
VARIANTS = {
    "zero2": f"-S {DEEPSPEED}.enabled=true "
    f"-S {DEEPSPEED}.zero_optimization.offload_optimizer.device=none",
    "zero2-offload": f"-S {DEEPSPEED}.enabled=true",
    "two-ranks": f"-S {DEEPSPEED}.enabled=true "
    f"-S '{LAUNCHER}=\"torchrun --standalone --nproc_per_node=2\"' "
    "-S params_train.yaml:training.per_device_train_batch_size=4",
}


def shown(repository: Path, *options: str) -> list[dict[str, str]]:
    """Return the rows of ``dvc exp show``, without the workspace's and the commit's."""
    table = csv.DictReader(io.StringIO(dvc(f"exp show --csv {' '.join(options)}", repository)))
    return [row for row in table if row["typ"] not in ("", "baseline")]


def outputs(repository: Path) -> dict[str, bytes]:
    folders = [*(f"data/{name}" for name in PULLED), "models", "metrics"]
    paths = (path for folder in folders for path in (repository / folder).rglob("*"))
    return {str(p.relative_to(repository)): p.read_bytes() for p in paths if p.is_file()}


# Queues ------------------------------------------------------------------------------------------


def wait_until_idle(repository: Path) -> dict[str, str]:
    """Return ``{name: status}`` of all tasks once none waits or runs."""
    while True:
        lines = dvc("queue status", repository).splitlines()[1:]
        tasks = [line.split() for line in lines if re.match(r"[0-9a-f]{7} ", line)]
        if not {"Queued", "Running"} & {task[-1] for task in tasks}:
            return {task[1]: task[-1] for task in tasks}
        time.sleep(3)


@pytest.fixture(scope="module")
def queued(first, tmp_path_factory):
    """Return a fresh clone in which two workers have run a grid, DeepSpeed's variants and a
    mistake; ``{name: status}`` of these; and ``{name: what it printed}``.
    """
    repository = tmp_path_factory.mktemp("queue") / "clone"
    git(f"clone -q {first.parent / 'hub'} {repository}", first)
    dvc(f"pull {' '.join(PULLED)}", repository)
    queue = "exp run --queue --allow-missing"
    dvc(f"{queue} -n mistake -S 'lora.target_modules=[nope]'", repository)
    for name, change in VARIANTS.items():
        dvc(f"{queue} -n {name} {change}", repository)
    dvc(f"{queue} -S lora.r=8 -S {RATE}=2e-4,1e-3", repository)
    dvc("queue start -j 2", repository)
    try:
        tasks = wait_until_idle(repository)
        yield repository, tasks, {name: dvc(f"queue logs {name}", repository) for name in tasks}
    finally:
        attempt("queue stop --kill", repository)


def test_the_readmes_grid_queues_every_combination(copy):
    (line,) = readme_lines("Experiments", "dvc exp run --queue")
    dvc(line.removeprefix("dvc "), copy)
    assert len(re.findall("Queued", dvc("queue status", copy))) == 3 * 2
    assert git("status --porcelain", copy) == ""


def test_two_workers_run_all_that_can_run_and_a_mistake_stops_only_itself(queued):
    _, tasks, logs = queued
    assert len(tasks) == len(VARIANTS) + 3
    assert {name for name, end in tasks.items() if end != "Success"} == {"mistake"}, logs
    assert "lora.target_modules: ['nope'] does not fit" in logs["mistake"]


def test_queued_experiments_never_recompute_shared_data(queued):
    _, tasks, logs = queued
    for name, end in tasks.items():
        stages = ["train", "evaluate"] if end == "Success" else ["train"]
        assert stages_that_ran(logs[name]) == stages


def test_queued_experiments_leave_the_workspace_and_no_scratch(queued, first):
    repository, *_ = queued
    assert git("status --porcelain", repository) == ""
    assert outputs(repository) == outputs(first)
    assert not list(repository.glob(".scratch/train-*/checkpoint-*"))
    assert not list((repository / ".dvc/tmp/exps").glob("tmp*"))


def test_each_experiment_trained_with_its_own_parameters(queued):
    repository, *_ = queued
    rows = {row["Experiment"]: row for row in shown(repository)}
    grid = {(row["lora.r"], row["training.learning_rate"]) for row in rows.values()}
    assert {("8", "0.0002"), ("8", "0.001")} <= grid
    device = "deepspeed.zero_optimization.offload_optimizer.device"
    assert (rows["zero2"]["deepspeed.enabled"], rows["zero2"][device]) == ("True", "none")
    assert rows["zero2-offload"][device] == "cpu"
    assert rows["two-ranks"]["training.launcher"].endswith("--nproc_per_node=2")
    slow, fast = (
        next(float(row["val_loss"]) for row in rows.values() if row[RATE.partition(":")[2]] == rate)
        for rate in ("0.0002", "0.001")
    )
    assert fast < slow
    # Where the optimizer lives, and on how many ranks, does not change what is learned.
    losses = [float(rows[name]["val_loss"]) for name in VARIANTS]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=0.1)


def test_the_readmes_table_fits_a_terminal_of_120_columns(queued):
    repository, *_ = queued
    (line,) = readme_lines("Experiments", "dvc exp show")
    table = dvc(line.removeprefix("dvc "), repository, COLUMNS="120")
    assert max(map(len, table.splitlines())) <= 120
    heading = next(line for line in table.splitlines() if "Experiment" in line)
    assert heading.split()[0] == "Experiment"
    assert {"accuracy", "macro_f1", "log_loss", "lora.r", "training.learning_rate"} <= set(
        heading.split()
    )
    assert all(name in table for name in VARIANTS)


# A killed experiment -----------------------------------------------------------------------------


def kill_while_training(command: str, repository: Path) -> None:
    """Kill dvc with -9 once the old model is gone and the training runs; wait for its end."""
    variables = environment(**login(), DVC_SITE_CACHE_DIR=f"{repository}-dvc")
    process = subprocess.Popen(
        ["dvc", *command.split()],
        cwd=repository,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lock = repository / ".scratch/train.lock"
    lock.unlink(missing_ok=True)
    while not lock.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # which the training holds until it ends


def test_after_a_kill_one_command_restores_the_workspace_and_the_next_experiment_runs(copy, first):
    kill_while_training("exp run -S lora.r=4", copy)
    assert not (copy / "models/train").exists()
    assert "params.yaml" in git("status --porcelain", copy)
    (line,) = readme_lines("Experiments", "git restore")
    done = run(["sh", "-c", line], copy)
    assert done.returncode == 0, done.stderr
    assert git("status --porcelain", copy) == ""
    assert outputs(copy) == outputs(first)
    assert "up to date" in dvc("status", copy)
    assert stages_that_ran(dvc("exp run -S lora.r=32", copy)) == ["train", "evaluate"]
    config = json.loads((copy / "models/train/adapter_config.json").read_text())
    assert config["r"] == 32


# From one clone to another -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def handed_over(first, tmp_path_factory):
    """Return the first member's repository with a colleague's experiment `rank4` pulled into it,
    the colleague's clone, and what the colleague's run printed.
    """
    place = tmp_path_factory.mktemp("handover")
    hub, colleague, receiver = place / "hub", place / "colleague", place / "receiver"
    git(f"clone -q --bare {first.parent / 'hub'} {hub}", first)
    git(f"clone -q {hub} {colleague}", first)
    printed = dvc("exp run --pull --allow-missing -n rank4 -S lora.r=4", colleague)
    dvc("exp push origin rank4", colleague)

    shutil.copytree(first, receiver, symlinks=True)
    git(f"remote set-url origin {hub}", receiver)
    dvc("exp pull origin rank4", receiver)
    return receiver, colleague, printed


def test_a_colleague_with_nothing_but_a_clone_runs_train_and_evaluate_only(handed_over):
    _, colleague, printed = handed_over
    assert stages_that_ran(printed) == ["train", "evaluate"]
    assert not (colleague / "data/ingest").exists()


def test_an_experiment_reaches_another_clone_with_its_model(handed_over, tmp_path):
    receiver, colleague, _ = handed_over
    repository = shutil.copytree(receiver, tmp_path / "receiver", symlinks=True)
    assert [row["Experiment"] for row in shown(repository)] == ["rank4"]
    dvc("exp apply rank4", repository)
    model = {p.name: p.read_bytes() for p in (repository / "models/train").iterdir()}
    assert model == {p.name: p.read_bytes() for p in (colleague / "models/train").iterdir()}
    assert stages_that_ran(dvc("repro", repository)) == []


def test_experiments_are_compared_by_metrics_parameters_and_plots(handed_over, tmp_path):
    receiver, colleague, _ = handed_over
    metrics = "metrics/evaluate/metrics.json"
    old, new = (json.loads((place / metrics).read_text()) for place in (receiver, colleague))
    for command in ("exp diff --json HEAD rank4", "metrics diff --json HEAD rank4"):
        found = json.loads(dvc(command, receiver))
        change = found.get("metrics", found)[metrics]["accuracy"]
        assert change["old"] == pytest.approx(old["accuracy"])
        assert change["new"] == pytest.approx(new["accuracy"])
    found = json.loads(dvc("params diff --json HEAD rank4", receiver))
    assert found == {"params.yaml": {"lora.r": {"old": 16, "new": 4, "diff": -12}}}

    dvc(f"plots diff HEAD rank4 -o {tmp_path / 'plots'}", receiver)
    page = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("rank4", "Reliability", "train_loss", "coverage"))
    assert git("status --porcelain", receiver) == ""


def test_an_experiment_becomes_a_branch_and_a_workspace_becomes_an_experiment(
    handed_over, tmp_path
):
    receiver, colleague, _ = handed_over
    repository = shutil.copytree(receiver, tmp_path / "receiver", symlinks=True)
    dvc("exp branch rank4 low-rank", repository)
    git("checkout -q low-rank", repository)
    dvc("checkout", repository)
    assert locked_outputs(repository) == locked_outputs(colleague)
    assert "up to date" in dvc("status", repository)

    git("checkout -q -", repository)
    dvc("exp apply rank4", repository)
    (repository / "notes.md").write_text("looks good\n")
    dvc("exp save -n kept -I notes.md", repository)
    assert {row["Experiment"] for row in shown(repository)} == {"rank4", "kept"}
    dvc("exp branch kept kept-branch", repository)
    assert git("show kept-branch:notes.md", repository) == "looks good\n"
