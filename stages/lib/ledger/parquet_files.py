"""Read parquet files, which any tool may have written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.errors import UserError
from stages.lib.ledger.cells import Records
from stages.lib.ledger.opening import damaged

# Field 4 of a page's header, the checksum, directly after field 3 (parquet.thrift, PageHeader; a
# field begins with one byte in Thrift's compact protocol: step to its number, type 5 for i32).
_CHECKSUM = b"\x15"


@contextmanager
def _errors_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def read_batches(path: Path, rows: int | None) -> Iterator[pa.RecordBatch]:
    """Yield the parquet file at `path` in record batches; without rows, as one empty batch.

    Checksums of pages are verified where the file has them.

    Parameters
    ----------
    rows : int, optional
        The most rows of a batch; None for one batch.

    Raises
    ------
    UserError
        ``damaged-file``.
    """
    with _errors_in_one_line(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        if not file.metadata.num_rows:
            batches = [pa.RecordBatch.from_pylist([], file.schema_arrow)]
        elif rows is None:
            batches = file.read().combine_chunks().to_batches()
        else:
            batches = file.iter_batches(batch_size=rows)
        for batch in batches:
            batch.validate(full=True)
            yield batch


def column_names(path: Path) -> tuple[list[str], int]:
    """Return the names of the columns of the parquet file at `path`, and how many rows it has.

    Errors as in `read_batches`.
    """
    with _errors_in_one_line(path), pq.ParquetFile(path) as file:
        return file.schema_arrow.names, file.metadata.num_rows


def _skip_i32(file: BinaryIO) -> None:
    file.read(1)  # field number and type
    while file.read(1) >= b"\x80":
        pass


def has_page_checksums(path: Path) -> bool:
    """Return whether the pages of the parquet file at `path` have checksums; True without pages.

    Arrow verifies checksums only where a page has one, and does not say whether it does. Writers
    give one to every page or to none, so the first page decides.

    Errors as in `read_batches`.
    """
    with _errors_in_one_line(path):
        metadata = pq.read_metadata(path)
        if not metadata.num_rows or not metadata.num_columns:
            return True
        column = metadata.row_group(0).column(0)
        with open(path, "rb") as file:
            file.seek(column.dictionary_page_offset or column.data_page_offset)
            for _ in ("type", "uncompressed_page_size", "compressed_page_size"):
                _skip_i32(file)
            return file.read(1) == _CHECKSUM


def _cells(column: pa.Array, is_used: bool) -> list:
    """Return the cells of a column as `cell_text` takes them.

    Bytes are UTF-8 text, small floats the shortest decimal fraction that they are read from.

    Raises
    ------
    UnicodeDecodeError
        Some bytes are no UTF-8 text, in a column that is used; in others they look like ``\\xff``.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return column.to_numpy(zero_copy_only=False).astype(str).astype(float).tolist()
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # What is finer than a second is cut off in any case, and Python has no nanoseconds.
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    cells = column.to_pylist()
    if pa.types.is_nested(kind) or "binary" not in str(kind):
        return cells
    errors = "strict" if is_used else "backslashreplace"
    return [cell if cell is None else cell.decode("utf-8", errors) for cell in cells]


def batch_records(path: Path, batch: pa.RecordBatch, first: int, used: set[int]) -> Records:
    """Return the rows of a record batch of the parquet file at `path`.

    Parameters
    ----------
    first : int
        The number of its first row in the file (1-based).
    used : set of int
        Places of the columns that are used.

    Raises
    ------
    UserError
        ``damaged-file``; ``column-of-bytes``: a used column has bytes that are no text.
    """
    try:
        cells = [_cells(column, place in used) for place, column in enumerate(batch)]
        rows = list(zip(*cells, strict=True))
    except UnicodeDecodeError:
        raise UserError(
            "column-of-bytes",
            path,
            "a column of bytes is not UTF-8 text",
            "write text, or take the column out",
        ) from None
    except (ValueError, OverflowError) as error:
        raise damaged(path, error) from None
    return Records(rows, list(range(first, first + len(rows))))
