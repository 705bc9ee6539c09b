"""Open a file that may be packed with gzip, and name a damaged one in one line."""

import gzip
import io
import zlib
from pathlib import Path

from stages.lib.errors import UserError, first_line

# What reading a damaged file raises, packed with gzip or not.
DAMAGED = (OSError, EOFError, zlib.error)


def unpacked(file: io.BufferedReader) -> io.BufferedIOBase:
    """Return what `file` contains, unpacked if it is packed with gzip."""
    return gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file


def damaged(path: Path, error: BaseException) -> UserError:
    """Return the error that says that the file at `path` is not complete."""
    return UserError(
        "damaged-file",
        path,
        f"cannot be read, it seems truncated or corrupt: {first_line(error)}",
        "export or copy it again",
    )
