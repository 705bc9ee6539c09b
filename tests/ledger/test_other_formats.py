"""Files of other formats are named as what they are, whatever they are called."""

import codecs
from pathlib import Path

import pytest
from refusals import refused

from stages.lib.ledger.other_formats import check_format

HTML = "<table><tr><td>Date</td></tr></table>"
SPREADSHEETML = (
    '<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n'
    '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"></Workbook>'
)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        ("MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x", "MHTML"),
        ("\r\nMime-Version: 1.0\n", "MHTML"),
        ("From: <Saved by Blink>\nSnapshot-Content-Location: x", "MHTML"),
        ("From: Saved by Windows Internet Explorer 8\n", "MHTML"),
        ("X-Document-Type: Worksheet\r\n folded\r\nMIME-Version: 1.0\r\n", "MHTML"),
        ('Content-Type: multipart/related; boundary="x"\n', "MHTML"),
        (HTML, "HTML"),
        ("\ufeff\n<!-- made by a bank -->\n<HTML xmlns:x='urn:x'>", "HTML"),
        ("<?xml version='1.0'?><!DOCTYPE html><html>", "HTML"),
        ('<meta http-equiv="content-type" content="text/html"><table>', "HTML"),
        (SPREADSHEETML, "SpreadsheetML"),
        (SPREADSHEETML.replace("<Workbook xmlns=", "<ss:Workbook xmlns:ss="), "SpreadsheetML"),
        ('<?xml version="1.0"?><office:document office:mimetype='
         '"application/vnd.oasis.opendocument.spreadsheet">', ".fods"),
        ('<?xml version="1.0"?><AuditFile/>', "XML"),
        ("ID;PWXL;N;E\r\n", "SYLK"),
        ("%PDF-1.4", "PDF"),
    ],
)  # fmt: skip
def test_text_of_other_formats_is_named(head, what):
    with refused("file-not-a-ledger", "raw/a.xls", what):
        check_format(Path("raw/a.xls"), head.encode())


def test_markup_in_utf_16_is_named():
    for encoding in ("utf-16", "utf-16-be"):
        mark = "" if encoding == "utf-16" else "\ufeff"
        with refused("file-not-a-ledger", "HTML"):
            check_format(Path("a.xls"), f"{mark}{HTML}".encode(encoding))


@pytest.mark.parametrize(
    ("head", "what", "code"),
    [
        (b"\x09\x00\x04\x00\x02\x00\x10\x00", "Excel 2", "file-not-a-ledger"),
        (b"\x09\x02\x06\x00\x00\x00\x10\x00\x00\x00", "Excel 3", "file-not-a-ledger"),
        (b"\x09\x04\x06\x00\x00\x00\x10\x00\x00\x00", "Excel 4", "file-not-a-ledger"),
        (b"\x09\x08\x08\x00\x00\x05\x05\x00", "Excel 5", "file-not-a-ledger"),
        (b"\x00\x00\x02\x00\x06\x04\x06\x00", "Lotus", "file-not-a-ledger"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "packed", "file-packed"),
        (b"BZh91AY&SY", "packed", "file-packed"),
    ],
)
def test_other_binary_formats_are_named(head, what, code):
    with refused(code, "raw/a.xls", what):
        check_format(Path("raw/a.xls"), head + bytes(99))


@pytest.mark.parametrize(
    "head",
    [
        b"Date,Amount\n<b>,1\n",
        b"",
        b"From,To,Amount\n",
        b"ID;Payee;Amount\n",
        b"\t\t\n09,1\n",
        b"<none>;1;2\n",
        b"Tablet,1\n",
        b"Company: A\nPeriod: 2024\n\nDate,Text\n1,MIME-Version: 1.0\n",
        b"Date: x\n" * 2000,
        codecs.BOM_UTF16_LE + "Datum;Betrag\n".encode("utf-16-le"),
        "XML;날짜\n".encode("cp949"),
    ],
)
def test_a_ledger_as_text_passes(head):
    check_format(Path("a.csv"), head)
