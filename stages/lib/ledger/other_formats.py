"""Name files of formats that are not read, whatever their names say.

Web pages and XML called .xls are common: banks and accounting programs write them, because Excel
opens them.
"""

import re
from pathlib import Path

from stages.lib.errors import UserError

_HEAD_BYTES = 4096
_SAVE_AS = "open it in Excel or LibreOffice and save it as .xlsx"
_EXPORT = "export the ledger as .csv or .xlsx, or leave this file out of ingest.files"
# How packed files begin, and what is packed within a packed file.
_PACKED = (
    *(b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"PAR1", b"\x28\xb5\x2f\xfd"),
    *(b"7z\xbc\xaf", b"Rar!\x1a\x07", b"\xfd7zXZ"),
    *(b"BZh%d" % level for level in range(1, 10)),
)
# How other files begin: what they are, and what to do.
_MARKS: list[tuple[bytes, str, str]] = [
    (b"\x09\x00\x04\x00", "a workbook of Excel 2", _SAVE_AS),
    (b"\x09\x00\x06\x00", "a workbook of Excel 2", _SAVE_AS),
    (b"\x09\x02\x06\x00", "a workbook of Excel 3", _SAVE_AS),
    (b"\x09\x04\x06\x00", "a workbook of Excel 4", _SAVE_AS),
    (b"\x09\x08\x06\x00", "a workbook of Excel 5 without its container", _SAVE_AS),
    (b"\x09\x08\x08\x00", "a workbook of Excel 5 without its container", _SAVE_AS),
    (b"\x00\x00\x02\x00", "a workbook of Lotus 1-2-3", _SAVE_AS),
    (b"\x00\x00\x1a\x00", "a workbook of Lotus 1-2-3", _SAVE_AS),
    (b"ID;PWXL", "a SYLK file", _SAVE_AS),
    (b"%PDF", "a PDF", _EXPORT),
    (b"{\\rtf", "an RTF document", _EXPORT),
    (b"SQLite format 3\0", "an SQLite database", _EXPORT),
    (b"ARROW1\0", "an Arrow file", "write it as .parquet"),
    (b"\x89PNG", "a picture", _EXPORT),
    (b"\xff\xd8\xff", "a picture", _EXPORT),
]
# Endings that promise a format that is read.
_READ = (".csv", ".tsv", ".txt", ".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".parquet")
_BEFORE = re.compile(r"(?:\s|\ufeff|<\?.*?\?>|<!--.*?-->)*", re.S)
_HTML = re.compile(
    r"<(?:!doctype\s+html|html|head|body|meta|title|link|style|script|table|caption|thead|tbody|tr"
    r"|div|span|center|font|p|h[1-6])\b",
    re.I,
)
# Lines such as those above an e-mail; one of them says what follows.
_MHTML = re.compile(
    r"(?:[\w-]+:[^\r\n]*[\r\n]+(?:[ \t][^\r\n]*[\r\n]+)*)*"
    r"(?:MIME-Version:|Content-Type:\s*multipart/related|From: <?Saved by )",
    re.I,
)


_JSON = re.compile(r'\[?\s*\{\s*"')


def check_format(path: Path, head: bytes) -> None:
    """Check that a file is not of a format that is known, but not read.

    Parameters
    ----------
    path : Path
    head : bytes
        The first thousands of bytes of the file.

    Raises
    ------
    UserError
        ``file-packed``, ``file-not-a-ledger``
    """
    if head.startswith(_PACKED):
        raise UserError("file-packed", path, "is a packed file, not text", "unpack it")
    head = head[:_HEAD_BYTES]
    found = next(((what, do) for mark, what, do in _MARKS if head.startswith(mark)), None)
    found = found or _markup(_text(head))
    if found:
        what, action = found
        ending = f", although it is called {path.suffix}" if path.suffix.lower() in _READ else ""
        raise UserError("file-not-a-ledger", path, f"is {what}{ending}", action)


def _text(head: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head.decode(encoding, "replace")
    return head.decode("utf-8", "replace")


def _markup(text: str) -> tuple[str, str] | None:
    body = text[_BEFORE.match(text).end() :]
    if _MHTML.match(body):
        return "a web archive (MHTML)", _SAVE_AS
    if _HTML.match(body):
        return "a web page (HTML)", _SAVE_AS
    if _JSON.match(body):
        return "JSON", _EXPORT
    if "schemas-microsoft-com:office:spreadsheet" in text and body.startswith("<"):
        return "XML of Excel 2003 (SpreadsheetML)", _SAVE_AS
    if body.startswith(("<!", "<?")) or text.lstrip("\ufeff \r\n\t").startswith("<?xml"):
        is_fods = "opendocument.spreadsheet" in text
        return (
            ("a flat OpenDocument spreadsheet (.fods)", _SAVE_AS) if is_fods else ("XML", _EXPORT)
        )
    return None
