"""Show what python-calamine overlooks in workbooks: error cells, which it reads as empty ones, and
the tabs and line breaks of OpenDocument.

An #N/A is no empty cell: a transaction with one in place of its amount or account would be lost
without a word. Where a workbook has any, packed formats (.xlsx, .xlsb, .ods) are rewritten in
memory with text in their place; of .xls files, the places of the errors are listed.
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

_ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
# What a damaged archive makes zipfile raise, and a damaged sheet the readers of its records. The
# ValueErrors are a name that is no UTF-8 and a place before the beginning; what is not implemented
# is a compression or a version.
_DAMAGED = (
    *(OSError, EOFError, ValueError, NotImplementedError, IndexError),
    *(zlib.error, lzma.LZMAError, struct.error),
)
# The bit of a packed part's flags that says that it is encrypted (APPNOTE.TXT, 4.4.4).
_ENCRYPTED = 1
# Bytes of a part that are held in memory.
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
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from None


def _of_xlsx(sheet: bytes) -> bytes:
    for error, text in ((b't="e"', b't="str"'), (b"t='e'", b"t='str'")):
        # Errors are few, cells are many: the tag is looked for from its attribute.
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
        # A cell with an error (3) or a formula that gives one (11) becomes one with text (6).
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
# By a part's name: what tells whether it may have errors, and what shows them.
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
    tabs and line breaks; where it has none, `content` itself.

    Errors as of `packed`: a workbook that its reader can open and this cannot would lose its error
    cells without a word.
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


# Workbooks of Excel 97


def _chain(table: list[int], sector: int) -> Iterator[int]:
    for _ in range(len(table)):
        if sector >= len(table):
            return
        yield sector
        sector = table[sector]


def _book_stream(content: bytes) -> bytes:
    """Return the stream of an OLE2 file (MS-CFB) that holds the workbook; empty if none does."""
    size = 1 << struct.unpack_from("<H", content, 30)[0]
    per_sector = size // 4

    def sector(number: int) -> bytes:
        return content[(number + 1) * size : (number + 2) * size]

    def numbers(block: bytes) -> list[int]:
        return list(struct.unpack(f"<{len(block) // 4}I", block[: len(block) // 4 * 4]))

    lists = numbers(content[76:512])
    more, left = struct.unpack_from("<II", content, 68)
    for _ in range(min(left, len(content) // size)):
        block = numbers(sector(more))
        lists += block[: per_sector - 1]
        more = block[per_sector - 1]
    table = [n for s in lists if s < len(content) // size for n in numbers(sector(s))]
    folder = b"".join(map(sector, _chain(table, struct.unpack_from("<I", content, 48)[0])))
    entries = {}
    for place in range(0, len(folder) - 127, 128):
        length = struct.unpack_from("<H", folder, place + 64)[0]
        name = folder[place : place + max(0, length - 2)].decode("utf-16-le", "replace")
        entries[name] = struct.unpack_from("<II", folder, place + 116)
    start, length = entries.get("Workbook") or entries.get("Book") or (0, 0)
    if length >= 4096:
        return b"".join(map(sector, _chain(table, start)))[:length]
    # Short streams lie in 64-byte pieces of the first entry's stream.
    pieces = b"".join(map(sector, _chain(table, entries.get("Root Entry", (0, 0))[0])))
    first = struct.unpack_from("<I", content, 60)[0]
    small = numbers(b"".join(map(sector, _chain(table, first))))
    return b"".join(pieces[p * 64 : p * 64 + 64] for p in _chain(small, start))[:length]


# One pattern each, so that both are searched for by their first bytes.
_BOOLERR = re.compile(rb"\x05\x02\x08\x00.{7}\x01", re.S)
_FORMULA = re.compile(rb"\x06\x00.{8}\x02.{5}\xff\xff", re.S)


def list_errors(content: bytes) -> dict[int, dict[tuple[int, int], str]]:
    """Return the errors of an Excel 97 workbook: ``{sheet: {(row, column): text}}``, all from 0.

    Raises
    ------
    struct.error, IndexError
        The file is damaged.
    """
    book = _book_stream(content)
    if not _BOOLERR.search(book) and not _FORMULA.search(book):
        return {}
    sheets = [
        struct.unpack_from("<I", book, at)[0] for kind, at in _records(book, 0) if kind == 0x85
    ]
    found = {}
    for number, start in enumerate(sheets):
        errors = {}
        for kind, at in _records(book, start):
            code = None
            if kind == 0x205 and book[at + 7] == 1:  # BOOLERR
                code = book[at + 6]
            elif kind == 6 and book[at + 6] == 2 and book[at + 12 : at + 14] == b"\xff\xff":
                code = book[at + 8]  # FORMULA
            if code is not None:
                errors[struct.unpack_from("<HH", book, at)] = _ERRORS.get(code, "#UNKNOWN!")
        if errors:
            found[number] = errors
    return found


def _records(book: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield type and place of the records of one substream (MS-XLS); a chart inside of a sheet has
    its own begin and end."""
    depth, head = 0, struct.Struct("<HH").unpack_from
    while at + 4 <= len(book):
        kind, size = head(book, at)
        yield kind, at + 4
        if kind == 0x809 or kind == 0x00A:
            depth += 1 if kind == 0x809 else -1
            if not depth:
                return
        at += 4 + size
