"""Show what python-calamine does not: error cells, which it reads as empty, and the tabs and line
breaks of OpenDocument.

An #N/A is not an empty cell: a transaction that has one instead of its amount or account would be
lost silently. A packed workbook (.xlsx, .xlsb, .ods) with such cells is rewritten in memory, with
text in their place. For .xls files, `list_errors` says where they are.
"""

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import xlrd
from xlrd.compdoc import CompDoc, CompDocError

from stages.lib.errors import first_line

_ERRORS = {**xlrd.error_text_from_code, 0x2B: "#GETTING_DATA"}
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
_LONGEST_MARK = 32


# Packed workbooks


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


def _of_xlsx(sheet: bytes) -> bytes:
    for error, text in ((b't="e"', b't="str"'), (b"t='e'", b"t='str'")):
        # Errors are few and cells are many: the attribute is searched for, then its tag.
        first, *others = sheet.split(error)
        written = [first]
        for part in others:
            tag = written[-1][written[-1].rfind(b"<") :]
            is_cell = re.match(rb"<(?:\w+:)?c\s[^>]*$", tag)
            written += [text if is_cell else error, part]
        sheet = b"".join(written)
    return sheet


def _of_ods(sheet: bytes) -> bytes:
    cell = rb"<table:table-cell\b[^<>]*calcext:value-type=\"error\"[^<>]*>"
    for mark, white in ((b"tab", b"\t"), (b"line-break", b"\n")):
        sheet = re.sub(rb"<text:" + mark + rb"\b[^<>]*/>", white, sheet)
    return re.sub(
        cell, lambda tag: re.sub(rb"\soffice:string-value=\"[^\"]*\"", b"", tag[0]), sheet
    )


def _xlsb_records(sheet: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    place = 0
    while place < len(sheet):
        start, kind = place, sheet[place]
        place += 1 + (kind > 127)
        size = shift = 0
        while True:
            byte = sheet[place]
            place, size, shift = place + 1, size | (byte & 127) << shift, shift + 7
            if byte < 128 or shift > 21:
                break
        yield sheet[start:place], kind, sheet[place : place + size]
        place += size


def _of_xlsb(sheet: bytes) -> bytes:
    written = []
    for head, kind, body in _xlsb_records(sheet):
        # A cell with an error (3), or with a formula that has one (11), becomes one with text (6).
        if kind in (3, 11) and len(body) > 8:
            text = _ERRORS.get(body[8], "#UNKNOWN!")
            body = body[:8] + struct.pack("<I", len(text)) + text.encode("utf-16-le")
            head = bytes([6, len(body)])
        written.append(head + body)
    return b"".join(written)


# Type and length of the record, a column below 65536, a style, a code of _ERRORS.
_XLSB_MARK = re.compile(
    rb"(?:\x03\x09|\x0b(?:[\x0b-\x7f]|[\x80-\xff][\x01-\x7f]))..\x00\x00.{4}"
    rb"[\x00\x07\x0f\x17\x1d\x24\x2a\x2b]",
    re.S,
)
# By the name of a part: whether it may have errors, and how they are shown.
_PARTS: list[tuple[re.Pattern, Callable[[bytes], bool], Callable[[bytes], bytes]]] = [
    (
        re.compile(r"worksheets/[^/]*\.xml$", re.I),
        lambda part: b't="e"' in part or b"t='e'" in part,
        _of_xlsx,
    ),
    (
        re.compile(r"worksheets/(?!binaryIndex)[^/]*\.bin$"),
        lambda part: _XLSB_MARK.search(part) is not None,
        _of_xlsb,
    ),
    (
        re.compile(r"^content\.xml$"),
        lambda part: any(m in part for m in (b'type="error"', b"<text:tab", b"<text:line-break")),
        _of_ods,
    ),
]


def _holds(book: zipfile.ZipFile, part: zipfile.ZipInfo, mark: Callable[[bytes], bool]) -> bool:
    if part.file_size <= _LARGE:  # twice as fast as in pieces
        return mark(book.read(part))
    tail = b""
    with book.open(part) as file:
        while chunk := file.read(_LARGE):
            if mark(tail + chunk):
                return True
            tail = chunk[-_LONGEST_MARK:]
    return False


def show_errors(content: bytes) -> bytes:
    """Return the packed workbook `content` with text such as #N/A in place of error cells, and with
    tabs and line breaks. If it has none of these, `content` itself is returned.

    Raises
    ------
    zipfile.BadZipFile
        As `packed` does. A workbook that python-calamine can open but this function cannot would
        lose its error cells silently.
    """
    with packed(io.BytesIO(content)) as book:
        shown = {}
        for part in book.infolist():
            for fits, mark, show in _PARTS:
                if fits.search(part.filename) and _holds(book, part, mark):
                    shown[part.filename] = show(book.read(part))
        if not shown:
            return content
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as written:
            for name in book.namelist():
                written.writestr(name, shown.get(name) or book.read(name))
        return copy.getvalue()


# Workbooks of Excel 97 to 2003

# The records BOOLERR and FORMULA with an error in them (MS-XLS 2.4.24, 2.4.127). One pattern each,
# so that both are searched for by their first bytes.
_BOOLERR = re.compile(rb"\x05\x02\x08\x00.{7}\x01", re.S)
_FORMULA = re.compile(rb"\x06\x00.{8}\x02.{5}\xff\xff", re.S)
# What xlrd raises for damaged files: a place beyond the end, a number that no table has, text that
# is not in its encoding, sectors of two bytes, a folder inside itself.
_XLRD_DAMAGED = (
    *(CompDocError, AssertionError, struct.error, LookupError, ValueError),
    *(ArithmeticError, RecursionError),
)


def list_errors(content: bytes) -> dict[int, dict[tuple[int, int], str]]:
    """Return the error cells of the worksheets of an .xls file.

    Returns
    -------
    dict
        ``{worksheet: {(row, column): text}}``, all counted from 0; a worksheet without errors is
        missing. Chart and macro sheets are not counted.

    Raises
    ------
    xlrd.XLRDError
        The file is damaged.
    """
    try:
        return _sheet_errors(content) if _may_have_errors(content) else {}
    except _XLRD_DAMAGED as error:
        raise xlrd.XLRDError(first_line(error)) from None


def _may_have_errors(content: bytes) -> bool:
    # To search the stream is 60 times as fast as to parse it.
    document = CompDoc(content, logfile=io.StringIO(), ignore_workbook_corruption=True)
    for name in ("Workbook", "Book"):
        stream, start, size = document.locate_named_stream(name)
        if stream:
            return any(mark.search(stream, start, start + size) for mark in (_BOOLERR, _FORMULA))
    return False


def _sheet_errors(content: bytes) -> dict[int, dict[tuple[int, int], str]]:
    with xlrd.open_workbook(
        file_contents=content,
        logfile=io.StringIO(),
        on_demand=True,
        ragged_rows=True,  # one cell in the last row and column would fill 16 million others
        ignore_workbook_corruption=True,
    ) as book:
        found = {}
        for number in range(book.nsheets):
            sheet = book.sheet_by_index(number)
            found[number] = {
                (row, column): _ERRORS.get(sheet.cell_value(row, column), "#UNKNOWN!")
                for row in range(sheet.nrows)
                for column, kind in enumerate(sheet.row_types(row))
                if kind == xlrd.XL_CELL_ERROR
            }
            book.unload_sheet(number)
    return {number: errors for number, errors in found.items() if errors}
