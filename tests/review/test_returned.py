"""A reviewed sheet is found in whatever file it came back, or refused with what is missing."""

import pyarrow as pa
import pytest
from ledger_files import csv_text, write_deadly_xls, write_ods, write_xlsx
from refusals import refused
from reviewed_sheets import FIELDS, as_text, coded, sheet_rows

from stages.lib.review.columns import keys_of_titles
from stages.lib.review.returned import cells_of, read_sheets
from stages.lib.review.reviewed_rows import needed_columns
from stages.lib.tables import write_table

ROWS = [coded(1, "0102"), coded(2), coded(3, "비품", vendor="서울 호텔")]


def read(path):
    return read_sheets(path, keys_of_titles(FIELDS), needed_columns(FIELDS))


def corrected(path) -> list[tuple]:
    return [
        (sheet.where, number, cells_of(sheet, row)["corrected"])
        for sheet in read(path)
        for number, row in sheet.rows
    ]


def text_rows(language="en", **style):
    return [[as_text(cell, **style) for cell in row] for row in sheet_rows(ROWS, language)]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_of_a_workbook_the_sheets_with_keys_are_read(tmp_path, language):
    path, totals = tmp_path / "back.xlsx", [["decision", "rows"], ["post", 3]]
    titled = [["Reviewed by Kim"], [], *sheet_rows(ROWS, language)]
    write_xlsx(path, {"totals": totals, "rows": titled, "mine": []})
    where = f"{path}, sheet 'rows'"
    assert corrected(path) == [(where, 4, "0102"), (where, 5, ""), (where, 6, "비품")]


def test_an_opendocument_sheet_is_read(tmp_path):
    write_ods(tmp_path / "back.ods", text_rows())
    assert [cell for *_, cell in corrected(tmp_path / "back.ods")] == ["0102", "", "비품"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_text_of_any_delimiter_and_encoding_is_read(tmp_path, delimiter, encoding, language):
    path = tmp_path / "back.csv"
    path.write_bytes(csv_text(text_rows(language), delimiter, end="\r\n").encode(encoding))
    assert corrected(path) == [(str(path), 2, "0102"), (str(path), 3, ""), (str(path), 4, "비품")]


def test_a_parquet_file_is_read(tmp_path):
    header, *rows = sheet_rows(ROWS)
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    write_table(pa.table(columns), tmp_path / "back.parquet")
    where = str(tmp_path / "back.parquet")
    assert corrected(where and tmp_path / "back.parquet") == [
        *((where, 1, "0102"), (where, 2, ""), (where, 3, "비품")),
    ]


def test_columns_may_be_moved_and_added(tmp_path):
    rows = [[*reversed(row), "mine"] for row in text_rows()]
    (tmp_path / "back.csv").write_text(csv_text(rows), encoding="utf-8")
    assert [cell for *_, cell in corrected(tmp_path / "back.csv")] == ["0102", "", "비품"]


def without(*titles: str) -> list[list]:
    rows = text_rows()
    keep = [place for place, title in enumerate(rows[0]) if title not in titles]
    return [[row[place] for place in keep] for row in rows]


def test_a_sheet_that_lacks_a_column_is_refused(tmp_path):
    path = tmp_path / "back.csv"
    path.write_text(csv_text(without("key")), encoding="utf-8")
    with refused("no-key-column", "back.csv", "do not delete it"):
        read(path)
    path.write_text(csv_text(without("seen_memo", "corrected")), encoding="utf-8")
    with refused("column-missing", "back.csv", "no column corrected, seen_memo"):
        read(path)


def test_titles_that_became_question_marks_are_refused(tmp_path):
    text = csv_text(text_rows("ko"), ";").encode("cp1252", "replace")
    (tmp_path / "back.csv").write_bytes(text)
    with refused("no-key-column", "question marks"):
        read(tmp_path / "back.csv")


def test_two_columns_of_one_title_are_refused(tmp_path):
    rows = [[*row, text] for row, text in zip(text_rows(), ["Key", 1, 2, 3], strict=True)]
    (tmp_path / "back.csv").write_text(csv_text([list(map(str, row)) for row in rows]))
    with refused("column-twice", "two columns titled 'Key'"):
        read(tmp_path / "back.csv")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no-key-column"),
        (b"PK\x03\x04 broken", "damaged-file"),
        (b"\xd0\xcf\x11\xe0 broken", "damaged-file"),
        (b"PAR1 broken", "damaged-file"),
        (b"%PDF-1.4", "file-not-a-ledger"),
    ],
)
def test_files_that_are_no_sheets_are_refused(tmp_path, content, code):
    (tmp_path / "back").write_bytes(content)
    with refused(code, "back"):
        read(tmp_path / "back")
    with refused("file-not-found", "gone"):
        read(tmp_path / "gone")


def test_an_open_quote_is_refused(tmp_path):
    text = csv_text(text_rows()).replace("acme ltd", '"acme', 1)
    (tmp_path / "back.csv").write_text(text, encoding="utf-8")
    with refused("quote-open", "back.csv, line 2"):
        read(tmp_path / "back.csv")


@pytest.mark.slow
def test_a_workbook_that_kills_its_reader_is_named(tmp_path):
    write_deadly_xls(tmp_path / "back.xls")
    with refused("file-kills-reader", str(tmp_path / "back.xls")):
        read(tmp_path / "back.xls")
