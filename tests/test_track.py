"""`track` tells a server of each result once, and says in one line why it could not."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from contextlib import closing, contextmanager, suppress
from hashlib import pbkdf2_hmac
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from project import ROOT, environment, run
from s3_server import die_with_parent, free_ports
from small_experiments import without_cache, write_experiments
from test_requirements import normalized, pins

from stages.lib.tracking.server import QUIET, shown_address

# Packages that only these tests need, each in a folder of its own.
CLIENT, SERVER = ROOT / ".scratch/mlflow", ROOT / ".scratch/mlflow-server"
LISTS = {CLIENT: "requirements-mlflow.txt", SERVER: "tests/mlflow-server.txt"}
PASSWORD = "team-secret-42"
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}


def installed(*folders: Path) -> str:
    """Return the import path with these packages; fail if they are not installed."""
    for folder in folders:
        lines = f"pip install --no-deps --target {folder.relative_to(ROOT)} -r {LISTS[folder]}"
        assert folder.is_dir(), f"run: {lines}"
    return os.pathsep.join(map(str, (ROOT, *folders)))


def track(folder: Path, *options: str, path: str = str(ROOT), **variables: str):
    clean = {"MLFLOW_TRACKING_TOKEN": "", "NO_PROXY": "127.0.0.1", "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", "stages.track", *options],
        cwd=folder,
        env=environment(**{**clean, **variables}),
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(done: subprocess.CompletedProcess) -> str:
    """Return the only line of a refusal."""
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


# Without a server


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"MLFLOW_TRACKING_URI": ""}, "error[no-server]: MLFLOW_TRACKING_URI: is not set; export"),
        ({"MLFLOW_TRACKING_URI": "sqlite:///a"}, "error[no-server]: MLFLOW_TRACKING_URI: is 'sqli"),
    ],
)
def test_what_is_missing_is_said_with_the_command_that_mends_it(tmp_path, variables, line):
    given = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", **variables}
    assert refusal(track(tmp_path, **given)).startswith(line)


def test_without_the_package_the_command_that_installs_it_is_said(tmp_path):
    hidden = "import runpy, sys; sys.modules['mlflow'] = None; sys.argv = ['track'];"
    hidden += "runpy.run_module('stages.track', run_name='__main__')"
    address = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    done = run([sys.executable, "-c", hidden], tmp_path, **address)
    assert refusal(done) == (
        "error[not-installed]: mlflow: is not installed; pip install -r requirements-mlflow.txt"
    )


def test_a_password_in_an_address_is_never_shown():
    assert shown_address("https://kim:secret@host/a@b") == "https://host/a@b"


def test_the_extra_is_pinned_and_agrees_with_the_pins_of_the_project():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (extra,) = content["project"]["optional-dependencies"]["mlflow"]
    name, version = extra.split("==")
    client, server = (pins(file) for file in LISTS.values())
    assert client[name] == version == server["mlflow"]
    assert not {*client, *server} & set(pins("requirements.txt"))
    assert not set(client) & set(server)


# With one

# Programs in forks of a process that has imported what they need, which takes longer than they.
FORKS = """
import json, os, sys
import mlflow, stages.lib.tracking.experiments, stages.lib.tracking.server
for line in sys.stdin:
    program, folder, options, variables = json.loads(line)
    if os.fork() == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
        os.chdir(folder)
        os.environ.update(variables)
        sys.argv = ["track", *options]
        exec(program, {"__name__": "__main__"})
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
TRACK = "import runpy; runpy.run_module('stages.track', run_name='__main__')"


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Return a function that runs a program with mlflow, of which the start is not the subject."""
    place = tmp_path_factory.mktemp("forks")
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS],
        cwd=place,
        env=environment(PYTHONPATH=installed(CLIENT), NO_PROXY="127.0.0.1", **QUIET),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    )

    def run_forked(program: str, folder: Path, *options: str, **variables: str):
        request = [program, str(folder), options, {"MLFLOW_TRACKING_TOKEN": "", **variables}]
        print(json.dumps(request), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        out, err = ((place / name).read_text("utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess(program, code, out, err)

    with process:
        yield run_forked
        process.stdin.close()


@contextmanager
def running(folder: Path, port: int):
    """Run a real server that asks for a password, until the block ends."""
    variables = {
        "PYTHONPATH": installed(SERVER, CLIENT),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for these tests",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--workers", "1"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**variables),
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (
                folder / "log"
            ).read_text()[-2000:]
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
            time.sleep(0.2)
        make_the_password_cheap(folder / "basic_auth.db")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def make_the_password_cheap(path: Path) -> None:
    """Store a hash of the password that is quick to check: the server checks it in each request."""
    digest = pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", 1).hex()
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE users SET password_hash = ?", [f"pbkdf2:sha256:1$salt${digest}"])


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """Return a repository with two experiments, and the variables that reach a server."""
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("mlflow")
    with running(folder, port):
        repository = write_experiments(folder / "repository")
        address = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", **LOGIN}
        yield repository, address


ASK = """
import json, sys, mlflow
client, found = mlflow.MlflowClient(), {}
place = client.get_experiment_by_name(sys.argv[1]).experiment_id
for run in client.search_runs([place]):
    def paths(folder=None):
        for one in client.list_artifacts(run.info.run_id, folder):
            yield from paths(one.path) if one.is_dir else [one.path]
    history = client.get_metric_history(run.info.run_id, "val_loss")
    found.setdefault(run.info.run_name, []).append({
        "status": run.info.status, "tags": run.data.tags, "params": run.data.params,
        "metrics": run.data.metrics, "files": sorted(paths()), "user": run.info.user_id,
        "val_loss": sorted((point.step, point.value) for point in history)})
print(json.dumps(found))
"""


def ask(forked, server: dict[str, str], place: str = "account-coder") -> dict[str, list[dict]]:
    """Return the runs that the server has, by name."""
    return json.loads(forked(ASK, ROOT, place, **server).stdout)


@pytest.mark.slow
def test_each_experiment_and_the_workspace_are_sent_once(team, forked):
    repository, server = team
    first = track(repository, "--all", path=installed(CLIENT), **server)
    assert (first.returncode, first.stderr) == (0, ""), first.stderr
    said = [line.partition(": ")[2].partition(" with")[0] for line in first.stdout.splitlines()]
    assert said == ["rank32: sent", "rank8: sent"]
    again = forked(TRACK, repository, "--all", **server).stdout.splitlines()
    assert [line.rpartition(": ")[2] for line in again] == ["is there already"] * 2
    for ending in ("sent with 4 parameters, 1 metrics and the report", "is there already"):
        assert forked(TRACK, repository, **server).stdout.rstrip().endswith(ending)
    runs = ask(forked, server)
    revision = runs["rank32"][0]["tags"]["git.revision"]
    assert {name.partition("-")[0]: len(found) for name, found in runs.items()} == {
        "main": 1,
        "rank32": 1,
        "rank8": 1,
    }
    (sent,) = runs["rank32"]
    assert len(revision) == 40 and sent["tags"]["dvc.experiment"] == "rank32"
    assert sent["status"] == "FINISHED" and sent["files"] == ["report.html"]
    assert sent["metrics"] == {"accuracy": 0.5, "val_loss": 1 / 32}
    assert sent["val_loss"] == [[50, 2.5], [100, 1 / 32]]
    assert sent["params"]["lora.r"] == "32" and sent["params"]["ingest.columns.적요.role"] == "text"
    assert sent["tags"]["dvc.md5.models.train"].endswith(".dir")
    # Nothing of the user, of this machine, or of the rules of review.
    told = str(runs)
    assert "kim" not in told and str(Path.home()) not in told and sent["user"] == "unknown"


@pytest.mark.slow
def test_the_model_is_sent_if_asked_and_an_interrupted_run_is_sent_anew(team, forked):
    repository, server = team
    place = ("--experiment", "models")
    cut = "import mlflow, os\nmlflow.MlflowClient.log_artifacts = lambda *a: os._exit(9)\n"
    done = forked(cut + TRACK, repository, *place, **server)
    assert done.returncode == 9
    (name,) = ask(forked, server, "models")
    assert ask(forked, server, "models")[name][0]["status"] == "RUNNING"
    assert forked(TRACK, repository, *place, "--with-model", **server).returncode == 0
    (sent,) = ask(forked, server, "models")[name]
    assert sent["status"] == "FINISHED"
    assert sent["files"] == ["models/train/adapter.bin", "report.html"]


@pytest.mark.slow
def test_a_result_that_is_not_here_is_named_and_the_others_are_sent(team, forked, tmp_path):
    repository, server = team
    copy = shutil.copytree(repository, tmp_path / "copy", symlinks=True)
    without_cache(copy)
    done = forked(TRACK, copy, "--all", "--experiment", "half", **server)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition(": cannot")[0].rpartition(" ")[2] for line in lines] == [
        "rank32",
        "rank8",
    ]


@pytest.mark.slow
def test_a_wrong_login_is_refused_in_one_line(team, forked):
    repository, server = team
    for wrong in (
        {"MLFLOW_TRACKING_PASSWORD": "x"},
        {
            "MLFLOW_TRACKING_USERNAME": "",
            "MLFLOW_TRACKING_PASSWORD": "",
            "MLFLOW_TRACKING_TOKEN": "x",
        },
    ):
        start = time.monotonic()
        line = refusal(forked(TRACK, repository, **{**server, **wrong}))
        assert line.startswith("error[login-refused]: http://127.0.0.1:")
        assert "401" in line and time.monotonic() - start < 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["down", "silent", "another"])
def test_a_server_that_does_not_answer_is_named_within_seconds(forked, tmp_path, kind):
    """Nobody listens; somebody takes the call and says nothing; it is no tracking server."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if kind != "down":
            listener.listen()
        if kind == "another":
            threading.Thread(target=answer, args=[listener], daemon=True).start()
        address = {"MLFLOW_TRACKING_URI": f"http://kim:secret@127.0.0.1:{port}"}
        start = time.monotonic()
        line = refusal(forked(TRACK, tmp_path, **address))
        listener.close()
    code = "server-error" if kind == "another" else "no-server"
    assert line.startswith(f"error[{code}]: http://127.0.0.1:{port}: ")
    assert "secret" not in line and time.monotonic() - start < 40


def answer(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            call, _ = listener.accept()
            call.recv(10_000)
            call.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            call.close()


@pytest.mark.slow
def test_the_lists_of_packages_are_whole():
    """All that they need is in them or in requirements.txt."""
    installed(CLIENT, SERVER)
    listed = {**pins("requirements.txt"), **pins(LISTS[CLIENT]), **pins(LISTS[SERVER])}
    for folder in (CLIENT, SERVER):
        own = pins(LISTS[folder])
        for found in distributions(path=[str(folder)]):
            name = normalized(found.metadata["Name"])
            assert own[name] == found.version
            for line in found.requires or []:
                need = Requirement(line)
                if need.marker is None or need.marker.evaluate({"extra": ""}):
                    assert normalized(need.name) in listed, (name, line)
