"""The sheets of a packed workbook are found whatever their parts are called."""

import zipfile
from pathlib import Path

import pytest
from ledger_files import HEADER, ROWS, ErrorCell, rewrite, write_xlsx

from stages.lib.ledger.workbook_parts import find_parts
from stages.lib.ledger.workbooks import workbook_sheets

DATA = Path(__file__).parents[1] / "data"
SHEET, LINKS = "xl/worksheets/s1.xml", "xl/_rels/workbook.xml.rels"
TARGET = b'Target="worksheets/s1.xml"'


def renamed(path: Path, part: str, target: str) -> None:
    """Call the part of the sheet `part`, and its link `target`."""
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    parts[part] = parts.pop(SHEET)
    parts[LINKS] = parts[LINKS].replace(TARGET, f'Target="{target}"'.encode())
    with zipfile.ZipFile(path, "w") as copy:
        for name, content in parts.items():
            copy.writestr(name, content)


@pytest.fixture
def book(tmp_path) -> Path:
    path = tmp_path / "a.xlsx"
    rows = [[*ROWS[0][:2], ErrorCell("#N/A"), 1, *ROWS[0][4:]], ROWS[1]]
    write_xlsx(path, {"S": [HEADER, *rows]})
    hidden = b"</row><row hidden='1'>"
    rewrite(path, lambda _, part: hidden.join(part.rsplit(b"</row><row>", 1)))
    return path


@pytest.mark.parametrize(
    ("part", "target"),
    [
        (SHEET, "worksheets/s1.xml"),
        (SHEET, "/xl/worksheets/s1.xml"),
        (SHEET, "./worksheets/s1.xml"),
        (SHEET, "worksheets\\s1.xml"),
        (SHEET, "\\xl\\worksheets\\s1.xml"),
        (SHEET, "xl/worksheets/s1.xml"),
        ("xl/sheets/data.xml", "sheets/data.xml"),
        ("data/one", "/data/one"),
        ("data/one.xml", "../data/one.xml"),
        ("xl/worksheets/S1.XML", "worksheets/s1.xml"),
        ("xl\\worksheets\\s1.xml", "worksheets/s1.xml"),
        ("xl\\sheets\\s1.xml", "/xl/sheets/s1.xml"),
        ("xl/worksheets/s 1.xml", "worksheets/s%201.xml"),
    ],
)
def test_errors_and_hidden_rows_are_found_in_parts_of_any_name(book, part, target):
    renamed(book, part, target)
    [sheet] = workbook_sheets(book, ["*"])
    assert [row[2] for row in sheet.rows] == ["Memo", "#N/A", ROWS[1][2]]
    assert sheet.hidden_rows == {3}


def test_backslashes_in_all_names_are_slashes(book):
    with zipfile.ZipFile(book) as whole:
        parts = {name.replace("/", "\\"): whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(book, "w") as copy:
        for name, content in parts.items():
            copy.writestr(name, content)
    [sheet] = workbook_sheets(book, ["*"])
    assert [row[2] for row in sheet.rows][1] == "#N/A"
    assert sheet.hidden_rows == {3}


def test_the_workbook_itself_may_be_in_another_folder(book):
    with zipfile.ZipFile(book) as whole:
        parts = {name.replace("xl/", "book/"): whole.read(name) for name in whole.namelist()}
    parts["_rels/.rels"] = parts["_rels/.rels"].replace(b"xl/", b"/book/")
    with zipfile.ZipFile(book, "w") as copy:
        for name, content in parts.items():
            copy.writestr(name, content)
    [sheet] = workbook_sheets(book, ["*"])
    assert [row[2] for row in sheet.rows][1] == "#N/A"
    assert sheet.hidden_rows == {3}


def test_hidden_rows_belong_to_their_sheet_whatever_the_order_of_parts(tmp_path):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"A": [["a"], ["b"]], "B": [["a"], ["b"]], "C": [["a"]]})

    def swap_and_hide(name: str, part: bytes) -> bytes:
        if name == LINKS:
            part = part.replace(b"/s1.", b"/x.").replace(b"/s2.", b"/s1.").replace(b"/x.", b"/s2.")
        return part.replace(b"</row><row>", b"</row><row hidden='1'>") if "s1" in name else part

    rewrite(path, swap_and_hide)
    found = {sheet.name: sheet.hidden_rows for sheet in workbook_sheets(path, ["*"])}
    assert found == {"A": set(), "B": {2}, "C": set()}


def test_a_chart_sheet_counts_as_a_sheet(tmp_path):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"Chart": [["a"]], "B": [["a"], ["b"]]})

    def with_chart(name: str, part: bytes) -> bytes:
        if name == LINKS:
            return part.replace(b'/worksheet"', b'/chartsheet"', 1)
        return part.replace(b"</row><row>", b"</row><row hidden='1'>")

    rewrite(path, with_chart)
    assert [(s.name, s.hidden_rows) for s in workbook_sheets(path, ["*"])] == [("B", {2})]


@pytest.mark.parametrize("attribute", ['date1904="1"', "date1904='true'", 'date1904="0"', ""])
def test_a_workbook_says_where_its_days_begin(book, attribute):
    about = f"<workbookPr {attribute}/><sheets>".encode()
    rewrite(book, lambda _, part: part.replace(b"<sheets>", about))
    with zipfile.ZipFile(book) as archive:
        parts = find_parts(archive)
    assert parts.counts_from_1904 == ("1904=" in attribute and '"0"' not in attribute)
    assert parts.sheets == [SHEET] and not parts.is_binary and parts.corrected == {}


def test_a_binary_workbook_is_followed_too(tmp_path):
    path = tmp_path / "a.xlsb"
    path.write_bytes((DATA / "ledger.xlsb").read_bytes())
    with zipfile.ZipFile(path) as archive:
        parts = find_parts(archive)
    assert parts == (["xl/worksheets/sheet1.bin"], {"xl/worksheets/sheet1.bin"}, True, False, {})
    properties = b"\x99\x01\x0c\x20"
    rewrite(path, lambda _, part: part.replace(properties, properties[:3] + b"\x21"))
    with zipfile.ZipFile(path) as archive:
        assert find_parts(archive).counts_from_1904


@pytest.mark.parametrize(
    ("part", "content", "sheets"),
    [
        ("xl/workbook.xml", b"<workbook", []),
        (LINKS, b"", [None]),
        ("_rels/.rels", b"<Relationships/>", []),
        ("_rels/.rels", b"\xff\xfe<", []),
    ],
)
def test_of_a_damaged_workbook_the_worksheets_are_found(book, part, content, sheets):
    rewrite(book, lambda name, whole: content if name == part else whole)
    with zipfile.ZipFile(book) as archive:
        assert find_parts(archive) == (sheets, {SHEET}, False, False, {})


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.replace(b"<sheet ", b"<sheet zz:undeclared='>' ")
        .replace(b"<sheets>", b"<workbookPr date1904='1'/><sheets>"),
        lambda part: part.replace(b"<sheet", b"<x:sheet")
        .replace(b"</sheet", b"</x:sheet")
        .replace(b"<x:sheets>", b"<x:workbookPr date1904='1'/><x:sheets>"),
        lambda part: part.replace(b"<sheets>", b"<workbookPr date1904='1'/><sheets>")
        .decode().encode("utf-16"),
    ],
)  # fmt: skip
def test_a_workbook_that_is_not_quite_xml_is_followed(book, change):
    with zipfile.ZipFile(book) as archive:
        whole = change(archive.read("xl/workbook.xml"))
    rewrite(book, lambda name, part: whole if name == "xl/workbook.xml" else part)
    with zipfile.ZipFile(book) as archive:
        assert find_parts(archive)[:4] == ([SHEET], {SHEET}, False, True)
