"""Write and read the files that stages hand to each other, whole or not at all.

Every write goes to a temporary file beside the target, is forced to disk and then renamed, so a
full disk or a kill leaves the old file or none. Pages and footers of parquet files have checksums
that every read verifies. Without them, half of all one-bit flips would go unnoticed.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.lib.errors import UserError, first_line

# Small enough that a worker holds a few of them, large enough to compress well.
ROWS_PER_GROUP = 100_000
# Bytes of the digest before the footer, and of the mark that a parquet file begins with.
_SEAL = 16
_MAGIC = 4
# The one other library that gives pages checksums unless told otherwise, as of Spark.
_OTHER_WRITER = "parquet-mr"


@contextmanager
def replace_files(paths: Iterable[Path | str]) -> Iterator[list[Path]]:
    """Yield a temporary path beside each of `paths`; on success all take their places together.

    Raises
    ------
    UserError
        The operating system refuses to write (full disk, no permission). The old files at `paths`
        are still there.
    """
    paths = [Path(path) for path in paths]
    partials = [path.with_name(path.name + ".partial") for path in paths]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield partials
        for partial in partials:
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
        for partial, path in zip(partials, paths, strict=True):
            os.replace(partial, path)
    except OSError as error:
        reason = error.strerror or str(error)
        names = ", ".join(map(str, paths))
        raise UserError(
            "cannot-write",
            names,
            f"cannot be written: {reason}",
            "nothing was left there; try again",
        ) from error
    finally:
        for partial in partials:
            with suppress(OSError):
                partial.unlink()


@contextmanager
def replace_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    Errors as in `replace_files`.
    """
    with replace_files([path]) as (partial,):
        yield partial


class _Groups:
    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer, self._waiting, self._rows = writer, [], 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= ROWS_PER_GROUP:
            self.flush(self._rows // ROWS_PER_GROUP * ROWS_PER_GROUP)

    def flush(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting).unify_dictionaries()
        self._writer.write_table(table.slice(0, rows), row_group_size=ROWS_PER_GROUP)
        self._waiting, self._rows = [table.slice(rows)], self._rows - rows


@contextmanager
def table_writers(schemas: dict[Path, pa.Schema]) -> Iterator[list[_Groups]]:
    """Yield an object for each path whose ``write(table)`` adds rows; the files appear together
    when the block ends well.

    The bytes depend on the rows alone, not on how they are cut into tables.
    """
    with replace_files(schemas) as partials:
        with ExitStack() as stack:
            writers = []
            for partial, schema in zip(partials, schemas.values(), strict=True):
                file = pq.ParquetWriter(
                    partial, schema, compression="zstd", write_page_checksum=True, version="2.6"
                )
                writers.append(_Groups(stack.enter_context(file)))
                writers[-1].write(schema.empty_table())
            yield writers
            for writer in writers:
                writer.flush(ROWS_PER_GROUP)
        for partial in partials:
            _seal(partial)


def _footer(file: BinaryIO) -> tuple[int, bytes]:
    end = file.seek(-8, os.SEEK_END)
    start = end - int.from_bytes(file.read(4), "little")
    file.seek(start)
    return start, file.read()


def _seal(path: Path) -> None:
    # Pages have checksums, the footer has none: a flipped bit there can rename a column. Readers
    # find the footer from the end of the file, so its digest fits in front of it.
    with open(path, "rb+") as file:
        start, footer = _footer(file)
        file.seek(start)
        file.write(blake2b(footer, digest_size=_SEAL).digest() + footer)


def first_page_has_checksum(file: BinaryIO) -> bool:
    """Return whether the first page of an open parquet file has a checksum.

    Writers give one to every page or to none. The bytes are read here, because pyarrow may abort
    the process if it is asked for a column of a damaged footer.
    """
    # The checksum is field 4 of the page's header (parquet.thrift, PageHeader). In Thrift's compact
    # protocol a field is one byte, then here a number of one or more bytes.
    file.seek(_MAGIC)
    for _ in ("type", "uncompressed_page_size", "compressed_page_size"):
        file.read(1)
        while file.read(1) >= b"\x80":
            pass
    return file.read(1) == b"\x15"


def _has_seal(path: Path) -> bool:
    """Tell whether the file has a seal, and so was written here.

    Raises
    ------
    UserError
        It has none that fits the footer, although its pages have checksums, as all pages that are
        written here have.
    """
    with open(path, "rb") as file:
        start, footer = _footer(file)
        file.seek(max(0, start - _SEAL))
        if file.read(_SEAL) == blake2b(footer, digest_size=_SEAL).digest():
            return True
        writer = pq.read_metadata(path).created_by or ""
        if first_page_has_checksum(file) and not writer.startswith(_OTHER_WRITER):
            raise _unreadable(path, "its footer is damaged")
        return False


@cache
def _say_unsealed(path: Path) -> None:
    print(
        f"{path}: another tool wrote it, perhaps without checksums; damage may go unnoticed",
        file=sys.stderr,
    )


def write_table(table: pa.Table, path: Path | str) -> None:
    """Write `table` to a parquet file at `path`, atomically and with page checksums."""
    with table_writers({Path(path): table.schema}) as (writer,):
        writer.write(table)


def _unreadable(path: Path, error: Exception | str) -> UserError:
    stage = path.parent.name
    reason = error if isinstance(error, str) else first_line(error)
    return UserError(
        "damaged-file",
        path,
        f"cannot be read: {reason}",
        f"delete it and rebuild it with 'dvc repro {stage}', or fetch it with 'dvc pull {stage}'",
    )


def _missing(path: Path) -> UserError:
    action = f"build it with 'dvc repro {path.parent.name}'"
    return UserError("file-not-found", path, "not found", action)


def open_table(path: Path | str) -> pq.ParquetFile:
    """Return the parquet file at `path`, opened for reading by row group.

    Raises
    ------
    UserError
        The file is missing or is not whole; the message names the stage that makes it.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise _missing(path)
        if not _has_seal(path):
            _say_unsealed(path)
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def read_group(path: Path | str, group: int, columns: list[str] | None = None) -> pa.Table:
    """Return one row group of the parquet file at `path`; errors as in `read_table`."""
    with open_table(path) as file:
        try:
            return file.read_row_group(group, columns=columns)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _unreadable(Path(path), error) from None


def read_table(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Return the table at `path`, or only `columns` of it, with every page verified.

    Raises
    ------
    UserError
        The file is missing, truncated or corrupt, or lacks one of `columns`.
    """
    path = Path(path)
    with open_table(path) as file:
        missing = [name for name in columns or [] if name not in file.schema_arrow.names]
        if missing:
            found = ", ".join(file.schema_arrow.names)
            raise UserError(
                "no-column",
                path,
                f"has no column {', '.join(missing)}; it has {found}",
                f"rebuild it with 'dvc repro {path.parent.name}'",
            )
        try:
            return file.read(columns=columns)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _unreadable(path, error) from None


def row_digests(table: pa.Table, columns: list[str], key: bytes = b"") -> np.ndarray:
    """Return a 128-bit digest of each row over the string columns `columns`.

    Keyed by `key` (at most 64 bytes), so the content cannot be found by trying without the key.

    Returns
    -------
    np.ndarray of uint64, shape (rows, 2)
        Equal exactly where all `columns` are equal. Cells must not contain NUL, the separator.
    """
    cells = [table[name].cast(pa.binary()) for name in columns]
    joined = pc.binary_join_element_wise(*cells, pa.scalar(b"\0", pa.binary()))
    if isinstance(joined, pa.ChunkedArray):
        joined = joined.combine_chunks()
    rows = joined.dictionary_encode()
    digests = (
        blake2b(row, digest_size=16, key=key).digest() for row in rows.dictionary.to_pylist()
    )
    distinct = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    return distinct[rows.indices.to_numpy()]


def number_groups(digests: np.ndarray) -> np.ndarray:
    """Return for each row the position of the first row with the same digest.

    Parameters
    ----------
    digests : np.ndarray of uint64, shape (rows, 2)
        As `row_digests` makes them.

    Returns
    -------
    np.ndarray of int64, shape (rows,)
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), np.int64)
    # The sort is stable, so the first of equal rows is the one that came first.
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first


def write_json(content: object, path: Path | str) -> None:
    """Write `content` as readable UTF-8 JSON, atomically; keys keep their order.

    Raises
    ------
    ValueError
        `content` contains NaN or an infinity, which JSON cannot express.
    """
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: Path | str) -> object:
    """Return the content of the JSON file at `path`; errors as in `read_table`."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
