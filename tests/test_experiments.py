"""Experiments by the users' commands: queues, kills, comparing, handing over between two clones."""

import csv
import fcntl
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from dvc.repo import Repo
from project import environment, files, locked_outputs, run, stages_that_ran
from s3_server import attempt, commit, documented_lines, dvc, git, login

pytestmark = pytest.mark.slow
pytest_plugins = ["team"]

ZERO2 = "-S params_train.yaml:deepspeed.enabled=true"
MODEL = ["check", "train", "score", "evaluate"]
OFFLOAD = "deepspeed.zero_optimization.offload_optimizer.device"
TWO_RANKS = (
    "-S 'params_train.yaml:training.launcher=\"torchrun --standalone --nproc_per_node=2\"' "
    "-S params_train.yaml:training.per_device_train_batch_size=4"
)


def shown(repository: Path, *options: str) -> list[dict[str, str]]:
    """Return the rows of ``dvc exp show``, without the workspace's and the commit's."""
    table = csv.DictReader(io.StringIO(dvc(f"exp show --csv {' '.join(options)}", repository)))
    return [row for row in table if row["typ"] not in ("", "baseline")]


def outputs(repository: Path) -> dict[str, bytes]:
    return files(repository, "data", "models", "metrics")


# Queues ------------------------------------------------------------------------------------------


def wait_until_idle(repository: Path) -> dict[str, str]:
    """Return ``{name: status}`` of all tasks once none waits or runs."""
    queue = Repo(repository).experiments.celery_queue
    while any(queue.iter_queued()) or any(queue.iter_active()):
        time.sleep(0.5)  # without a process for each look, which takes a second of a core
    lines = dvc("queue status", repository).splitlines()[1:]
    tasks = [line.split() for line in lines if re.match(r"[0-9a-f]{7} ", line)]
    return {task[1]: task[-1] for task in tasks}


@pytest.fixture(scope="module")
def queued(first, tmp_path_factory):
    """Return a copy of the repository in which two workers have run a mistake, ZeRO-2 with offload,
    and two ranks; ``{name: status}`` of these; and ``{name: what it printed}``.
    """
    place = tmp_path_factory.mktemp("queue")
    repository = shutil.copytree(first, place / "copy", symlinks=True)
    queue = "exp run --queue"
    dvc(f"{queue} -n mistake -S 'lora.target_modules=[nope]'", repository)
    dvc(f"{queue} -n offload {ZERO2} -S params_train.yaml:{OFFLOAD}=cpu", repository)
    dvc(f"{queue} -n two-ranks {ZERO2} {TWO_RANKS}", repository)
    dvc("queue start -j 2", repository)
    try:
        tasks = wait_until_idle(repository)
        yield repository, tasks, {name: dvc(f"queue logs {name}", repository) for name in tasks}
    finally:
        attempt("queue stop --kill", repository)


def test_the_documented_grid_queues_every_combination(copy):
    (line,) = documented_lines("experiments", "dvc exp run --queue")
    dvc(line.removeprefix("dvc "), copy)
    assert len(re.findall("Queued", dvc("queue status", copy))) == 3 * 2
    assert git("status --porcelain", copy) == ""


def test_two_workers_run_all_that_can_run_and_a_mistake_stops_only_itself(queued):
    _, tasks, logs = queued
    assert len(tasks) == 3
    assert {name for name, end in tasks.items() if end != "Success"} == {"mistake"}, logs
    assert "error[unsuitable-modules]: params.yaml: lora.target_modules" in logs["mistake"]


def test_queued_experiments_never_recompute_shared_data(queued):
    _, _, logs = queued
    for log in logs.values():
        # Two that trained the same bytes are scored once.
        assert stages_that_ran(log)[:2] == ["check", "train"]
        assert set(stages_that_ran(log)) <= {"check", "train", "score", "evaluate"}


def test_queued_experiments_leave_the_workspace_and_no_scratch(queued, first):
    repository, *_ = queued
    assert git("status --porcelain", repository) == ""
    assert outputs(repository) == outputs(first)
    assert not list(repository.glob(".scratch/train-*/checkpoint-*"))
    assert not list((repository / ".dvc/tmp/exps").glob("tmp*"))


def test_each_experiment_has_its_own_parameters_and_learns_the_same_elsewhere(queued, first):
    repository, *_ = queued
    rows = [row for row in shown(repository) if row["State"] != "Failed"]
    assert [row["deepspeed.enabled"] for row in rows] == ["True"] * 2
    launched = {(row[OFFLOAD], row["training.launcher"].split()[0]) for row in rows}
    assert launched == {("cpu", "python"), ("cpu", "torchrun")}
    # Where the optimizer lives, and on how many ranks, does not change what is learned.
    off = json.loads((first / "metrics/train/metrics.json").read_text())["val_loss"]
    assert [float(row["val_loss"]) for row in rows] == pytest.approx([off] * 2, rel=0.05)


def test_the_documented_table_fits_a_terminal_of_120_columns(queued):
    repository, *_ = queued
    (line,) = documented_lines("experiments", "dvc exp show")
    table = dvc(line.removeprefix("dvc "), repository, COLUMNS="120")
    assert max(map(len, table.splitlines())) <= 120
    heading = next(line for line in table.splitlines() if "Experiment" in line).split()
    assert heading[0] == "Experiment"
    wanted = {"State", "accuracy", "log_loss", "val_loss", "lora.r", "training.learning_rate"}
    assert wanted <= set(heading)
    assert "two-ranks" in table


def test_a_failed_experiment_is_removed_by_the_documented_line(queued):
    repository, *_ = queued
    (line,) = documented_lines("experiments", "dvc queue remove")
    dvc(line.removeprefix("dvc ").replace("NAME", "mistake"), repository)
    assert "mistake" not in dvc("queue status", repository)
    assert "mistake" not in {row["Experiment"] for row in shown(repository)}


# Mends -------------------------------------------------------------------------------------------


def stop_while_training(command: str, repository: Path, sign: int) -> None:
    """Send dvc, or as a terminal all its processes, a signal once the old model is gone and the
    training runs; wait for the training's end.
    """
    variables = environment(**login(), DVC_SITE_CACHE_DIR=f"{repository}-dvc")
    for lock in repository.glob(".scratch/train-*/lock"):  # of a training that was stopped
        lock.unlink()
    process = subprocess.Popen(
        ["dvc", *command.split()],
        cwd=repository,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (locks := list(repository.glob(".scratch/train-*/lock"))):
        assert process.poll() is None
        time.sleep(0.01)
    if sign == signal.SIGINT:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    process.wait()
    with locks[0].open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # which the training holds until it ends


def break_off(how: str, repository: Path) -> None:
    """Start an experiment that ends badly, after DVC has removed an output."""
    removed = {"refused": "data/check/valid.txt", "failed": "data/ingest/transactions.parquet"}
    if how in removed:
        value = {"refused": "lora.r=abc", "failed": "ingest.columns.merchant.names=[nobody]"}[how]
        assert attempt(f"exp run -S {value}", repository).returncode != 0
    else:
        sign = {"killed": signal.SIGKILL, "Ctrl-C": signal.SIGINT}[how]
        stop_while_training("exp run -S lora.r=4", repository, sign)
    assert not (repository / removed.get(how, "models/train")).exists()
    assert "params.yaml" in git("status --porcelain", repository)


def commit_of_another_machine(repository: Path) -> None:
    """Make the last commit name outputs that nobody has here, as in a clone before the first own
    commit; the workspace stays.
    """
    lock = repository / "dvc.lock"
    own = lock.read_text()
    lock.write_text(re.sub("(?<=md5: )[0-9a-f]{32}", lambda found: found[0][::-1], own))
    commit(repository, "of another machine")
    lock.write_text(own)


@pytest.mark.parametrize(
    ("committed", "ends"),
    [(True, ["Ctrl-C"]), (False, ["refused", "failed", "killed"])],
    ids=["own results committed", "not yet committed"],
)
def test_the_documented_line_mends_the_workspace_however_an_experiment_ends(copy, committed, ends):
    before, lock = outputs(copy), (copy / "dvc.lock").read_text()
    if not committed:
        commit_of_another_machine(copy)
    for how in ends:
        break_off(how, copy)
        (line,) = [
            line for line in documented_lines("experiments", "git read-tree") if "repro" in line
        ]
        done = run(["sh", "-c", line], copy, DVC_SITE_CACHE_DIR=f"{copy}-dvc")
        assert done.returncode == 0, done.stderr
        assert stages_that_ran(done.stdout) == []
        assert outputs(copy) == before
        assert (copy / "dvc.lock").read_text() == lock
    assert "up to date" in dvc("status", copy)
    if committed:
        *_, line = documented_lines("experiments", "dvc gc")
        dvc(f"{line.removeprefix('dvc ')} --force", copy)
        break_off("failed", copy)
        _, line = documented_lines("experiments", "git read-tree")
        assert run(["sh", "-c", line], copy, DVC_SITE_CACHE_DIR=f"{copy}-dvc").returncode == 0
        assert outputs(copy) == before and "up to date" in dvc("status", copy)
    change = "-S params_train.yaml:evaluate.bootstrap_resamples=200"
    assert stages_that_ran(dvc(f"exp run {change}", copy)) == ["check", "evaluate"]


def test_what_ends_badly_outside_the_workspace_leaves_it_as_it_is(copy):
    before = outputs(copy)
    command = "exp run --temp -S lora.r=4 train"
    stop_while_training(command, copy, signal.SIGKILL)
    assert outputs(copy) == before and git("status --porcelain", copy) == ""
    assert "up to date" in dvc("status", copy)
    # The same command resumes it; `check` has run.
    assert stages_that_ran(dvc(command, copy)) == ["train"]


# From one clone to another -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def handed_over(first, tmp_path_factory):
    """Return the first member's repository with a colleague's experiment `rank32` pulled into it,
    the colleague's clone, and what the colleague's run printed.
    """
    place = tmp_path_factory.mktemp("handover")
    hub, colleague, receiver = place / "hub", place / "colleague", place / "receiver"
    git(f"clone -q --bare {first.parent / 'hub'} {hub}", first)
    git(f"clone -q {hub} {colleague}", first)
    printed = dvc("exp run --pull --allow-missing -n rank32 -S lora.r=32", colleague)
    dvc("exp push origin rank32", colleague)

    shutil.copytree(first, receiver, symlinks=True)
    git(f"remote set-url origin {hub}", receiver)
    dvc("exp pull origin rank32", receiver)
    return receiver, colleague, printed


def test_a_colleague_with_nothing_but_a_clone_runs_what_depends_on_the_model_only(handed_over):
    _, colleague, printed = handed_over
    assert stages_that_ran(printed) == MODEL
    assert not (colleague / "metrics/ingest/report.json").exists()


def test_an_experiment_reaches_another_clone_with_its_model(handed_over, tmp_path):
    receiver, colleague, _ = handed_over
    repository = shutil.copytree(receiver, tmp_path / "receiver", symlinks=True)
    assert [row["Experiment"] for row in shown(repository)] == ["rank32"]
    dvc("exp apply rank32", repository)
    model = {p.name: p.read_bytes() for p in (repository / "models/train").iterdir()}
    assert model == {p.name: p.read_bytes() for p in (colleague / "models/train").iterdir()}
    assert stages_that_ran(dvc("repro", repository)) == []


def test_experiments_are_compared_by_metrics_parameters_and_plots(handed_over, tmp_path):
    receiver, colleague, _ = handed_over
    metrics = "metrics/evaluate/metrics.json"
    old, new = (json.loads((place / metrics).read_text()) for place in (receiver, colleague))
    for command in ("exp diff --json HEAD rank32", "metrics diff --json HEAD rank32"):
        found = json.loads(dvc(command, receiver))
        change = found.get("metrics", found)[metrics]["log_loss"]
        assert change["old"] == pytest.approx(old["log_loss"])
        assert change["new"] == pytest.approx(new["log_loss"])
    found = json.loads(dvc("params diff --json HEAD rank32", receiver))
    assert found == {"params.yaml": {"lora.r": {"old": 16, "new": 32, "diff": 16}}}

    dvc(f"plots diff HEAD rank32 -o {tmp_path / 'plots'}", receiver)
    page = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("rank32", "Reliability", "train_loss", "coverage"))
    assert git("status --porcelain", receiver) == ""


def test_an_experiment_becomes_a_branch_and_a_workspace_becomes_an_experiment(
    handed_over, tmp_path
):
    receiver, colleague, _ = handed_over
    repository = shutil.copytree(receiver, tmp_path / "receiver", symlinks=True)
    dvc("exp branch rank32 low-rank", repository)
    git("checkout -q low-rank", repository)
    dvc("checkout", repository)
    assert locked_outputs(repository) == locked_outputs(colleague)
    assert "up to date" in dvc("status", repository)

    git("checkout -q -", repository)
    dvc("exp apply rank32", repository)
    (repository / "notes.md").write_text("looks good\n")
    dvc("exp save -n kept -I notes.md", repository)
    assert {row["Experiment"] for row in shown(repository)} == {"rank32", "kept"}
    dvc("exp branch kept kept-branch", repository)
    assert git("show kept-branch:notes.md", repository) == "looks good\n"
