"""Make a file appear whole or not at all, and never in the place of another one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.lib.errors import UserError


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a path in a new folder beside `path`; on success its file appears at `path`.

    The folder is called ``NAME.….partial`` and also takes temporary files. It is removed at the
    end, also after an error. Two runs with the same `path` do not disturb each other.

    Raises
    ------
    UserError
        The operating system refuses to write, or there is a file at `path` at the end.
    """
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(
            prefix=f"{path.name}.", suffix=".partial", dir=path.parent, ignore_cleanup_errors=True
        )
    with folder as name:
        partial = Path(name) / path.name
        yield partial
        with telling(path):
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            _place(partial, path)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into a UserError about `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            "cannot-write",
            path,
            f"cannot be written: {error.strerror or error}",
            "nothing was left there; try again",
        ) from None


def _place(partial: Path, path: Path) -> None:
    # os.replace would overwrite a file that has appeared in the meantime.
    try:
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links, such as exFAT
            open(path, "x").close()
            os.replace(partial, path)
    except FileExistsError:
        raise UserError(
            "output-exists", path, "exists already", "delete it, or name another file"
        ) from None
