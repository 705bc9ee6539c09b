"""Write a table as .xlsx: typed cells, a header that stays in view, filters.

XlsxWriter keeps one row in memory. The bytes depend on the content alone, and a text is never run
as a formula.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.review.sheet_cells import CellWidths, sheet_cells, sheet_text
from stages.lib.tables import replace_file

# XlsxWriter would take the clock.
CREATED = datetime(2000, 1, 1)
OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}
# Rows of one sheet, below its header; Excel has 1,048,576 in all.
SHEET_ROWS = 1_000_000
ROWS_AT_ONCE = 2_000
EVERYWHERE = "A1:XFD1048576"
SHARES = ("probability", "probability_2", "probability_3", "label_probability")


def _kind(field: pa.Field) -> str:
    if pa.types.is_date(field.type):
        return "yyyy-mm-dd"
    if pa.types.is_integer(field.type):
        return "0"
    if pa.types.is_floating(field.type):
        return "0.0%" if field.name in SHARES else "#,##0.00"
    return "@"


def unique_titles(titles: list[str], again: str) -> list[str]:
    """Return titles of which no two are equal, as a spreadsheet's filters want them.

    Parameters
    ----------
    titles : list of str
    again : str
        The form of a title that was there before, with {title} and {number}.
    """
    found: list[str] = []
    for title in titles:
        new, number = title, 1
        while new in found:
            number += 1
            new = again.format(title=title, number=number)
        found.append(new)
    return found


def write_book(table: pa.Table, path: Path, name: str, words: Mapping) -> None:
    """Write `table` to an .xlsx file.

    Parameters
    ----------
    table : Table
        Its columns are texts, numbers, dates and truth values.
    path : Path
    name : str
        Of the sheet. A table that is longer than a sheet has several, with numbers.
    words : mapping
        Titles of the columns by key; a column without one is a column of the ledger.
    """
    from xlsxwriter import Workbook

    table = _with_words(table, words["truth"])
    titles = [words["titles"].get(key, key) for key in table.column_names]
    titles = unique_titles(titles, words["again"])
    starts = range(0, max(table.num_rows, 1), SHEET_ROWS)
    options = {**OPTIONS, "tmpdir": str(path.parent)}
    with replace_file(path) as partial, Workbook(str(partial), options) as book:
        book.set_properties({"created": CREATED})
        for number, start in enumerate(starts, 1):
            said = words["sheets"]["next"].format(name=name, number=number)
            sheet = book.add_worksheet(name if number == 1 else said)
            _write_sheet(book, sheet, table.slice(start, SHEET_ROWS), titles)


def _with_words(table: pa.Table, truth: Mapping) -> pa.Table:
    """Return `table` with words for truth values, and texts for what is encoded."""
    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_boolean(field.type):
            column = pc.if_else(column, truth["yes"], truth["no"])
        elif pa.types.is_dictionary(field.type):
            column = column.cast(pa.string())
        columns[field.name] = column
    return pa.table(columns)


def _write_sheet(book, sheet, table: pa.Table, titles: list[str]) -> None:
    """Write header and rows; parameters of xlsxwriter, which is imported where it is used."""
    header = book.add_format({"bold": True, "bottom": 1, "bg_color": "#1F4E78", "color": "#FFFFFF"})
    formats = [
        # Else a text touches the number on its left.
        book.add_format(
            {"num_format": kind, **({"align": "left", "indent": 1} if kind == "@" else {})}
        )
        for kind in map(_kind, table.schema)
    ]
    widths = CellWidths(titles)
    widths.add(table)
    for place, (width, format_) in enumerate(zip(widths.of_columns(), formats, strict=True)):
        sheet.set_column(place, place, width, format_)
    for place, title in enumerate(titles):
        sheet.write_string(0, place, sheet_text(title), header)
    writers = [_writer(sheet, field) for field in table.schema]
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        part = table.slice(start, ROWS_AT_ONCE)
        cells = [sheet_cells(column)[0] for column in part.columns]
        for number, row in enumerate(zip(*cells, strict=True), start + 1):
            for place, (write, value) in enumerate(zip(writers, row, strict=True)):
                if value is not None and value != "":
                    write(number, place, value)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(table.num_rows, 1), len(titles) - 1)
    sheet.set_landscape()
    sheet.repeat_rows(0)
    sheet.ignore_errors({"number_stored_as_text": EVERYWHERE})


def _writer(sheet, field: pa.Field) -> Callable[[int, int, object], None]:
    if pa.types.is_string(field.type):
        return sheet.write_string

    def write(row: int, place: int, value: object) -> None:
        # A day or number that a spreadsheet does not have is a text.
        (sheet.write_string if isinstance(value, str) else sheet.write_number)(row, place, value)

    return write
