"""Life cycle of a stage as a process: exit codes, locks, and stopping when its dvc dies."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import psutil

from stages.lib.errors import UserError


def _dvc_ancestor() -> psutil.Process | None:
    """Return the nearest ancestor that is dvc: shells and launchers may be in between."""
    for process in psutil.Process().parents():
        try:
            words = [Path(word).name for word in process.cmdline()[:4]]
        except psutil.Error:
            continue
        if "dvc" in words:
            return process
    return None


def stop_when_dvc_dies(poll_seconds: float = 0.5) -> None:
    """Send this process SIGTERM once the dvc that started it is gone, even by kill -9.

    Without it the stage would run on as an orphan and write into a workspace that a second
    ``dvc repro`` has taken over. Does nothing when the stage was started by hand.

    Raises
    ------
    UserError
        That dvc is gone already.
    """
    dvc = _dvc_ancestor()
    if dvc is None and "DVC_STAGE" in os.environ:  # which dvc sets for every stage
        raise UserError(
            "dvc-gone", "dvc", "the dvc that started this stage is gone", "start it again"
        )
    if dvc is None:
        return

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):  # it may end between the two questions
            while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
                time.sleep(poll_seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`; the kernel frees the lock of a process that dies.

    Raises
    ------
    UserError
        Another living process holds it.
    """
    from filelock import FileLock, Timeout  # only `train` needs it

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            "already-running", path, f"{what} is already running here", "wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def run_stage(main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and exit: a UserError is printed without a traceback, exit code 1."""
    try:
        stop_when_dvc_dies()
        main()
    except UserError as error:
        sys.stdout.flush()
        print(f"error[{error.code}]: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("error[interrupted]: interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
