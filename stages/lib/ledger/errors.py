"""Show the error cells of workbooks, which python-calamine reads as empty ones.

An #N/A is no empty cell: a transaction with one in place of its amount or account would be lost
without a word. Where a workbook has any, packed formats (.xlsx, .xlsb, .ods) are rewritten in
memory with text in their place; of .xls files, the places of the errors are listed.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

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
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, IndexError, struct.error)
_UNKNOWN = (NotImplementedError, RuntimeError)
_CHUNK = 1 << 20
_LONGEST_MARK = 32


# Packed workbooks


def _of_xlsx(sheet: bytes) -> bytes:
    return re.sub(rb"(<(?:\w+:)?c\b[^<>]*\st=)([\"'])e\2", rb"\1\2str\2", sheet)


def _of_ods(sheet: bytes) -> bytes:
    cell = rb"<table:table-cell\b[^<>]*calcext:value-type=\"error\"[^<>]*>"
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
# By the end of a part's name: bytes that a sheet with errors has, and what shows them.
_PARTS: list[tuple[re.Pattern, re.Pattern, Callable[[bytes], bytes]]] = [
    (re.compile(r"worksheets/[^/]*\.xml$"), re.compile(rb"\st=[\"']e[\"']"), _of_xlsx),
    (re.compile(r"worksheets/(?!binaryIndex)[^/]*\.bin$"), _XLSB_MARK, _of_xlsb),
    (re.compile(r"^content\.xml$"), re.compile(rb"value-type=\"error\""), _of_ods),
]


def _holds(part: io.BufferedIOBase, mark: re.Pattern) -> bool:
    tail = b""
    while chunk := part.read(_CHUNK):
        if mark.search(tail + chunk):
            return True
        tail = chunk[-_LONGEST_MARK:]
    return False


def show_errors(content: bytes) -> bytes:
    """Return the packed workbook `content` with text such as #N/A in place of error cells; without
    error cells, or where it cannot be unpacked, `content` itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            shown = {}
            for name in book.namelist():
                for fits, mark, show in _PARTS:
                    if fits.search(name):
                        with book.open(name) as part:
                            if _holds(part, mark):
                                shown[name] = show(book.read(name))
            if not shown:
                return content
            copy = io.BytesIO()
            with zipfile.ZipFile(copy, "w") as written:
                for name in book.namelist():
                    written.writestr(name, shown.get(name) or book.read(name))
            return copy.getvalue()
    except (*_DAMAGED, *_UNKNOWN):
        return content  # whose reader says what is wrong with it


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


_CANDIDATE = re.compile(
    rb"\x05\x02\x08\x00.{6}[\x00\x07\x0f\x17\x1d\x24\x2a\x2b]\x01|\x06\x00.{8}\x02.{5}\xff\xff",
    re.S,
)


def list_errors(content: bytes) -> dict[int, dict[tuple[int, int], str]]:
    """Return the errors of an Excel 97 workbook: ``{sheet: {(row, column): text}}``, all from 0.

    Raises
    ------
    struct.error, IndexError
        The file is damaged.
    """
    book = _book_stream(content)
    if not _CANDIDATE.search(book):
        return {}
    sheets = [struct.unpack_from("<I", body)[0] for kind, body in _records(book, 0) if kind == 0x85]
    found = {}
    for number, start in enumerate(sheets):
        errors = {}
        for kind, body in _records(book, start):
            code = None
            if kind == 0x205 and body[7] == 1:  # BOOLERR
                code = body[6]
            elif kind == 0x006 and body[6] == 2 and body[12:14] == b"\xff\xff":  # FORMULA
                code = body[8]
            if code is not None:
                errors[struct.unpack_from("<HH", body)] = _ERRORS.get(code, "#UNKNOWN!")
        if errors:
            found[number] = errors
    return found


def _records(book: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of the records of one substream (MS-XLS), of which the parts of a
    chart have their own begin and end."""
    depth = 0
    while place + 4 <= len(book):
        kind, size = struct.unpack_from("<HH", book, place)
        yield kind, book[place + 4 : place + 4 + size]
        depth += (kind == 0x809) - (kind == 0x00A)
        if not depth:
            return
        place += 4 + size
