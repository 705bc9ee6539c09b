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

from stages.lib.model.base_model import file_sha256

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
        if is_sealed(checkpoint):
            newest = newest or checkpoint
        elif clean:
            print(f"{checkpoint.name} is not whole (killed while saving?): not used", flush=True)
            shutil.rmtree(checkpoint)
    return newest
