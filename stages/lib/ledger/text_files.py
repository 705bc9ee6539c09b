"""Read text files in blocks of whole lines, so that several processes can read one file."""

import io
from collections.abc import Iterator
from difflib import get_close_matches
from encodings.aliases import aliases
from pathlib import Path
from typing import Literal, NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.opening import DAMAGED, damaged, unpacked

BLOCK_CHARS = 8_000_000
LONGEST_RECORD_CHARS = 8_000_000


class Block(NamedTuple):
    """Whole lines of a text file.

    Attributes
    ----------
    text : str
        Its lines end with "\\n".
    line : int
        The number of the first one (1-based).
    end : int
        How many bytes of the file were read up to the end of the block.
    """

    text: str
    line: int
    end: int


def _unify(text: str, line_end: str) -> str:
    text = text.replace("\0", "")
    if line_end == "crlf":
        text = text.replace("\r\n", "\0").replace("\r", " ").replace("\n", " ").replace("\0", "\n")
    elif "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n" if line_end == "any" else " ")
    return text


def _chunks(path: Path, encoding: str, chars: int) -> Iterator[tuple[str, int]]:
    """Yield the file in pieces that do not end between CR and LF, each with the number of bytes
    read so far; the last piece is empty."""
    with (
        open(path, "rb") as packed,
        io.TextIOWrapper(unpacked(packed), encoding, errors="surrogateescape", newline="") as file,
    ):
        while True:
            chunk = file.read(chars)
            while chunk.endswith("\r") and (more := file.read(1)):
                chunk += more
            yield chunk, packed.tell()
            if not chunk:
                return


def text_blocks(
    path: Path, encoding: str, line_end: Literal["any", "lf", "crlf"], chars: int | None = None
) -> Iterator[Block]:
    """Yield the text file at `path`, packed with gzip or not, in blocks.

    Line ends become "\\n". NUL characters and the byte-order mark are left out. Bytes that
    `encoding` has no character for become surrogates (PEP 383).

    Parameters
    ----------
    line_end : "any", "lf" or "crlf"
        What ends a line: CR LF, LF and CR; or CR LF and LF; or CR LF. The others become a space.
    chars : int, optional
        About how many characters a block has, `BLOCK_CHARS` unless given; -1 for one block.

    Raises
    ------
    UserError
        ``damaged-file``, ``encoding-unknown``, ``encoding-wrong``; ``line-too-long``.
    """
    line, rest = 1, ""
    try:
        chunks = _chunks(path, encoding, BLOCK_CHARS if chars is None else chars)
        for number, (chunk, end) in enumerate(chunks):
            text = rest + _unify(chunk if number else chunk.removeprefix("\ufeff"), line_end)
            cut = text.rfind("\n") + 1 if chunk else len(text)
            block, rest = text[:cut], text[cut:]
            if block:
                yield Block(block, line, end)
                line += block.count("\n")
            if len(rest) > LONGEST_RECORD_CHARS:
                raise UserError(
                    "line-too-long",
                    f"{path}, line {line}",
                    f"does not end within {LONGEST_RECORD_CHARS:,} characters",
                    "it is not a ledger, or has lost its line ends; export it again",
                )
    except UnicodeError as error:
        raise UserError(
            "encoding-wrong",
            path,
            f"is not {encoding}, which ingest.reading names for it: {error}",
            "set encoding: auto there, or the right one",
        ) from None
    except LookupError:
        nearest = get_close_matches(encoding.lower().replace("-", "_"), aliases.values(), 1)
        raise UserError(
            "encoding-unknown",
            path,
            f"no encoding is called '{encoding}'",
            f"set encoding: {nearest[0] if nearest else 'auto'} in ingest.reading",
        ) from None
    except DAMAGED as error:
        raise damaged(path, error) from None
