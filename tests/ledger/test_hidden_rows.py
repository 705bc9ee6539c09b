"""Rows that a workbook hides are found in every format."""

import struct
import zipfile
from pathlib import Path

import pytest

from stages.lib.ledger.hidden_rows import (
    hidden_rows_ods,
    hidden_rows_xls,
    hidden_rows_xlsb,
    hidden_rows_xlsx,
    may_hide_rows_ods,
    may_hide_rows_xlsb,
    may_hide_rows_xlsx,
)

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("sheet", "rows"),
    [
        (b'<row r="1"/><row r="2" hidden="1"><c r="A2"/></row><row r="9" hidden="true"/>', {2, 9}),
        (b"<x:row hidden='1' r='7' spans='1:2'><x:c/></x:row>", {7}),
        (b'<row/><row hidden="1"/><row r="5"/><row hidden="1"/>', {2, 6}),
        (b'<row r="3" hidden="0"/><row r="4" collapsed="1"/>', set()),
        (b'<cols><col min="1" max="2" hidden="1"/></cols><row r="1"/>', set()),
        (b'<row r="1"><c t="inlineStr"><is><t>hidden="1"</t></is></c></row>', set()),
        (b'<rows r="1" hidden="1"/><rowBreaks hidden="1"/>', set()),
    ],
)
def test_hidden_rows_of_xlsx(sheet, rows):
    assert hidden_rows_xlsx(sheet) == rows
    assert may_hide_rows_xlsx(sheet) or not rows


def test_a_sheet_of_xlsx_without_hidden_rows_is_not_searched():
    assert not may_hide_rows_xlsx(b'<row r="3" hidden="0"/><row r="4" collapsed="1"/>')


def test_hidden_rows_of_xlsb():
    with zipfile.ZipFile(DATA / "ledger.xlsb") as book:
        sheet = book.read("xl/worksheets/sheet1.bin")
    assert not may_hide_rows_xlsb(sheet) and hidden_rows_xlsb(sheet) == set()
    for row in (1, 3):  # the byte of flags in the header of this row
        head = b"\x00\x19" + struct.pack("<II", row, 0) + b"\x2c\x01\x00"
        sheet = sheet.replace(head + b"\x00", head + b"\x10")
    assert may_hide_rows_xlsb(sheet) and hidden_rows_xlsb(sheet) == {2, 4}


def test_hidden_rows_of_ods():
    row, hidden = b"<table:table-row>", b'<table:table-row table:visibility="collapse">'
    filtered = b'<table:table-row table:number-rows-repeated="3" table:visibility="filter"/>'
    content = (
        b'<table:table table:name="A"><table:table-header-rows>' + row
        + b"</table:table-header-rows><table:table-row-group>" + hidden + filtered + row
        + b'</table:table-row-group></table:table><table:table table:name="B">' + row
        + b'</table:table><table:table table:name="C">'
        + b'<table:table-row table:number-rows-repeated="9"/>' + hidden + b"</table:table>"
    )  # fmt: skip
    assert may_hide_rows_ods(content)
    assert hidden_rows_ods(content) == {0: {2, 3, 4, 5}, 2: {10}}
    assert not may_hide_rows_ods(content.replace(b"visibility", b"other"))


def test_a_million_hidden_rows_at_the_end_of_an_ods_sheet_cost_no_more_than_it_has():
    end = b'<table:table><table:table-row table:visibility="collapse" table:number-rows-repeated='
    assert len(hidden_rows_ods(end + b'"99999999999"/>')[0]) <= 1 << 21


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def row(number: int, flags: int) -> bytes:
    return record(0x0208, struct.pack("<HHHHHHBBH", number, 0, 3, 255, 0, 0, flags, 1, 0))


def test_hidden_rows_of_xls():
    begin, end = record(0x0809, bytes(16)), record(0x000A)
    visible = begin + row(0, 0) + row(1, 0x10) + end
    # A chart within the sheet begins and ends before its last row.
    hiding = begin + row(0, 0) + row(4, 0x20) + begin + end + row(5, 0x61) + end
    head = len(begin) + 2 * len(record(0x85, bytes(8))) + len(end)
    places = (struct.pack("<I", place) + bytes(4) for place in (head, head + len(visible)))
    stream = begin + b"".join(record(0x85, place) for place in places) + end + visible
    assert hidden_rows_xls(stream) == {}
    assert hidden_rows_xls(stream + hiding) == {1: {5, 6}}
