"""SHA-256 of files and folders."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the bytes of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Return name and SHA-256 of files, in their order. Names have no folder."""
    return [{"name": path.name, "sha256": file_sha256(path)} for path in paths]


def folder_sha256(folder: Path) -> str:
    """Return one SHA-256 over the names and the contents of all files in `folder`."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()
