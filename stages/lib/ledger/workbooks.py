"""Read workbooks: .xlsx, .xlsb, .xls and .ods."""

import io
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

from xlrd import XLRDError

from stages.lib.errors import UserError, first_line
from stages.lib.ledger.book_records import OLD_DAMAGED, old_stream
from stages.lib.ledger.day_counts import day_zero_xls
from stages.lib.ledger.error_cells import list_errors
from stages.lib.ledger.hidden_rows import hidden_rows_xls
from stages.lib.ledger.opening import damaged
from stages.lib.ledger.packed_books import packed, read_packed
from stages.lib.ledger.source import OLE2, fits_any

# Where the last cell of a sheet is, is said near the beginning of the sheet.
_CORNER = re.compile(rb'<(?:\w+:)?dimension ref="\w+:([A-Z]{1,3})(\d{1,7})"')
_HEAD_BYTES = 4096
_MANY_CELLS = 10_000_000


def may_kill_its_reader(path: Path) -> bool:
    """Return whether the reader of the workbook at `path` may ask for a terabyte of memory and die
    with its process. A workbook of Excel 97 may be corrupt. One of today may have a cell in the
    farthest corner, and the reader makes all cells up to there."""
    try:
        with open(path if path.is_file() else os.devnull, "rb") as file:
            if file.read(8) == OLE2:
                return True
            with packed(file) as book:
                heads = [book.open(part).read(_HEAD_BYTES) for part in book.namelist()]
    except (OSError, zipfile.BadZipFile):
        return False  # it is refused before its reader sees it
    corners = filter(None, map(_CORNER.search, heads))
    return any(26 ** (len(c[1]) - 1) * int(c[2]) > _MANY_CELLS for c in corners)


@contextmanager
def _silent() -> Iterator[None]:
    """Discard what is written to the standard error stream: there the reader prints a traceback of
    its own crashes before they can be caught."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _is_archive(path: Path) -> bool:
    try:
        with packed(path) as book:
            return not {"[Content_Types].xml", "content.xml"} & set(book.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


@contextmanager
def _errors_in_one_line(path: Path) -> Iterator[None]:
    import python_calamine as calamine

    try:
        yield
    except calamine.PasswordError:
        raise UserError(
            "file-locked", path, "is locked with a password", "save a copy without one"
        ) from None
    except calamine.CalamineError as error:
        if _is_archive(path):
            raise UserError(
                "file-packed", path, "is a zip archive and not a workbook", "unpack it"
            ) from None
        raise damaged(path, error) from None
    except (OSError, zipfile.BadZipFile, XLRDError) as error:
        raise damaged(path, error) from None
    except BaseException as error:
        # The reader's own crashes arrive as a PanicException that derives from BaseException.
        if type(error).__name__ == "PanicException":
            raise damaged(path, error) from None
        raise


def _check_sheets(path: Path, names: list[str], patterns: list[str]) -> None:
    if not names:
        raise UserError("sheet-not-found", path, "has no sheets", "save it again as .xlsx")
    if not any(fits_any(name, patterns) for name in names):
        raise UserError(
            "sheet-not-found",
            path,
            f"ingest.reading has sheets {' | '.join(patterns)}, but none of its {len(names)} fits",
            "correct that, or leave the file out of ingest.files",
        )


def _with_errors(rows: Iterable[list], errors: dict[tuple[int, int], str]) -> Iterator[list]:
    by_row = defaultdict(dict)
    for (number, column), text in errors.items():
        by_row[number][column] = text
    for number, row in enumerate(rows):
        for column, text in by_row.get(number, {}).items():
            row[column] = text
        yield row


class BookSheet(NamedTuple):
    """A worksheet of a workbook.

    Attributes
    ----------
    name : str
    rows : iterator of list
        Typed cells, from row 1 and column A; none of a sheet that was not asked for.
    state : str
        "visible", "hidden" or "very hidden" (only a program can show it again).
    hidden_rows : set of int
        Rows (from 1) that are hidden by hand, by a filter, or in a closed group.
    day_zero : date
        The day from which the workbook counts days.
    """

    name: str
    rows: Iterator[list]
    state: Literal["visible", "hidden", "very hidden"]
    hidden_rows: set[int]
    day_zero: date


def _state(visible: object) -> Literal["visible", "hidden", "very hidden"]:
    from python_calamine import SheetVisibleEnum

    if visible == SheetVisibleEnum.Visible:
        return "visible"
    return "hidden" if visible == SheetVisibleEnum.Hidden else "very hidden"


def _read_old(content: bytes) -> tuple[dict[int, set[int]], date]:
    """Return the hidden rows of each sheet of an .xls workbook, and where its days begin."""
    try:
        stream = old_stream(content)
        return hidden_rows_xls(stream), day_zero_xls(stream)
    except OLD_DAMAGED as error:
        raise XLRDError(first_line(error)) from None


def workbook_sheets(path: Path, patterns: list[str]) -> Iterator[BookSheet]:
    """Yield each worksheet of the workbook at `path`.

    A sheet whose name fits none of `patterns` has no rows.

    Raises
    ------
    UserError
        ``damaged-file``, ``file-locked``, ``file-packed``; ``sheet-not-found``: none fits.
    """
    import python_calamine as calamine

    with _errors_in_one_line(path):
        content, errors = path.read_bytes(), {}
        is_packed = content.startswith(b"PK")
        if is_packed:
            content, hidden, day_zero = read_packed(content)
        with _silent():
            book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        if not is_packed:
            errors, (hidden, day_zero) = list_errors(content), _read_old(content)
        sheets = book.sheets_metadata
        _check_sheets(path, [sheet.name for sheet in sheets], patterns)
        kind = calamine.SheetTypeEnum.WorkSheet
        worksheets = [(place, sheet) for place, sheet in enumerate(sheets) if sheet.typ == kind]
        for number, (place, sheet) in enumerate(worksheets):
            about = _state(sheet.visible), hidden.get(place, set()), day_zero
            if not fits_any(sheet.name, patterns):
                yield BookSheet(sheet.name, iter(()), *about)
                continue
            with _silent():
                cells = book.get_sheet_by_name(sheet.name)
            left = [""] * cells.start[1] if cells.start else []
            rows = cells.iter_rows()
            rows = (left + row for row in rows) if left else rows
            rows = _with_errors(rows, errors[number]) if number in errors else rows
            yield BookSheet(sheet.name, rows, *about)
