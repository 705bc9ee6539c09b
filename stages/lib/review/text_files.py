"""Write a review sheet as .csv or .parquet, batch by batch."""

import csv
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.errors import UserError
from stages.lib.review.columns import text_of, value_of
from stages.lib.spreadsheet import spreadsheet_cell
from stages.lib.tables import table_writers

# Every text that `spreadsheet_cell` changes matches this.
_PERHAPS_FORMULA = r"^ *[=+\-@\t\r\n＝＋－＠]"
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def _csv_texts(column: pa.ChunkedArray) -> list[str | None]:
    if pc.any(pc.match_substring_regex(column, _PERHAPS_FORMULA)).as_py():
        return list(map(spreadsheet_cell, column.to_pylist()))
    return column.to_pylist()


def csv_cells(column: pa.ChunkedArray) -> list:
    """Return the cells of a column: days as 2024-05-31, texts that are no formulas.

    The cells of the file's own days and numbers are as they are in it, if that is no formula.
    """
    values = value_of(column)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values).to_pylist()
    elif pa.types.is_integer(values.type):
        values = values.to_pylist()
    else:
        values = _csv_texts(values.cast(pa.string()))
    if not pa.types.is_struct(column.type):
        return values
    texts = text_of(column).to_pylist()
    return [_own_cell(*pair) for pair in zip(values, texts, strict=True)]


def _own_cell(value: object, text: str | None) -> object:
    cell = spreadsheet_cell(text)
    if cell == text or value is None:
        return cell
    return text if _NUMBER.fullmatch(text) else value


class CsvFile:
    """A .csv in UTF-8 that Excel reads."""

    cut = 0

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = open(path, "w", encoding="utf-8-sig", newline="")  # noqa: SIM115
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(map(spreadsheet_cell, schema.names))

    def write(self, said: pa.Table, decisions: Sequence[str]) -> None:
        """Add rows."""
        self._csv.writerows(zip(*map(csv_cells, said.columns), strict=True))

    def finish(self, *_: object) -> None:
        """End the file; it has no place for totals."""
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class ParquetFile:
    """A typed .parquet whose pages and footer have checksums.

    Columns of the input that have values and texts keep their texts: what the model saw is typed.
    """

    cut = 0

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        fields = [
            field.with_type(pa.string()) if pa.types.is_struct(field.type) else field
            for field in schema
        ]
        self._path, self._schema, self._stack = path, pa.schema(fields), ExitStack()
        (self._table,) = self._stack.enter_context(table_writers({path: self._schema}))

    def write(self, said: pa.Table, decisions: Sequence[str]) -> None:
        """Add rows."""
        columns = [
            text_of(column) if pa.types.is_struct(column.type) else column
            for column in said.columns
        ]
        self._table.write(pa.Table.from_arrays(columns, schema=self._schema))

    def finish(self, *_: object) -> None:
        """End the file; it has no place for totals."""
        self.close()

    def close(self) -> None:
        """Release the file."""
        try:
            self._stack.close()
        except UserError as error:  # it names a temporary file
            raise error.__cause__ or error from None
