"""A table as .xlsx: types, filters, the same bytes, and no text that runs."""

import datetime
import re
from zipfile import ZipFile

import pyarrow as pa
import pytest
from python_calamine import CalamineWorkbook

from stages.lib.evaluation import workbook
from stages.lib.evaluation.words import load_words

TABLE = pa.table(
    {
        "acct_code": ["0101", "=1+1"],
        "probability": [0.9876, None],
        "amount": pa.array([-12.5, None]),
        "date": pa.array([datetime.date(2018, 1, 31), None], pa.date32()),
        "correct": [True, False],
        "메모": ["커피 http://a.b/c", "+SUM(A1)"],
        "source_file": pa.array(["a", "b"]).dictionary_encode(),
        "source_row": pa.array([2, 3], pa.int64()),
    }
)


def xml_of(path, name="xl/worksheets/sheet1.xml") -> str:
    with ZipFile(path) as book:
        return book.read(name).decode()


def rows_of(path, sheet=0) -> list[list]:
    return CalamineWorkbook.from_path(path).get_sheet_by_index(sheet).to_python()


@pytest.fixture
def path(tmp_path):
    workbook.write_book(TABLE, tmp_path / "t.xlsx", "rows", load_words("en"))
    return tmp_path / "t.xlsx"


def test_cells_have_the_types_of_their_columns(path):
    header, first, second = rows_of(path)
    assert header[:5] == ["posted to", "probability", "amount", "date", "right"]
    day = datetime.date(2018, 1, 31)
    text = "커피 http://a.b/c"
    assert first == ["0101", 0.9876, -12.5, day, "yes", text, "a", 2.0]
    assert second == ["=1+1", "", "", "", "no", "+SUM(A1)", "b", 3.0]
    styles = xml_of(path, "xl/styles.xml")
    for form in ("0.0%", "yyyy-mm-dd"):
        assert form in styles


def test_no_text_is_a_formula_or_a_link(path):
    sheet = xml_of(path)
    assert "<f>" not in sheet and "<hyperlink" not in sheet


def test_the_header_stays_in_view_is_printed_on_each_page_and_has_filters(path):
    sheet = xml_of(path)
    assert '<autoFilter ref="A1:H3"/>' in sheet
    assert re.search(r'<pane ySplit="1" [^>]*state="frozen"/>', sheet)
    assert "_xlnm.Print_Titles" in xml_of(path, "xl/workbook.xml")


def test_the_same_table_is_the_same_bytes_and_knows_no_clock(path, tmp_path):
    workbook.write_book(TABLE, tmp_path / "again.xlsx", "rows", load_words("en"))
    assert (tmp_path / "again.xlsx").read_bytes() == path.read_bytes()
    assert "2000-01-01T00:00:00Z" in xml_of(path, "docProps/core.xml")


def test_a_table_longer_than_a_sheet_goes_on_in_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "SHEET_ROWS", 2)
    table = pa.table({"text": ["a", "b", "c", "d", "e"]})
    workbook.write_book(table, tmp_path / "t.xlsx", "제외된 행", load_words("ko"))
    book = CalamineWorkbook.from_path(tmp_path / "t.xlsx")
    assert book.sheet_names == ["제외된 행", "제외된 행 2", "제외된 행 3"]
    parts = [rows_of(tmp_path / "t.xlsx", number)[1:] for number in range(3)]
    assert [cell for part in parts for (cell,) in part] == ["a", "b", "c", "d", "e"]


def test_an_empty_table_has_its_header(tmp_path):
    workbook.write_book(TABLE.slice(0, 0), tmp_path / "t.xlsx", "rows", load_words("en"))
    assert len(rows_of(tmp_path / "t.xlsx")) == 1


def test_no_two_titles_are_equal():
    found = workbook.unique_titles(["a", "a", "b", "a"], "{title} ({number})")
    assert found == ["a", "a (2)", "b", "a (3)"]
