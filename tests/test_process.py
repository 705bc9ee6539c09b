"""One long stage at a time, and none that outlives its dvc."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from project import ROOT, environment, run

from stages.lib.errors import UserError
from stages.lib.process import only_one

HOLD = """
import sys
from pathlib import Path
from stages.lib.process import only_one
with only_one(Path(sys.argv[1]), "a training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_one_is_refused_and_told_who_runs(tmp_path):
    with only_one(tmp_path / "lock", "a training"):
        with pytest.raises(UserError) as caught, only_one(tmp_path / "lock", "a training"):
            pass
        assert str(caught.value) == (
            f"a training is already running here (process {os.getpid()}); "
            "wait for it to end, or stop it"
        )
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
    with pytest.raises(UserError, match=f"process {process.pid}"):
        only_one(tmp_path / "lock", "a training").__enter__()
    process.kill()
    process.wait()
    with only_one(tmp_path / "lock", "a training"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


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


def test_a_stage_whose_dvc_died_before_it_looked_does_not_start():
    done = run([sys.executable, "-c", STAGE], ROOT, DVC_STAGE="train")
    assert done.returncode == 1
    assert "the dvc that started this stage is gone" in done.stderr
