"""Write the coded rows as a review sheet: .xlsx, .csv or .parquet, by the ending of the file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from stages.lib.errors import UserError
from stages.lib.review.columns import Layout, own_schema, said_schema, say_batch
from stages.lib.review.new_file import new_file, telling
from stages.lib.review.text_files import CsvFile, ParquetFile
from stages.lib.review.totals import Totals
from stages.lib.review.workbook import XlsxFile

File = CsvFile | ParquetFile | XlsxFile
ENDINGS = (".xlsx", ".csv", ".parquet")
# Of a sheet; one row is the header.
MOST_ROWS, MOST_COLUMNS = 1_048_576 - 1, 16_384


def check_ending(path: Path) -> str:
    """Return the ending of `path`, or raise UserError if no such file can be written."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        expected = "expected a name that ends in .xlsx, .csv or .parquet, such as coded.xlsx"
        raise UserError("unsuitable-output", path, expected)
    return ending


def check_size(path: Path, rows: int, columns: int) -> None:
    """Raise UserError if a result is too large for a sheet and `path` is one.

    Parameters
    ----------
    path : Path
    rows : int
        Of the input, without headers.
    columns : int
        Of the input and ours; 0 if not known yet.
    """
    if check_ending(path) != ".xlsx":
        return
    for number, most, what in ((rows, MOST_ROWS, "rows"), (columns, MOST_COLUMNS, "columns")):
        if number > most:
            raise UserError(
                "too-large-for-a-sheet",
                path,
                f"a sheet has at most {most:,} {what}; these are {number:,}",
                "name a file that ends in .csv or .parquet, or code fewer files at once",
            )


class Review:
    """A review sheet that is being written.

    Attributes
    ----------
    rows : int
        Number of rows so far.
    totals : Totals
        Of the rows so far.
    finished : bool
        Nothing more can be written.
    """

    def __init__(self, path: Path, file: File, layout: Layout, words: Mapping) -> None:
        self._path, self._file, self._layout, self._words = path, file, layout, words
        self.rows, self.totals, self.finished = 0, Totals(), False

    @property
    def cut(self) -> int:
        """Number of texts that were cut, because a cell of an .xlsx cannot have them whole."""
        return self._file.cut

    def write(self, batch: pa.Table) -> None:
        """Add rows.

        Parameters
        ----------
        batch : Table
            The input's columns, then ours as in `own_schema`.

        Raises
        ------
        UserError
            The disk is full, or a sheet cannot have so many rows.
        """
        said = say_batch(batch, self._layout, self._words)
        self.rows += batch.num_rows
        check_size(self._path, self.rows, batch.num_columns)
        self.totals.add(batch)
        with telling(self._path):
            self._file.write(said, batch["decision"].to_pylist())

    def finish(self, made_by: Sequence[tuple[str, object]]) -> None:
        """End the file, with totals and what made the sheet where it has a place for them.

        Parameters
        ----------
        made_by : sequence of (str, object)
            Names with a text or a number; no clock, host or absolute path.
        """
        with telling(self._path):
            self._file.finish(self.totals, made_by)
        self.finished = True


@contextmanager
def review_writer(path: Path, layout: Layout, words: Mapping) -> Iterator[Review]:
    """Yield what writes a review sheet; the file appears at `path` when the block ends well.

    Every batch is given to ``write``, and at the end what made the sheet to ``finish``. Memory does
    not grow with the rows.

    Raises
    ------
    UserError
        The file cannot be written or is there already, or the result is too large for a sheet.
    """
    ending = check_ending(path)
    check_size(path, 0, len(layout.inputs) + len(own_schema(layout.fields)))
    with new_file(path) as partial:
        with telling(path):
            file = _open(ending, partial, layout, words)
        review = Review(path, file, layout, words)
        try:
            yield review
        finally:
            with telling(path):
                file.close()
        if not review.finished:
            raise RuntimeError("the review sheet was not finished")


def _open(ending: str, path: Path, layout: Layout, words: Mapping) -> File:
    if ending == ".xlsx":
        return XlsxFile(path, layout, words)
    schema = said_schema(layout, words)
    return CsvFile(path, schema) if ending == ".csv" else ParquetFile(path, schema)
