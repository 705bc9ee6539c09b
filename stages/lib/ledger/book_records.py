"""Walk through the records of binary workbooks: .xls (MS-XLS) and .xlsb (MS-XLSB)."""

import io
import struct
from collections.abc import Iterator

from xlrd.compdoc import CompDoc, CompDocError

# What reading a damaged .xls file raises, also by xlrd: a place beyond the end, a number that no
# table has, text that is not in its encoding, sectors of two bytes, a folder inside itself.
OLD_DAMAGED = (
    *(CompDocError, AssertionError, struct.error, LookupError, ValueError),
    *(ArithmeticError, RecursionError),
)


def packed_records(part: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the records of a part of an .xlsb workbook: head, first byte of the type, and body."""
    place = 0
    while place < len(part):
        start, kind = place, part[place]
        place += 1 + (kind > 127)
        size = shift = 0
        while True:
            byte = part[place]
            place, size, shift = place + 1, size | (byte & 127) << shift, shift + 7
            if byte < 128 or shift > 21:
                break
        yield part[start:place], kind, part[place : place + size]
        place += size


def old_stream(content: bytes) -> bytes:
    """Return the stream of records of an .xls file; it is empty if there is none.

    Raises
    ------
    OLD_DAMAGED
    """
    document = CompDoc(content, logfile=io.StringIO(), ignore_workbook_corruption=True)
    for name in ("Workbook", "Book"):
        stream, start, size = document.locate_named_stream(name)
        if stream:
            return stream[start : start + size]
    return b""


def old_records(stream: bytes, place: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of the records of an .xls file, from `place` to the end of that sheet."""
    depth = 0
    while place + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, place)
        yield kind, stream[place + 4 : place + 4 + size]
        # A chart within a sheet has a beginning (BOF) and an end (EOF) of its own.
        depth += (kind == 0x0809) - (kind == 0x000A)
        if depth <= 0:
            return
        place += 4 + size
