"""Find the parts of a packed workbook (.xlsx, .xlsb): its sheets may be called anything.

The archive says itself where they are: ``_rels/.rels`` names the workbook, and the workbook's links
name its sheets. Programs write these names with either slash, from the top or from the workbook, in
any case.
"""

import codecs
import posixpath
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote

from stages.lib.ledger.book_records import packed_records

_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_TOP_LINKS = "_rels/.rels"
_HEAD_BYTES = 4096
# How a worksheet begins: its root element, or the record BrtBeginSheet.
_WORKSHEET = re.compile(rb"<(?:\w+:)?worksheet[\s>]|^\x81\x01\x00")
_BINARY = b"\x81\x01\x00"
_SHEET_RECORD, _BOOK_RECORD = b"\x9c\x01", b"\x99\x01"  # BrtBundleSh, BrtWbProp


class Parts(NamedTuple):
    """The parts of a packed workbook.

    Attributes
    ----------
    sheets : list of (str or None)
        The part of each sheet, in the workbook's order, as the archive names it.
    worksheets : set of str
        All parts that are worksheets, also such that no link names.
    is_binary : bool
        They are records (.xlsb) and not XML.
    counts_from_1904 : bool
        The workbook counts its days from 1904.
    corrected : dict of str to bytes
        Parts with links that python-calamine cannot follow, as it can.
    """

    sheets: list[str | None]
    worksheets: set[str]
    is_binary: bool
    counts_from_1904: bool
    corrected: dict[str, bytes]


def plain_name(name: str) -> str:
    """Return the name of a part as a link should have it: ``xl/worksheets/sheet1.xml``."""
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/")


def find_parts(book: zipfile.ZipFile) -> Parts:
    """Return the parts of an archive; it may be no workbook, or a damaged one."""
    names = {plain_name(name).lower(): name for name in book.namelist()}
    heads = {name: _head(book, name) for name in names.values()}
    worksheets = {name for name, head in heads.items() if _WORKSHEET.search(head)}
    is_binary = any(heads[name].startswith(_BINARY) for name in worksheets)
    try:
        return _linked_parts(book, names, worksheets, is_binary)
    except (LookupError, ValueError):
        return Parts([], worksheets, is_binary, False, {})  # its reader says what is wrong


def _head(book: zipfile.ZipFile, name: str) -> bytes:
    with book.open(name) as part:
        return part.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")


def _linked_parts(
    book: zipfile.ZipFile, names: dict[str, str], worksheets: set[str], is_binary: bool
) -> Parts:
    top = _links(book.read(names[_TOP_LINKS])).values()
    [workbook, *_] = filter(
        None, [_find_part(target, "", names) for kind, target in top if kind == "officeDocument"]
    )
    folder, file = posixpath.split(plain_name(workbook))
    links_part = names[f"{folder}/_rels/{file}.rels".lstrip("/").lower()]
    links = book.read(links_part)
    found = {
        key: _find_part(target, folder, names) if kind == "worksheet" else None
        for key, (kind, target) in _links(links).items()
    }
    content = book.read(workbook)
    keys, from_1904 = (_of_binary if is_binary else _of_xml)(content)
    sheets = [found.get(key) for key in keys]
    corrected = _corrected(links, _links(links), found)
    return Parts(
        sheets,
        worksheets | set(filter(None, sheets)),
        is_binary,
        from_1904,
        {links_part: corrected} if corrected != links else {},
    )


def _tags(content: bytes, name: str) -> Iterator[dict[str, str]]:
    """Yield the attributes of all elements called `name`, without their prefixes.

    python-calamine also reads XML that a strict parser refuses, such as prefixes that nothing
    declares.
    """
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if is_wide else "utf-8", "replace")
    for tag in re.finditer(rf"<(?:\w+:)?{name}(?=[\s/>])((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>", text):
        yield {
            key.rpartition(":")[2]: unescape(value[1:-1])
            for key, value in _ATTRIBUTE.findall(tag[1])
        }


def _links(content: bytes) -> dict[str, tuple[str, str]]:
    """Return ``{id: (kind, target)}``."""
    return {
        link.get("Id", ""): (link.get("Type", "").rpartition("/")[2], link.get("Target", ""))
        for link in _tags(content, "Relationship")
    }


def _find_part(target: str, folder: str, names: dict[str, str]) -> str | None:
    """Return the part that a link names, None if the archive has no such part."""
    target = target.replace("\\", "/")
    for path in (target, unquote(target)):
        below = path if path.startswith("/") else f"{folder}/{path}"
        for name in (below, path):  # some programs write names from the top without the slash
            if part := names.get(plain_name(name).lower()):
                return part
    return None


def _corrected(
    links: bytes, targets: dict[str, tuple[str, str]], found: dict[str, str | None]
) -> bytes:
    for key, part in found.items():
        target = targets[key][1]
        odd = "\\" in target or "%" in target or re.search(r"(?:^|/)\.\.?/|^xl/", target)
        if part and odd:
            for sign in ('"', "'"):
                before, after = (f"{sign}{x}{sign}".encode() for x in (target, _absolute(part)))
                links = links.replace(b"Target=" + before, b"Target=" + after)
    return links


def _absolute(part: str) -> str:
    return "/" + plain_name(part)


def _of_xml(content: bytes) -> tuple[list[str], bool]:
    """Return the links of the sheets of xl/workbook.xml, and whether it counts from 1904."""
    keys = [sheet.get("id", "") for sheet in _tags(content, "sheet")]
    modes = {about.get("date1904", "").lower() for about in _tags(content, "workbookPr")}
    return keys, not modes.isdisjoint(("1", "true", "on"))


def _of_binary(content: bytes) -> tuple[list[str], bool]:
    """Return the same of xl/workbook.bin."""
    keys, from_1904 = [], False
    for head, _, body in packed_records(content):
        if head[:2] == _SHEET_RECORD:
            length = int.from_bytes(body[8:12], "little")
            keys.append(body[12 : 12 + 2 * length].decode("utf-16-le"))
        elif head[:2] == _BOOK_RECORD:
            from_1904 = bool(body[0] & 1)
    return keys, from_1904
