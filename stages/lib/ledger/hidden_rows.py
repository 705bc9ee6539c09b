"""Find the rows of a sheet that a workbook hides: by hand, by a filter, or in a closed group.

Rows are numbered from 1. To search for a mark is much faster than to parse, so each format has a
quick test first.
"""

import re
from collections.abc import Iterator

from stages.lib.ledger.book_records import old_records, packed_records

_XLSX_HIDDEN = re.compile(rb"hidden\s*=\s*[\"'](?:1|true|on)[\"']")
_XLSX_ROW = re.compile(rb"<(?:\w+:)?row(?=[\s/>])[^>]*>")
_XLSX_NUMBER = re.compile(rb"\sr\s*=\s*[\"'](\d+)[\"']")
_ODS_HIDDEN = re.compile(rb"table:visibility=[\"'](?:collapse|filter)[\"']")
_ODS_TAGS = re.compile(rb"<table:table(?:-row)?(?=[\s/>])[^>]*>")
_ODS_REPEATED = re.compile(rb"table:number-rows-repeated=[\"'](\d+)[\"']")
# More rows than a sheet has.
_MOST_ROWS = 1 << 21
# The record BrtRowHdr (MS-XLSB 2.4.740): type, length, row, style, height, two bytes of flags with
# fDyZero set, and the number of the spans that follow.
_XLSB_ROW = re.compile(
    rb"\x00(?:[\x11\x19\x21\x29\x31\x39\x41\x49\x51\x59\x61\x69\x71\x79]|[\x80-\xff]\x01)"
    rb"..[\x00-\x0f]\x00.{3}\x00..[\x00-\x03]"
    rb"[\x10-\x1f\x30-\x3f\x50-\x5f\x70-\x7f\x90-\x9f\xb0-\xbf\xd0-\xdf\xf0-\xff]"
    rb"[\x00\x01].\x00\x00\x00",
    re.S,
)
# The record Row (MS-XLS 2.4.221), whose fDyZero is 0x20 in its 13th byte.
_XLS_ROW = re.compile(
    rb"\x08\x02\x10\x00.{12}[\x20-\x3f\x60-\x7f\xa0-\xbf\xe0-\xff][\x00\x01]", re.S
)
_ROW, _BOUNDSHEET = 0x0208, 0x0085
_XLSB_ROW_KIND = 0


def may_hide_rows_xlsx(part: bytes) -> bool:
    """Return whether a part of an .xlsx workbook, or a piece of it, may have hidden rows."""
    return b"hidden" in part and _XLSX_HIDDEN.search(part) is not None


def hidden_rows_xlsx(sheet: bytes) -> set[int]:
    """Return the hidden rows of a worksheet of an .xlsx workbook."""
    found = set()
    for mark in _XLSX_HIDDEN.finditer(sheet):
        start = sheet.rfind(b"<", 0, mark.start())
        if row := _XLSX_ROW.match(sheet, start):
            number = _XLSX_NUMBER.search(row[0])
            if not number:  # then rows are counted, which takes longer
                return {n for n, tag in _counted_rows(sheet) if _XLSX_HIDDEN.search(tag)}
            found.add(int(number[1]))
    return found


def _counted_rows(sheet: bytes) -> Iterator[tuple[int, bytes]]:
    last = 0
    for row in _XLSX_ROW.finditer(sheet):
        number = _XLSX_NUMBER.search(row[0])
        last = int(number[1]) if number else last + 1
        yield last, row[0]


def may_hide_rows_xlsb(part: bytes) -> bool:
    """Return whether a part of an .xlsb workbook, or a piece of it, may have hidden rows."""
    return _XLSB_ROW.search(part) is not None


def hidden_rows_xlsb(sheet: bytes) -> set[int]:
    """Return the hidden rows of a worksheet of an .xlsb workbook."""
    return {
        int.from_bytes(body[:4], "little") + 1
        for head, _, body in packed_records(sheet)
        if head[0] == _XLSB_ROW_KIND and len(body) > 12 and body[11] & 0x10
    }


def may_hide_rows_ods(content: bytes) -> bool:
    """Return whether the content of an .ods workbook, or a piece of it, may have hidden rows."""
    return _ODS_HIDDEN.search(content) is not None


def hidden_rows_ods(content: bytes) -> dict[int, set[int]]:
    """Return the hidden rows of each sheet (counted from 0) of an .ods workbook."""
    found, sheet, line = {}, -1, 0
    for tag in _ODS_TAGS.finditer(content):
        if not tag[0].startswith(b"<table:table-row"):
            sheet, line = sheet + 1, 0
            continue
        repeated = _ODS_REPEATED.search(tag[0])
        count = int(repeated[1]) if repeated else 1
        if _ODS_HIDDEN.search(tag[0]):
            last = min(line + count, _MOST_ROWS)
            found.setdefault(sheet, set()).update(range(line + 1, last + 1))
        line += count
    return found


def hidden_rows_xls(stream: bytes) -> dict[int, set[int]]:
    """Return the hidden rows of each sheet (counted from 0) of an .xls workbook.

    Parameters
    ----------
    stream : bytes
        As of `old_stream`.
    """
    if not _XLS_ROW.search(stream):
        return {}
    starts = [
        int.from_bytes(body[:4], "little")
        for kind, body in old_records(stream)
        if kind == _BOUNDSHEET
    ]
    found = {
        sheet: {
            int.from_bytes(body[:2], "little") + 1
            for kind, body in old_records(stream, start)
            if kind == _ROW and len(body) > 12 and body[12] & 0x20
        }
        for sheet, start in enumerate(starts)
    }
    return {sheet: rows for sheet, rows in found.items() if rows}
