"""Read from a packed workbook (.xlsx, .xlsb, .ods) what python-calamine does not tell."""

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stages.lib.errors import first_line
from stages.lib.ledger import error_cells, hidden_rows
from stages.lib.ledger.day_counts import DAY_ZERO, DAY_ZERO_1904
from stages.lib.ledger.workbook_parts import find_parts

# What zipfile raises for a damaged archive, and our readers for a damaged sheet. A ValueError is a
# name that is not UTF-8 or a place before the beginning. A NotImplementedError is a compression or
# a version that zipfile does not know.
_DAMAGED = (
    *(OSError, EOFError, ValueError, NotImplementedError, IndexError),
    *(zlib.error, lzma.LZMAError, struct.error),
)
# The bit in the flags of a packed part that says that it is encrypted (APPNOTE.TXT, 4.4.4).
_ENCRYPTED = 1
# Parts up to this many bytes are read at once.
_LARGE = 1 << 26
_LONGEST_MARK = 128
# Of a worksheet: whether it may have error cells, or hidden rows; how to show and find them.
_XLSX = (
    error_cells.may_have_errors_xlsx,
    hidden_rows.may_hide_rows_xlsx,
    error_cells.show_errors_xlsx,
    hidden_rows.hidden_rows_xlsx,
)
_XLSB = (
    error_cells.may_have_errors_xlsb,
    hidden_rows.may_hide_rows_xlsb,
    error_cells.show_errors_xlsb,
    hidden_rows.hidden_rows_xlsb,
)
_ODS_CONTENT = "content.xml"
_ODS_DAY_ZERO = re.compile(rb"<table:null-date\b[^>]*table:date-value=\"(\d{4}-\d\d-\d\d)")


class PackedBook(NamedTuple):
    """A packed workbook that python-calamine reads as it is meant.

    Attributes
    ----------
    content : bytes
        The workbook, with text such as #N/A in place of error cells.
    hidden : dict of int to set of int
        The hidden rows (from 1) of each sheet (from 0) that has any.
    day_zero : date
        The day from which the workbook counts days.
    """

    content: bytes
    hidden: dict[int, set[int]]
    day_zero: date


@contextmanager
def packed(file: Path | BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading.

    Raises
    ------
    zipfile.BadZipFile
        It is damaged, has encrypted parts, or is packed in a way that zipfile does not know.
    """
    try:
        with zipfile.ZipFile(file) as book:
            if any(part.flag_bits & _ENCRYPTED for part in book.infolist()):
                raise zipfile.BadZipFile("it has encrypted parts")
            yield book
    except _DAMAGED as error:
        raise zipfile.BadZipFile(first_line(error)) from None


def read_packed(content: bytes) -> PackedBook:
    """Return the packed workbook `content`, rewritten in memory only where it has to be.

    Raises
    ------
    zipfile.BadZipFile
        As `packed` does. A workbook that python-calamine can open but this function cannot would
        lose its error cells silently.
    """
    with packed(io.BytesIO(content)) as book:
        if _ODS_CONTENT in book.namelist():
            changed, hidden, day_zero = _read_ods(book)
        else:
            changed, hidden, day_zero = _read_sheets(book)
        return PackedBook(_rewritten(book, changed) if changed else content, hidden, day_zero)


def _rewritten(book: zipfile.ZipFile, changed: dict[str, bytes]) -> bytes:
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as written:
        for name in book.namelist():
            written.writestr(name, changed.get(name) or book.read(name))
    return copy.getvalue()


def _search(
    book: zipfile.ZipFile, name: str, *tests: Callable[[bytes], bool]
) -> tuple[bytes, list[bool]]:
    """Return a part and which tests it passes; the part is empty if it passes none."""
    if book.getinfo(name).file_size <= _LARGE:  # twice as fast as in pieces
        part = book.read(name)
        found = [test(part) for test in tests]
        return (part if any(found) else b""), found
    tail, found = b"", [False] * len(tests)
    with book.open(name) as file:
        while piece := file.read(_LARGE):
            found = [f or t(tail + piece) for f, t in zip(found, tests, strict=True)]
            tail = piece[-_LONGEST_MARK:]
    return (book.read(name) if any(found) else b""), found


def _read_ods(book: zipfile.ZipFile) -> tuple[dict, dict, date]:
    part, (has_errors, hides, has_day) = _search(
        book,
        _ODS_CONTENT,
        error_cells.may_have_errors_ods,
        hidden_rows.may_hide_rows_ods,
        lambda piece: _ODS_DAY_ZERO.search(piece) is not None,
    )
    day_zero = date.fromisoformat(_ODS_DAY_ZERO.search(part)[1].decode()) if has_day else DAY_ZERO
    return (
        {_ODS_CONTENT: error_cells.show_errors_ods(part)} if has_errors else {},
        hidden_rows.hidden_rows_ods(part) if hides else {},
        day_zero,
    )


def _read_sheets(book: zipfile.ZipFile) -> tuple[dict, dict, date]:
    parts = find_parts(book)
    changed, hidden = dict(parts.corrected), {}
    may_have_errors, may_hide_rows, show_errors, find_hidden = _XLSB if parts.is_binary else _XLSX
    for name in sorted(parts.worksheets):
        part, (has_errors, hides) = _search(book, name, may_have_errors, may_hide_rows)
        if has_errors:
            changed[name] = show_errors(part)
        if hides and (rows := find_hidden(part)):
            hidden |= {n: rows for n, sheet in enumerate(parts.sheets) if sheet == name}
    return changed, hidden, DAY_ZERO_1904 if parts.counts_from_1904 else DAY_ZERO
