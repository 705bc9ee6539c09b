"""Checkpoints that can be trusted after a kill at any moment.

They live in an undeclared folder under the repository, named by what the run depends on, because
DVC deletes a stage's outputs before it runs. A manifest with the sha256 of every file is written
last, so a checkpoint without one, or with other bytes, is no checkpoint.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from stages.lib.checksums import file_sha256

_MANIFEST = "sha256.json"


def run_key(values: object, files: Iterable[Path]) -> str:
    """Return the name of the run that `values` (JSON) and the bytes of `files` define."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in sorted(files):
        digest.update(f"\n{path.as_posix()} {file_sha256(path)}".encode())
    return digest.hexdigest()[:32]


def _files(checkpoint: Path) -> dict[str, str]:
    paths = (path for path in checkpoint.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {path.relative_to(checkpoint).as_posix(): file_sha256(path) for path in sorted(paths)}


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def seal_checkpoint(checkpoint: Path) -> None:
    """Mark `checkpoint` as whole: all its files on disk, then the manifest, by rename."""
    for path in checkpoint.rglob("*"):
        _force_to_disk(path)
    partial = checkpoint / f"{_MANIFEST}.partial"
    partial.write_text(json.dumps(_files(checkpoint), indent=2))
    _force_to_disk(partial)
    partial.rename(checkpoint / _MANIFEST)
    _force_to_disk(checkpoint)


def is_sealed(checkpoint: Path) -> bool:
    """Tell whether every file is there with the bytes that were sealed, and no other."""
    try:
        return json.loads((checkpoint / _MANIFEST).read_text()) == _files(checkpoint)
    except (OSError, ValueError):
        return False


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def best_checkpoint(checkpoint: Path) -> Path | None:
    """Return the checkpoint that was the best one when `checkpoint` was saved, if any."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    step = state["best_global_step"]
    return checkpoint.with_name(f"checkpoint-{step}") if step else None


def _usable(checkpoint: Path) -> bool:
    """Tell whether `checkpoint` is whole, and the best one that a run from it may end with."""
    if not is_sealed(checkpoint):
        return False
    best = best_checkpoint(checkpoint)
    return best is None or best == checkpoint or is_sealed(best)


def newest_sealed_checkpoint(folder: Path, *, clean: bool) -> Path | None:
    """Return the newest whole ``checkpoint-STEP`` in `folder`; None if there is none.

    Parameters
    ----------
    clean : bool
        Delete what was left broken, so that it is not in the way of the next save. Of several
        ranks only one may do so.
    """
    newest = None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if not is_sealed(checkpoint) and clean:
            print(f"{checkpoint.name} is not whole (killed while saving?): not used", flush=True)
            shutil.rmtree(checkpoint)
        elif newest is None and _usable(checkpoint):
            newest = checkpoint
    return newest


def drop_old_checkpoints(folder: Path, keep: int = 2) -> None:
    """Delete all but the newest `keep` checkpoints and those that were the best ones for them.

    Called once the newest is sealed: at every moment there is one to go on from, with its best.
    """
    newest = sorted(folder.glob("checkpoint-*"), key=_step)[-keep:]
    kept = {*newest, *map(best_checkpoint, newest)}
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)
