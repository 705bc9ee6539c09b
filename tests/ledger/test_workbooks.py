"""Workbooks of every format are read; a damaged one is one line, even where its reader crashes."""

import re
import shutil
import zipfile
from datetime import date
from pathlib import Path

import ledger_files
import pytest
from ledger_files import (
    HEADER,
    ROWS,
    csv_text,
    places,
    read,
    typed,
    write_deadly_xls,
    write_ods,
    write_xlsx,
)
from refusals import refused

from stages.lib.ledger.workbooks import may_kill_its_reader, workbook_sheets

DATA = Path(__file__).parents[1] / "data"
WRITERS = {
    "ledger.xlsx": lambda path: write_xlsx(path, {"S": [HEADER, *map(typed, ROWS)]}),
    "ledger.ods": lambda path: write_ods(path, [HEADER, *map(typed, ROWS)]),
    "ledger.xls": lambda path: shutil.copy(DATA / "ledger.xls", path),
    "ledger.xlsb": lambda path: shutil.copy(DATA / "ledger.xlsb", path),
}


def sheets(path: Path, *patterns: str) -> list[tuple[str, list[list]]]:
    return [(s.name, list(s.rows)) for s in workbook_sheets(path, patterns or ["*"])]


def rewrite(path: Path, part: str, change) -> None:
    """Replace one part of the archive at `path` by `change` of it."""
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as copy:
        for name, content in parts.items():
            copy.writestr(name, change(content) if name == part else content)


@pytest.mark.parametrize("name", WRITERS)
def test_rows_of_every_format_are_typed_cells(tmp_path, name):
    WRITERS[name](tmp_path / name)
    ((_, rows),) = sheets(tmp_path / name)
    assert [row[2:5] for row in rows] == [row[2:5] for row in [HEADER, *map(typed, ROWS)]]


def test_sheets_are_chosen_by_name_and_others_have_no_rows(tmp_path):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"Notes": [["x"]], "Data": [["a"], ["b"]], "Empty": []})
    assert sheets(path) == [("Notes", [["x"]]), ("Data", [["a"], ["b"]]), ("Empty", [])]
    assert sheets(path, "da*") == [("Notes", []), ("Data", [["a"], ["b"]]), ("Empty", [])]
    with refused("sheet-not-found", str(path), "Ledger", "ingest.reading"):
        sheets(path, "Ledger")


def test_a_workbook_without_sheets_is_named(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {})
    with refused("sheet-not-found", "a.xlsx"):
        sheets(tmp_path / "a.xlsx")


def test_empty_columns_on_the_left_count(tmp_path):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"S": [["a", "b"]]})
    rewrite(path, "xl/worksheets/s1.xml", lambda part: part.replace(
        b'<c t="inlineStr"><is><t xml:space="preserve">a</t></is></c><c t=', b'<c r="C1" t='
    ))  # fmt: skip
    assert sheets(path) == [("S", [["", "", "b"]])]


def test_tabs_and_line_breaks_of_opendocument_part_words(tmp_path):
    path = tmp_path / "a.ods"
    write_ods(path, [HEADER, *ROWS])
    rewrite(path, "content.xml", lambda part: part.replace(
        b"O'Brien", b"O'<text:line-break/>Brien<text:tab/>Ltd"
    ))  # fmt: skip
    assert [row[1] for row in read(tmp_path).cells][3:] == ["O'\nBrien\tLtd"]


def test_an_archive_of_ledgers_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", csv_text([HEADER, *ROWS]))
    with refused("file-packed", "a.zip"):
        sheets(tmp_path / "a.zip")


def hide_in_xls(path: Path) -> None:
    """Hide the first sheet, and the second row of the second one; count from 1904."""
    content = bytearray((DATA / "errors.xls").read_bytes())
    content[content.index(b"\x05\0Empty") - 2] = 1  # hsState of BoundSheet8
    rows = [match.start() for match in re.finditer(rb"\x08\x02\x10\x00", content)]
    content[rows[1] + 16] |= 0x20  # fDyZero of Row
    content[content.index(b"\x22\x00\x02\x00\x00\x00") + 4] = 1  # Date1904
    path.write_bytes(content)


def hide_in_xlsb(path: Path) -> None:
    """Hide the sheet so that only a program can show it, and its second row; count from 1904."""
    shutil.copy(DATA / "ledger.xlsb", path)
    row = b"\x00\x19\x01" + bytes(7) + b"\x2c\x01\x00"  # BrtRowHdr, then fDyZero
    changes = {
        b"\x9c\x01\x1a\x00": b"\x9c\x01\x1a\x02",  # hsState of BrtBundleSh
        b"\x99\x01\x0c\x20": b"\x99\x01\x0c\x21",  # f1904 of BrtWbProp
        row + b"\x00": row + b"\x10",
    }
    for before, after in changes.items():
        ledger_files.rewrite(path, lambda _, part, b=before, a=after: part.replace(b, a))


def hide_in_ods(path: Path) -> None:
    """Hide the sheet by its style, and its second row; count from 1904."""
    write_ods(path, [HEADER, *ROWS])
    style = (
        b'<office:automatic-styles><style:style style:name="ta1" style:family="table">'
        b'<style:table-properties table:display="false"/></style:style></office:automatic-styles>'
    )
    day = b'<table:calculation-settings><table:null-date table:date-value="1904-01-01"/>'
    changes = {
        b"<office:body>": style + b"<office:body>",
        b"<office:spreadsheet>": b"<office:spreadsheet>" + day + b"</table:calculation-settings>",
        b'table:name="S"': b'table:name="S" table:style-name="ta1"',
        b"</table:table-row><table:table-row>": b"</table:table-row>"
        b'<table:table-row table:visibility="collapse">',
        b"xmlns:table=": b'xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" '
        b"xmlns:table=",
    }
    for before, after in changes.items():
        rewrite(path, "content.xml", lambda part, b=before, a=after: part.replace(b, a, 1))


@pytest.mark.parametrize(
    ("name", "hide", "found"),
    [
        ("a.xls", hide_in_xls, [("hidden", set()), ("visible", {2})]),
        ("a.xlsb", hide_in_xlsb, [("very hidden", {2})]),
        ("a.ods", hide_in_ods, [("hidden", {2})]),
    ],
)
def test_what_other_formats_hide_is_found(tmp_path, name, hide, found):
    hide(tmp_path / name)
    books = list(workbook_sheets(tmp_path / name, ["*"]))
    assert [(book.state, book.hidden_rows) for book in books] == found
    assert {book.day_zero for book in books} == {date(1904, 1, 1)}


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_hidden_where_nothing_says_so(tmp_path, name):
    WRITERS[name](tmp_path / name)
    (book,) = workbook_sheets(tmp_path / name, ["*"])
    assert book[2:] == ("visible", set(), date(1899, 12, 30))


@pytest.mark.parametrize("how", ["truncated", "garbage"])
@pytest.mark.parametrize("name", WRITERS)
def test_damaged_workbooks_are_named(tmp_path, name, how):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3] if how == "truncated" else b"PK\x03\x04" * 99)
    with refused("damaged-file", str(path)):
        sheets(path)


def test_a_crash_of_the_reader_is_one_line(tmp_path, capfd):
    path = tmp_path / "a.xls"
    path.write_bytes((DATA / "errors.xls").read_bytes()[:4500])
    with refused("damaged-file", str(path)):
        sheets(path)
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_workbook_that_kills_its_reader_is_named(tmp_path, capfd):
    write_deadly_xls(tmp_path / "b.xls")
    shutil.copy(DATA / "errors.xls", tmp_path / "a.xls")
    assert may_kill_its_reader(tmp_path / "b.xls")
    with refused("file-kills-reader", str(tmp_path / "b.xls")):
        read(tmp_path)
    assert "memory allocation" not in capfd.readouterr().err


def write_corner(path: Path) -> None:
    """Write a workbook that names the farthest corner as its last cell, but ends before."""
    write_xlsx(path, {"S": [HEADER, *ROWS]})
    corner = b'<dimension ref="A1:XFD1048576"/><sheetData>'
    rewrite(path, "xl/worksheets/s1.xml", lambda part: part.replace(b"<sheetData>", corner))


def test_what_may_kill_its_reader_is_seen_before(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *ROWS]})
    write_corner(tmp_path / "b.xlsx")
    (tmp_path / "a.csv").write_text("a,b")
    (tmp_path / "c.xlsx").write_bytes(b"PK\x03\x04" * 9)
    shutil.copy(DATA / "ledger.xls", tmp_path / "a.xls")
    for name in ("b.xlsx", "a.xls"):
        assert may_kill_its_reader(tmp_path / name)
    for name in ("a.xlsx", "a.csv", "c.xlsx", "gone.xls"):
        assert not may_kill_its_reader(tmp_path / name)


@pytest.mark.slow
def test_a_cell_in_the_farthest_corner_of_a_sheet_is_too_large(tmp_path):
    path = tmp_path / "a.xlsx"
    write_corner(path)
    # Programs that do not count cells write this.
    assert read(tmp_path).cells == ROWS
    cell = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    rewrite(path, "xl/worksheets/s1.xml", lambda part: part.replace(b"</sheetData>", cell))
    with refused("file-kills-reader", str(path)):
        read(tmp_path)


def test_a_blank_top_does_not_hide_rows_far_below(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"S": [[""]] * 60 + [HEADER, *ROWS]})
    with refused("header-not-found", "sheet 'S'"):
        read(tmp_path)
    found = read(tmp_path, {"header_row": 0, "positions": places()})
    assert found.report["reasons"] == {"blank row": 60}
    assert found.cells == [HEADER, *ROWS]


def test_several_sheets_and_empty_ones(tmp_path):
    sheets = {"Jan": [HEADER, *ROWS[:2]], "Empty": [], "Feb": [HEADER, *ROWS[2:]]}
    write_xlsx(tmp_path / "a.xlsx", sheets)
    found = read(tmp_path)
    assert found.cells == ROWS
    rows = [(s["sheet"], s["rows_read"], s["rows_out"]) for s in found.report["sheets"]]
    assert rows == [("Jan", 2, 2), ("Empty", 0, 0), ("Feb", 2, 2)]
    origin = found.transactions.select(["source_file", "source_sheet", "source_row"]).to_pylist()
    assert [tuple(row.values()) for row in origin] == [
        ("a.xlsx", "Jan", 2), ("a.xlsx", "Jan", 3), ("a.xlsx", "Feb", 2), ("a.xlsx", "Feb", 3)
    ]  # fmt: skip


def test_a_workbook_without_a_fitting_sheet_is_named(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"Ledger": [HEADER, *ROWS]})
    write_xlsx(tmp_path / "b.xlsx", {"Ledgers": [HEADER, *ROWS], "Notes": [["x"]]})
    with refused("sheet-not-found", "b.xlsx", "ledger"):
        read(tmp_path, {"sheets": ["ledger"]})
    assert read(tmp_path, {"sheets": ["ledger*"]}).cells == ROWS * 2


def test_a_sheet_without_header_is_refused_until_it_is_left_out(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"Notes": [["how to read this"]], "Data": [HEADER, *ROWS]})
    with refused("header-not-found", "sheet 'Notes'"):
        read(tmp_path)
    found = read(tmp_path, {"sheets": ["Da*"]})
    assert found.cells == ROWS
    sheets = [(s["sheet"], s["rows_read"]) for s in found.report["sheets"]]
    assert sheets == [("Notes", 0), ("Data", 4)]
