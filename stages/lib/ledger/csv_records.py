"""Cut the text of a file into records of cells, whatever its delimiters and quotes are."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from stages.lib.ledger.cells import Records, is_encodable
from stages.lib.ledger.text_files import Block

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
# backslash: double quotes, with \" for one inside, as databases export it.
# spaced: double quotes with spaces before and after them.
QUOTES = {"double": '"', "none": "", "single": "'", "backslash": '\\"', "spaced": ' "'}
# Characters that Unicode keeps free for such uses. The reader of the standard library knows only
# delimiters of one sign, so one of these replaces a longer one.
_STAND_INS = [chr(code) for code in range(0xFDD0, 0xFDF0)]

# A cell may be as long as a block. Unclosed quotes are found by other means.
csv.field_size_limit(1 << 30)


class Dialect(NamedTuple):
    """How a text file is written: its encoding, a key of `DELIMITERS` or the delimiter itself, a
    key of `QUOTES`."""

    encoding: str
    delimiter: str
    quote: str


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
    a stray quote opened the cell, and another one far below closed it."""
    return len(row) > 3 and all(line.count(delimiter) == len(row) - 1 for line in inner)


def _without_spaces_after_quotes(text: str, delimiter: str) -> str:
    """Return `text` without the spaces between a closing quote and a delimiter or line end, which
    the reader does not skip. An even number of quotes closes a cell only if it is empty."""
    end = f"(?={re.escape(delimiter)}|$)"
    text = re.sub(rf'(^|{re.escape(delimiter)}) *"" +{end}', r"\1", text, flags=re.M)
    return re.sub(rf'(?<!")((?:"")*") +{end}', r"\1", text, flags=re.M)


def read_records(block: Block, dialect: Dialect, last: bool) -> tuple[Records, Block | None]:
    """Return the records of `block`, and the rest: the block that begins with a record that is
    still open at the end, if there is one.

    A line whose quotes break the grammar is `broken`, and reading resumes on the next line. So a
    stray quote costs one line, and not all lines up to the next quote.

    Parameters
    ----------
    block : Block
        Begins with the beginning of a record.
    last : bool
        Nothing follows the block: a record that is open at its end is `broken`, too.
    """
    given = DELIMITERS.get(dialect.delimiter, dialect.delimiter)
    if len(given) == 1:
        return _read_records(block, given, QUOTES[dialect.quote], last)
    sign = next(sign for sign in _STAND_INS if sign not in block.text)
    replaced = block._replace(text=block.text.replace(given, sign))
    records, rest = _read_records(replaced, sign, QUOTES[dialect.quote], last)
    # What is left of it was in quotes.
    rows = [
        [cell.replace(sign, given) if sign in cell else cell for cell in row]
        for row in records.rows
    ]
    broken = [(line, text.replace(sign, given)) for line, text in records.broken]
    rest = rest and rest._replace(text=rest.text.replace(sign, given))
    return records._replace(rows=rows, broken=broken), rest


def _read_records(
    block: Block, delimiter: str, quote: str, last: bool
) -> tuple[Records, Block | None]:
    has_bad_bytes = not is_encodable(block.text)
    text = block.text
    if quote.startswith(" ") and delimiter != " " and '" ' in text:
        text = _without_spaces_after_quotes(text, delimiter)
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])
    if not quote or (quote[-1] not in block.text and "\\" not in quote):
        rows = list(_reader(lines, delimiter, ""))
        numbers = list(range(block.line, block.line + len(rows)))
        return Records(rows, numbers, is_text=True, has_bad_bytes=has_bad_bytes), None
    rows, starts, broken, start = _quoted(lines, delimiter, quote, last)
    numbers = [block.line + start for start in starts]
    broken = [(block.line + at, lines[at].rstrip("\n")) for at in broken]
    rest = None
    if start < len(lines):
        rest = Block("".join(lines[start:]), block.line + start, block.end)
    return Records(rows, numbers, broken, True, has_bad_bytes), rest


def _quoted(
    lines: list[str], delimiter: str, quote: str, last: bool
) -> tuple[list[list[str]], list[int], list[int], int]:
    """Return the records of `lines`, the line at which each begins, the lines whose quotes break
    the grammar, and the line at which the open record begins; lines are counted from 0."""
    rows, starts, broken, start = [], [], [], 0
    while start < len(lines):
        # A record that is open at the end swallows the NUL line, which text never contains.
        following = map(lines.__getitem__, range(start, len(lines)))
        offset, reader = start, _reader(chain(following, "\0"), delimiter, quote)
        try:
            for row in reader:
                if row == ["\0"]:
                    return rows, starts, broken, len(lines)
                end = offset + reader.line_num
                if end - start > 3 and _has_swallowed(lines[start + 1 : end - 1], row, delimiter):
                    broken.append(start)
                    start += 1
                    break
                rows.append(row)
                starts.append(start)
                start = end
        except csv.Error:
            if offset + reader.line_num > len(lines) and not last:
                return rows, starts, broken, start
            broken.append(start)
            start += 1
    return rows, starts, broken, len(lines)
