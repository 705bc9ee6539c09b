"""Find the files of a ledger: which ones to read, and of which kind each is."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Literal, NamedTuple

from stages.lib.errors import UserError

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_SOURCE = "params.yaml: ingest.source"


class Source(NamedTuple):
    """The files of a ledger.

    Attributes
    ----------
    files : list of (Path, str)
        The files to read, in order: path, and name below the source.
    left_out : list of str
        Names of the others.
    """

    files: list[tuple[Path, str]]
    left_out: list[str]

    @property
    def size(self) -> int:
        """Bytes of all files to read."""
        return sum(file_size(path) for path, _ in self.files)


def fits(name: str, pattern: str) -> bool:
    """Return whether the name of a file or sheet is `pattern`, or matches it; case is ignored."""
    name, pattern = (unicodedata.normalize("NFC", text).casefold() for text in (name, pattern))
    return name == pattern or fnmatchcase(name, pattern)


def fits_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether `name` fits one of `patterns`."""
    return any(fits(name, pattern) for pattern in patterns)


def _unreadable(path: Path | str, error: OSError) -> UserError:
    return UserError(
        "file-unreadable",
        path,
        f"cannot be read: {error.strerror}",
        "correct its permissions or the link, or leave it out of ingest.files",
    )


def _files_below(top: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(error.filename, error)

    found = []
    for folder, folders, names in os.walk(top, onerror=refuse):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [Path(folder, name) for name in [*links, *names]]
    return sorted(found)


def _check_name(name: str) -> None:
    if not name.isascii() and any(unicodedata.category(c) == "Cs" for c in name):
        raise UserError("file-name", _SOURCE, f"the file name {name!a} is not UTF-8", "rename it")
    if "\n" in name or "\r" in name:
        raise UserError(
            "file-name", _SOURCE, f"the file name {name!r} has a line break", "rename it"
        )


def find_files(source: str, patterns: list[str]) -> Source:
    """Return the files of `source`, a file or a folder, whose name fits one of `patterns`.

    Raises
    ------
    UserError
        ``file-not-found``: there is no such file or folder, or no file fits. ``file-name``: a name
        cannot be shown on one line. ``file-unreadable``.
    """
    top = Path(source)
    if os.path.isfile(top):
        return Source([(top, top.name)], [])
    if not os.path.isdir(top):
        is_pattern = any(c in source for c in "*?[")
        raise UserError(
            "file-not-found",
            source,
            "there is no such file or folder",
            "name the folder here, and patterns in ingest.files" if is_pattern else "correct it",
        )
    read, left_out = [], []
    for path in _files_below(top):
        name = path.relative_to(top).as_posix()
        _check_name(name)
        if path.name.startswith((".", "~$")):  # hidden files, and lock files of Excel
            continue
        # A link to a folder is not followed: it may lead to files that are read already.
        if not os.path.isdir(path) and fits_any(name, patterns):
            read.append((path, name))
        else:
            left_out.append(name)
    if not read:
        raise UserError(
            "file-not-found",
            source,
            f"no file matches {', '.join(patterns)}; found {', '.join(left_out[:5]) or 'none'}",
            "correct ingest.files",
        )
    return Source(read, left_out)


def _stamps(source: Source) -> dict[str, tuple[int, int]]:
    """Return size and time of the last change of each file to read."""
    found = {}
    for path, _ in source.files:
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from None
        found[str(path)] = status.st_size, status.st_mtime_ns
    return found


@contextmanager
def unchanged_files(find: Callable[[], Source], outputs: Iterable[Path] = ()) -> Iterator[Source]:
    """Yield what `find` returns, and check at the end that these files are still the same.

    DVC notes the state of the ledger after ``ingest`` has ended. If a file was saved meanwhile, its
    new state would stand beside the tables of the old one, and nothing would show it. So this comes
    last, when everything is written. A change is named also where it made another error.

    Parameters
    ----------
    find : callable
        Such as `find_files`.
    outputs : iterable of Path
        What is deleted if a file has changed.

    Raises
    ------
    UserError
        ``file-changed``; and as `find`.
    """
    found = find()
    before = _stamps(found)
    try:
        yield found
    except Exception:
        _check_unchanged(find, before)
        raise
    try:
        _check_unchanged(find, before)
    except UserError:
        for path in outputs:
            path.unlink(missing_ok=True)
        raise


def _check_unchanged(find: Callable[[], Source], before: dict) -> None:
    try:
        after = _stamps(find())
    except UserError:
        after = {}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            what = "saved" if path in after else "deleted"
            raise UserError(
                "file-changed",
                path,
                f"was {what if path in before else 'added'} while the files were read",
                "start again when nobody writes to them",
            )


def file_kind(path: Path) -> Literal["parquet", "workbook", "text"]:
    """Return the kind of the file at `path`, by its first bytes; its name does not count."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(
                "file-not-regular", path, "is a pipe or a device", "leave it out of ingest.files"
            )
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise _unreadable(path, error) from None
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", OLE2)):
        return "workbook"
    return "text"


def file_size(path: Path) -> int:
    """Return the size of the file at `path` in bytes."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def content_digest(paths: Iterable[Path]) -> bytes:
    """Return a digest (64 bytes) of the contents of the files at `paths`, in this order."""
    digests = blake2b()
    for path in paths:
        try:
            with open(path, "rb") as file:
                digests.update(file_digest(file, blake2b).digest())
        except OSError as error:
            raise _unreadable(path, error) from None
    return digests.digest()
