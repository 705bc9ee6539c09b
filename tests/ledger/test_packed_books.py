"""What python-calamine does not tell of a packed workbook is read from it."""

import io
import zipfile
from datetime import date

import pytest
from ledger_files import HEADER, ROWS, ErrorCell, rewrite, write_ods, write_xlsx

from stages.lib.ledger import packed_books
from stages.lib.ledger.day_counts import DAY_ZERO, DAY_ZERO_1904
from stages.lib.ledger.packed_books import read_packed


@pytest.mark.parametrize("write", [write_ods, lambda path, rows: write_xlsx(path, {"S": rows})])
def test_a_workbook_without_errors_stays_as_it_is(tmp_path, write):
    write(tmp_path / "a", [HEADER, *ROWS])
    content = (tmp_path / "a").read_bytes()
    assert read_packed(content) == (content, {}, DAY_ZERO)


def test_a_large_part_is_searched_in_pieces(tmp_path, monkeypatch):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"S": [HEADER, *ROWS, [ErrorCell("#N/A")]]})
    rewrite(path, lambda _, part: part.replace(b"<row>", b'<row hidden="1">'))
    whole = read_packed(path.read_bytes())
    assert whole.hidden == {0: {1, 2, 3, 4, 5, 6}}
    monkeypatch.setattr(packed_books, "_LARGE", 50)
    assert read_packed(path.read_bytes()) == whole


def test_an_opendocument_sheet_says_where_its_days_begin(tmp_path):
    path = tmp_path / "a.ods"
    write_ods(path, [HEADER, *ROWS])
    settings = (
        b"<office:spreadsheet><table:calculation-settings><table:null-date table:date-value="
        b'"1904-01-01"/></table:calculation-settings>'
    )
    hidden = b'<table:table-row table:visibility="filter">'

    def change(_: str, part: bytes) -> bytes:
        part = part.replace(b"<office:spreadsheet>", settings)
        return hidden.join(part.rsplit(b"<table:table-row>", 1))

    rewrite(path, change)
    found = read_packed(path.read_bytes())
    assert (found.hidden, found.day_zero) == ({0: {5}}, DAY_ZERO_1904)
    rewrite(path, lambda _, part: part.replace(b"1904-01-01", b"1900-01-01"))
    assert read_packed(path.read_bytes()).day_zero == date(1900, 1, 1)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [(6, 1, "it has encrypted parts"), (8, 99, "compression method is not supported")],
)
def test_a_workbook_that_could_hide_its_error_cells_is_refused(place, value, message):
    """Flags and compression of a part, in its own header and in the archive's directory."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", '<worksheet><c t="e"><v>#N/A</v></c>')
    content = bytearray(archive.getvalue())
    assert read_packed(bytes(content)).content != content
    content[place] = content[content.index(b"PK\x01\x02") + place + 2] = value
    with pytest.raises(zipfile.BadZipFile, match=message):
        read_packed(bytes(content))
