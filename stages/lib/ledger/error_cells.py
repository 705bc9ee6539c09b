"""Show what python-calamine does not: error cells, which it reads as empty, and the tabs and line
breaks of OpenDocument.

An #N/A is not an empty cell: a transaction that has one instead of its amount or account would be
lost silently. A packed workbook (.xlsx, .xlsb, .ods) with such cells is rewritten in memory, with
text in their place. For .xls files, `list_errors` says where they are.
"""

import io
import re
import struct

import xlrd

from stages.lib.errors import first_line
from stages.lib.ledger.book_records import OLD_DAMAGED, old_stream, packed_records

_ERRORS = {**xlrd.error_text_from_code, 0x2B: "#GETTING_DATA"}
# Type and length of the record, a column below 65536, a style, a code of _ERRORS.
_XLSB_MARK = re.compile(
    rb"(?:\x03\x09|\x0b(?:[\x0b-\x7f]|[\x80-\xff][\x01-\x7f]))..\x00\x00.{4}"
    rb"[\x00\x07\x0f\x17\x1d\x24\x2a\x2b]",
    re.S,
)

# Packed workbooks


def may_have_errors_xlsx(part: bytes) -> bool:
    """Return whether a worksheet of an .xlsx workbook, or a piece of it, may have error cells."""
    return b't="e"' in part or b"t='e'" in part


def show_errors_xlsx(sheet: bytes) -> bytes:
    """Return a worksheet of an .xlsx workbook with text in place of error cells."""
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


def may_have_errors_ods(content: bytes) -> bool:
    """Return whether the content of an .ods workbook, or a piece of it, may have error cells, tabs
    or line breaks."""
    return any(m in content for m in (b'type="error"', b"<text:tab", b"<text:line-break"))


def show_errors_ods(sheet: bytes) -> bytes:
    """Return the content of an .ods workbook with text in place of error cells, and with tabs and
    line breaks."""
    cell = rb"<table:table-cell\b[^<>]*calcext:value-type=\"error\"[^<>]*>"
    for mark, white in ((b"tab", b"\t"), (b"line-break", b"\n")):
        sheet = re.sub(rb"<text:" + mark + rb"\b[^<>]*/>", white, sheet)
    return re.sub(
        cell, lambda tag: re.sub(rb"\soffice:string-value=\"[^\"]*\"", b"", tag[0]), sheet
    )


def may_have_errors_xlsb(part: bytes) -> bool:
    """Return whether a worksheet of an .xlsb workbook, or a piece of it, may have error cells."""
    return _XLSB_MARK.search(part) is not None


def show_errors_xlsb(sheet: bytes) -> bytes:
    """Return a worksheet of an .xlsb workbook with text in place of error cells."""
    written = []
    for head, kind, body in packed_records(sheet):
        # A cell with an error (3), or with a formula that has one (11), becomes one with text (6).
        if kind in (3, 11) and len(body) > 8:
            text = _ERRORS.get(body[8], "#UNKNOWN!")
            body = body[:8] + struct.pack("<I", len(text)) + text.encode("utf-16-le")
            head = bytes([6, len(body)])
        written.append(head + body)
    return b"".join(written)


# Workbooks of Excel 97 to 2003

# The records BOOLERR and FORMULA with an error in them (MS-XLS 2.4.24, 2.4.127). One pattern each,
# so that both are searched for by their first bytes.
_BOOLERR = re.compile(rb"\x05\x02\x08\x00.{7}\x01", re.S)
_FORMULA = re.compile(rb"\x06\x00.{8}\x02.{5}\xff\xff", re.S)


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
    except OLD_DAMAGED as error:
        raise xlrd.XLRDError(first_line(error)) from None


def _may_have_errors(content: bytes) -> bool:
    # To search the stream is 60 times as fast as to parse it.
    stream = old_stream(content)
    return any(mark.search(stream) for mark in (_BOOLERR, _FORMULA))


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
