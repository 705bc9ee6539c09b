"""Read parquet files, which any tool may have written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.errors import UserError
from stages.lib.ledger.cells import Records
from stages.lib.ledger.opening import damaged
from stages.lib.tables import first_page_has_checksum


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


def has_page_checksums(path: Path) -> bool:
    """Return whether the pages of the parquet file at `path` have checksums; True without pages.

    Arrow verifies checksums only where a page has one, and does not say whether it does.

    Errors as in `read_batches`.
    """
    with _errors_in_one_line(path):
        metadata = pq.read_metadata(path)
        if not metadata.num_rows or not metadata.num_columns:
            return True
        with open(path, "rb") as file:
            return first_page_has_checksum(file)


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
        ``damaged-file``; ``column-of-bytes``: a used column has bytes that are not text.
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
