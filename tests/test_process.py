"""Life cycle of a stage: exit codes, one at a time, none that outlives its dvc."""

import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import psutil
import pytest
from project import ROOT, environment, run
from refusals import refused

from stages.lib import process
from stages.lib.errors import UserError
from stages.lib.process import only_one, run_stage

HOLD = """
import sys
from pathlib import Path
from stages.lib.process import only_one
with only_one(Path(sys.argv[1]), "a training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_one_is_refused(tmp_path):
    with (
        only_one(tmp_path / "lock", "a training"),
        refused("already-running", "lock"),
        only_one(tmp_path / "lock", "a training"),
    ):
        pass
    with only_one(tmp_path / "lock", "a training"):  # and the first one's end frees it
        pass


def test_a_killed_process_holds_no_lock(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    with refused("already-running", "lock"):
        only_one(tmp_path / "lock", "a training").__enter__()
    process.kill()
    process.wait()
    with only_one(tmp_path / "lock", "a training"):
        pass


STAGE = """
import os, sys, threading
from stages.lib.process import stop_when_dvc_dies
stop_when_dvc_dies(poll_seconds=0.01)
print(os.getpid(), flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_stage_dies_with_its_dvc_a_shell_between_them(tmp_path, sign):
    """The dvc here is a script of that name that does nothing but start the stage's shell."""
    dvc = tmp_path / "dvc"
    dvc.write_text(
        "import subprocess, sys\n"
        "subprocess.run(['sh', '-c', '\"$0\" -c \"$1\"; true', sys.executable, sys.argv[1]])\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(dvc), STAGE], cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    )
    stage = psutil.Process(int(process.stdout.readline()))
    process.send_signal(sign)
    process.wait()
    alive = psutil.wait_procs([stage], timeout=60)[1]
    assert alive == []


def test_a_dvc_that_ends_between_two_questions_is_gone(monkeypatch):
    def status():
        raise psutil.NoSuchProcess(1)

    stopped = threading.Event()
    dvc = SimpleNamespace(is_running=lambda: True, status=status)
    monkeypatch.setattr(process, "_dvc_ancestor", lambda: dvc)
    monkeypatch.setattr(os, "kill", lambda *signal_to: stopped.set())
    process.stop_when_dvc_dies()
    assert stopped.wait(10)


def test_a_stage_whose_dvc_died_before_it_looked_does_not_start():
    done = run([sys.executable, "-c", STAGE], ROOT, DVC_STAGE="train")
    assert done.returncode == 1
    assert "UserError: dvc: " in done.stderr


def test_a_user_error_ends_a_stage_with_one_line_and_exit_code_1(capsys):
    def main():
        raise UserError("odd-value", "params.yaml: x", "wrong", "correct it")

    with pytest.raises(SystemExit) as caught:
        run_stage(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error[odd-value]: params.yaml: x: wrong; correct it\n"


def test_any_other_error_keeps_its_traceback():
    def main():
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_stage(main)
