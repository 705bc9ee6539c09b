"""Checkpoints that can be trusted after a kill at any moment.

They are in an undeclared folder of the repository that is named by what the run depends on,
because DVC deletes a stage's outputs before it runs. A manifest with the sha256 of every file is
written last: a checkpoint that has none, or other bytes, is not used.
"""

import hashlib
import json
import os
import shutil
import sys
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


def loaded_code() -> list[Path]:
    """Return the files of the library that this process has imported."""
    modules = [name.replace(".", "/") for name in sys.modules if name.startswith("stages.lib.")]
    return [path for path in (Path(f"{name}.py") for name in modules) if path.is_file()]


def scratch_folder(values: object, files: Iterable[Path]) -> Path:
    """Return the folder for the checkpoints of the run that `values` and `files` define.

    A queued experiment runs in a copy of the repository. Its checkpoints are in the repository
    itself, where the next try finds them.
    """
    root = Path(os.environ.get("DVC_ROOT", "."))
    return root / ".scratch" / f"train-{run_key(values, files)}"


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
    """Tell whether the checkpoint has the files and bytes that were sealed, and no others."""
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
    """Tell whether `checkpoint` is whole, and so is the best one, which its run may end with."""
    if not is_sealed(checkpoint):
        return False
    best = best_checkpoint(checkpoint)
    return best is None or best == checkpoint or is_sealed(best)


def newest_sealed_checkpoint(folder: Path, *, clean: bool) -> Path | None:
    """Return the newest whole ``checkpoint-STEP`` in `folder`, None if there is none.

    Parameters
    ----------
    folder : Path
    clean : bool
        Delete broken checkpoints, which would be in the way of the next save. Only one of several
        ranks may do so.
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

    Called once the newest is sealed: at every moment there is one to resume from, with its best.
    """
    newest = sorted(folder.glob("checkpoint-*"), key=_step)[-keep:]
    kept = {*newest, *map(best_checkpoint, newest)}
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)
