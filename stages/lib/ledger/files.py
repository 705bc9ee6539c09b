"""Read the files that ledgers come in, whatever they are called, as rows of text.

What a file is shows in its first bytes, not in its name. Every cell becomes text without a change
of meaning: numbers of a workbook in their shortest form (2401.0 is '2401'), dates as ISO text.
Text files are cut into blocks of whole lines, so that several processes can read one file.
"""

import csv
import io
import math
import os
import re
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from hashlib import blake2b, file_digest
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
from xlrd import XLRDError

from stages.lib.errors import UserError
from stages.lib.ledger.error_cells import list_errors, packed, show_errors
from stages.lib.ledger.opening import DAMAGED, damaged, unpacked

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
# The last two: double quotes with \" for one inside, as databases export, and double quotes with
# a space in front.
QUOTES = {"double": '"', "none": "", "single": "'", "backslash": '\\"', "spaced": ' "'}
BLOCK_CHARS = 8_000_000
LONGEST_RECORD_CHARS = 8_000_000
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Where the last cell of a sheet stands is said near its beginning.
_CORNER = re.compile(rb'<dimension ref="\w+:([A-Z]{1,3})(\d{1,7})"')
_HEAD_BYTES = 4096
_MANY_CELLS = 10_000_000

# A cell may be as long as a block; an unclosed quote is found by other means.
csv.field_size_limit(1 << 30)


class Block(NamedTuple):
    """Whole lines of a text file: `text` begins on line `line` (1-based) and uses "\\n" only.

    `end` is how far the file had been read, in bytes.
    """

    text: str
    line: int
    end: int


class Records(NamedTuple):
    """The records of a block, and what could not be read as one.

    `rows[i]` begins on line `lines[i]`. `broken` holds (line, raw text) of lines whose quotes
    make no sense. `rest` is the block that begins with the record left open at the end, if any.
    """

    rows: list[list[str]]
    lines: list[int]
    broken: list[tuple[int, str]]
    rest: Block | None


def fits(name: str, pattern: str) -> bool:
    """Return whether the name of a file or sheet is `pattern`, or matches it; case is ignored."""
    name, pattern = (unicodedata.normalize("NFC", text).casefold() for text in (name, pattern))
    return name == pattern or fnmatchcase(name, pattern)


def file_kind(path: Path) -> str:
    """Return 'parquet', 'workbook' or 'text' by the first bytes of the file at `path`."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is a pipe or a device; leave it out of ingest.files")
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", _OLE2)):
        return "workbook"
    return "text"


def may_kill_its_reader(path: Path) -> bool:
    """Return whether the reader of the workbook at `path` may ask for a terabyte of memory and be
    aborted with its process: one of Excel 97 may be corrupt, one of today may have a cell in the
    farthest corner, and all cells up to there are made."""
    try:
        with open(path if path.is_file() else os.devnull, "rb") as file:
            if file.read(8) == _OLE2:
                return True
            with packed(file) as book:
                parts = [part for part in book.namelist() if "worksheets/" in part]
                heads = [book.open(part).read(_HEAD_BYTES) for part in parts]
    except (OSError, zipfile.BadZipFile):
        return False  # it is refused before it comes to its reader
    corners = filter(None, map(_CORNER.search, heads))
    return any(26 ** (len(c[1]) - 1) * int(c[2]) > _MANY_CELLS for c in corners)


def file_size(path: Path) -> int:
    """Return the size of the file at `path` in bytes."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def digest(paths: Iterable[Path]) -> bytes:
    """Return a digest of all that stands in the files at `paths`, one after the other."""
    digests = blake2b()
    for path in paths:
        try:
            with open(path, "rb") as file:
                digests.update(file_digest(file, blake2b).digest())
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return digests.digest()


# Text files


def _unify(text: str, line_end: str) -> str:
    text = text.replace("\0", "")
    if line_end == "crlf":
        text = text.replace("\r\n", "\0").replace("\r", " ").replace("\n", " ").replace("\0", "\n")
    elif "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n" if line_end == "any" else " ")
    return text


def text_blocks(
    path: Path, encoding: str, line_end: Literal["any", "lf", "crlf"], chars: int = BLOCK_CHARS
) -> Iterator[Block]:
    """Yield the text file at `path` in blocks of about `chars` characters, cut after a line
    (-1: in one).

    Line ends become "\\n"; NUL characters and the byte-order mark vanish. Bytes that `encoding` has
    no character for stay visible as surrogates (PEP 383).

    Parameters
    ----------
    line_end : "any", "lf" or "crlf"
        What ends a line: CR LF, LF and CR; or CR LF and LF; or CR LF. The others become a space.

    Raises
    ------
    UserError
        The file is truncated or corrupt, or `encoding` is unknown.
    """
    line, rest, marked = 1, "", False
    try:
        with (
            open(path, "rb") as packed,
            io.TextIOWrapper(
                unpacked(packed), encoding, errors="surrogateescape", newline=""
            ) as file,
        ):
            while True:
                chunk = file.read(chars)
                while chunk.endswith("\r") and (more := file.read(1)):
                    chunk += more
                text = _unify(chunk if marked else chunk.removeprefix("\ufeff"), line_end)
                text, marked = rest + text, True
                end = text.rfind("\n") + 1 if chunk else len(text)
                block, rest = text[:end], text[end:]
                if block:
                    yield Block(block, line, packed.tell())
                    line += block.count("\n")
                if not chunk:
                    return
                if len(rest) > LONGEST_RECORD_CHARS:
                    raise UserError(
                        f"{path}, line {line}: does not end within {LONGEST_RECORD_CHARS:,} "
                        "characters; it is no ledger, or has lost its line ends: write it again"
                    )
    except UnicodeError as error:
        raise UserError(f"{path}: is not {encoding}: {error}") from None
    except LookupError:
        raise UserError(f"{path}: ingest.reading: no encoding is called '{encoding}'") from None
    except DAMAGED as error:
        raise damaged(path, error) from None


def _reader(lines: Iterable[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    if not quote:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    escape = "\\" if quote.startswith("\\") else None
    return csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quote[-1],
        escapechar=escape,
        skipinitialspace=quote.startswith(" "),
        strict=True,
    )


def _has_swallowed(inner: list[str], row: list[str], delimiter: str) -> bool:
    """Return whether the lines inside of one cell of `row` are all as wide as the row itself: then
    a stray quote opened the cell, and another far below closed it."""
    return len(row) > 3 and all(line.count(delimiter) == len(row) - 1 for line in inner)


def read_records(block: Block, delimiter: str, quote: str, last: bool) -> Records:
    """Return the records of `block`, which must begin with the beginning of a record.

    A line whose quotes break the grammar is set apart, and reading goes on with the next line, so
    that a stray quote costs one line and not all lines to the next quote. With `last` nothing
    follows the block, and a record that is still open at its end is such a line too.
    """
    lines = block.text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])
    if not quote or (quote[-1] not in block.text and "\\" not in quote):
        rows = list(_reader(lines, delimiter, ""))
        return Records(rows, list(range(block.line, block.line + len(rows))), [], None)
    rows, starts, broken, start = [], [], [], 0
    while start < len(lines):
        # A record still open at the end swallows the NUL line, which text never holds.
        following = map(lines.__getitem__, range(start, len(lines)))
        offset, reader = start, _reader(chain(following, "\0"), delimiter, quote)
        try:
            for row in reader:
                if row == ["\0"]:
                    start = len(lines)
                    break
                end = offset + reader.line_num
                if end - start > 3 and _has_swallowed(lines[start + 1 : end - 1], row, delimiter):
                    broken.append((block.line + start, lines[start].rstrip("\n")))
                    start += 1
                    break
                rows.append(row)
                starts.append(block.line + start)
                start = end
        except csv.Error:
            if offset + reader.line_num > len(lines) and not last:
                rest = Block("".join(lines[start:]), block.line + start, block.end)
                return Records(rows, starts, broken, rest)
            broken.append((block.line + start, lines[start].rstrip("\n")))
            start += 1
    return Records(rows, starts, broken, None)


# Parquet


def typed_cells(column: pa.Array, is_used: bool) -> list:
    """Return the cells of a column of a parquet file as `cell_text` takes them.

    Bytes are UTF-8 text, small floats the shortest decimal fraction that they stand for.

    Raises
    ------
    UnicodeDecodeError
        Some bytes are no UTF-8 text, in a column that is used; else they look like ``\\xff``.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return column.to_numpy(zero_copy_only=False).astype(str).astype(float).tolist()
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # What is finer than a second is cut off in any case, and Python has no nanoseconds.
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    cells = column.to_pylist()
    if pa.types.is_nested(kind) or "binary" not in str(kind):
        return cells
    errors = "strict" if is_used else "backslashreplace"
    return [cell if cell is None else cell.decode("utf-8", errors) for cell in cells]


# Workbooks


def cell_text(cell: object) -> str:
    """Return a typed cell as text that means the same: 2401.0 as '2401', None as ''."""
    kind = type(cell)
    if kind is str:
        return cell.replace("\0", "") if "\0" in cell else cell
    if kind is float:
        if cell.is_integer():
            return str(int(cell))
        if 1e-4 <= abs(cell) < 1e15:
            return repr(cell)
        # Not a number stands for an empty cell, infinity for none.
        return "" if math.isnan(cell) else format(Decimal(repr(cell)), "f")
    if cell is None:
        return ""
    if kind is bool:
        return "TRUE" if cell else "FALSE"
    if kind is Decimal:
        return format(cell, "f")
    if kind is datetime:
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    return str(cell)


@contextmanager
def _silent() -> Iterator[None]:
    """Discard what is written to the standard error stream, where the reader's crashes print a
    traceback of their own before they can be caught."""
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


def _with_errors(rows: Iterable[list], errors: dict[tuple[int, int], str]) -> Iterator[list]:
    by_row = defaultdict(dict)
    for (number, column), text in errors.items():
        by_row[number][column] = text
    for number, row in enumerate(rows):
        for column, text in by_row.get(number, {}).items():
            row[column] = text
        yield row


def workbook_sheets(path: Path, patterns: list[str]) -> Iterator[tuple[str, Iterator[list]]]:
    """Yield the name and the rows (of typed cells, from row 1 and column A) of each worksheet;
    no rows where its name matches none of `patterns`.

    Raises
    ------
    UserError
        The workbook is truncated, corrupt or locked with a password, or no sheet matches.
    """
    import python_calamine as calamine

    try:
        content = path.read_bytes()
        is_packed = content.startswith(b"PK")
        content = show_errors(content) if is_packed else content
        with _silent():
            book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        errors = {} if is_packed else list_errors(content)
        names = [sheet.name for sheet in book.sheets_metadata]
        if not any(fits(name, pattern) for name in names for pattern in patterns):
            raise UserError(
                f"{path}: ingest.reading has sheets {' | '.join(patterns)}, but none of its "
                f"{len(names)} fits; correct that, or leave the file out of ingest.files"
                if names
                else f"{path}: has no sheets; save it again as .xlsx"
            )
        worksheets = [
            sheet for sheet in book.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        for number, sheet in enumerate(worksheets):
            if not any(fits(sheet.name, pattern) for pattern in patterns):
                yield sheet.name, iter(())
            else:
                with _silent():
                    cells = book.get_sheet_by_name(sheet.name)
                left = [""] * cells.start[1] if cells.start else []
                rows = cells.iter_rows()
                rows = (left + row for row in rows) if left else rows
                yield sheet.name, _with_errors(rows, errors[number]) if number in errors else rows
    except calamine.PasswordError:
        raise UserError(f"{path}: is locked with a password; save a copy without one") from None
    except calamine.CalamineError as error:
        if _is_archive(path):
            raise UserError(f"{path}: is a zip archive and no workbook; unpack it") from None
        raise damaged(path, error) from None
    except (OSError, zipfile.BadZipFile, XLRDError) as error:
        raise damaged(path, error) from None
    except UserError:
        raise
    except BaseException as error:
        # The reader's own crashes arrive as a PanicException that derives from BaseException.
        if type(error).__name__ == "PanicException":
            raise damaged(path, error) from None
        raise
