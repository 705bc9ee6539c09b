"""Ledgers in many formats, all with the same few rows, and with the dirt that real ones have."""

import errno
import gzip
import os
import re
import resource
import shutil
import unicodedata
import zipfile
from pathlib import Path

import ledger_files as ledger
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_files import HEADER, ROWS, csv_text, write_ods, write_xlsx

from stages import ingest
from stages.lib.errors import UserError
from stages.lib.ledger import files

DATA = Path(__file__).parent / "data"


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def typed(row: list[str]) -> list:
    """Return a row as a workbook holds it: the amount is a number."""
    return [*row[:3], float(row[3]), *row[4:]]


def write_parquet(path: Path) -> None:
    columns = zip(*map(typed, ROWS), strict=True)
    table = pa.table(dict(zip(HEADER, map(list, columns), strict=True)))
    table = table.set_column(0, "Date", table["Date"].cast(pa.date32()))
    pq.write_table(table, path)


WRITERS = {
    "ledger.csv": lambda path: path.write_text(csv_text([HEADER, *ROWS])),
    "ledger.tsv": lambda path: path.write_text(csv_text([HEADER, *ROWS], "\t")),
    "ledger.txt": lambda path: path.write_text(csv_text([HEADER, *ROWS], "|")),
    "ledger.csv.gz": lambda path: path.write_bytes(
        gzip.compress(csv_text([HEADER, *ROWS], ";").encode())
    ),
    "really_tabs.csv": lambda path: path.write_text(csv_text([HEADER, *ROWS], "\t")),
    "really_text.xls": lambda path: path.write_text(csv_text([HEADER, *ROWS], "\t")),
    "ledger.xlsx": lambda path: write_xlsx(path, {"S": [HEADER, *map(typed, ROWS)]}),
    "really_xlsx.xls": lambda path: write_xlsx(path, {"S": [HEADER, *map(typed, ROWS)]}),
    "ledger.ods": lambda path: write_ods(path, [HEADER, *map(typed, ROWS)]),
    "ledger.xls": lambda path: shutil.copy(DATA / "ledger.xls", path),
    "ledger.xlsb": lambda path: shutil.copy(DATA / "ledger.xlsb", path),
    "ledger.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_cells(book, name):
    WRITERS[name](book.raw / name)
    report = book.run("ingest")
    cells = [[*row[:3], row[3].removesuffix("E0"), *row[4:]] for row in book.cells()]
    assert cells == ROWS
    assert (report["rows_read"], report["rows_out"], report["rows_rejected"]) == (4, 4, 0)


def test_a_fraction_typed_in_a_workbook_says_that_its_sign_is_the_point(book):
    write_xlsx(book.raw / "a.xlsx", {"S": [HEADER, *map(typed, ROWS)]})
    book.run("ingest")
    assert [row[3] for row in book.cells()] == ["95.58E0", "1234", "-12.5E0", "0"]


def test_a_parameter_overrides_the_guess(book):
    header = ["일자", "거래처", "적요", "금액", "계정", "계정명"]
    korean = [header, ["2020-04-16", "한우마을", "의원실 간담회 식대", "123000", "0101", "식비"]]
    (book.raw / "a.csv").write_bytes(csv_text(korean).encode("cp949"))
    book.ingest["reading"].insert(0, {**book.ingest["reading"][0], "match": "a.*"})
    book.ingest["reading"][0]["encoding"] = "latin-1"
    with pytest.raises(UserError, match=r"a\.csv: no header found for date \(date / 일자\)"):
        book.run("ingest")
    book.ingest["reading"][0]["encoding"] = "euc-kr"
    book.run("ingest")
    assert book.cells() == korean[1:]


def test_a_mark_does_not_hide_the_first_header_cell(book):
    for encoding in ("utf-8", "utf-16-le"):
        (book.raw / "a.csv").write_bytes(("\ufeff" + csv_text([HEADER, *ROWS])).encode(encoding))
        book.ingest["reading"][0]["encoding"] = encoding
        book.run("ingest")
        assert book.cells() == ROWS


def test_an_encoding_that_does_not_exist_is_refused(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    book.ingest["reading"][0]["encoding"] = "utf-9"
    with pytest.raises(UserError, match="no encoding is called 'utf-9'"):
        book.run("ingest")


@pytest.mark.parametrize(
    ("delimiter", "quote", "end"),
    [(",", '"', "\r\n"), ("\t", '"', "\n"), (";", '"', "\n"), ("|", "'", "\n"), (",", '"', "\r")],
)
def test_delimiters_quotes_and_line_ends_are_found(book, delimiter, quote, end):
    rows = [*ROWS[:3], ["2020-04-20", "Ltd; Co|1", "a,b\tc", "1", "4010", "X"]]
    (book.raw / "a.csv").write_bytes(csv_text([HEADER, *rows], delimiter, quote, end).encode())
    book.run("ingest")
    assert book.cells() == rows


@pytest.mark.parametrize("chars", [50, 8_000_000])
@pytest.mark.parametrize("ends", [["\r", "\n"], ["\n", "\r"], ["\r", "\r\n", "\n"], ["\r\n", "\r"]])
def test_line_ends_of_several_kinds_cost_no_row(book, monkeypatch, ends, chars):
    rows = many(40)
    text = "".join(
        csv_text([row], end=ends[i * len(ends) // 41]) for i, row in enumerate([HEADER, *rows])
    )
    (book.raw / "a.csv").write_bytes(text.encode())
    monkeypatch.setattr(files, "BLOCK_CHARS", chars)
    report = book.run("ingest")
    assert book.cells() == rows
    assert (report["rows_read"], report["rows_out"]) == (40, 40)


@pytest.mark.parametrize("short_rows", ["reject", "fill"])
def test_line_ends_that_change_far_below_the_header_cost_no_row(book, short_rows):
    rows = many(9_000)
    text = csv_text([HEADER, *rows[:8_000]]) + csv_text(rows[8_000:], end="\r")
    assert len(text) > 2 * ingest.SAMPLE_CHARS
    (book.raw / "a.csv").write_bytes(text.encode())
    book.ingest["reading"][0]["short_rows"] = short_rows
    book.run("ingest")
    assert book.cells() == rows


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("inner", ["\r", "\n", "\r\n"])
def test_line_breaks_in_quotes_are_of_any_kind(book, end, inner):
    rows = [[*row[:2], f"thing\n{i}", *row[3:]] for i, row in enumerate(many(20))]
    text = csv_text([HEADER, *rows]).replace("thing\n", "thing+").replace("\n", end)
    (book.raw / "a.csv").write_bytes(text.replace("+", inner).encode())
    book.run("ingest")
    assert book.cells() == rows


def test_line_breaks_that_no_quotes_hold_are_refused_until_the_line_end_is_named(book):
    rows = [[*row[:2], f"thing {i}", *row[3:]] for i, row in enumerate(many(20))]
    for line_end, end, inner in (("lf", "\n", "\r"), ("lf", "\r\n", "\r"), ("crlf", "\r\n", "\n")):
        text = csv_text([HEADER, *rows], end=end).replace("thing 7", f"thing{inner}7")
        (book.raw / "a.csv").write_bytes(text.encode())
        book.ingest["reading"][0]["line_end"] = "any"
        book.run("ingest")
        assert book.rejects() == [(9, "too few cells"), (10, "too few cells")]
        assert book.cells() == rows[:7] + rows[8:]
        book.ingest["reading"][0]["line_end"] = line_end
        book.run("ingest")
        assert book.cells() == rows


def test_tabs_without_quotes_keep_quote_marks(book):
    rows = [["2020-04-16", '"quoted', '5" pipe', "1", "0101", "X"] for _ in range(5)]
    (book.raw / "a.txt").write_text("".join("\t".join(row) + "\n" for row in [HEADER, *rows]))
    report = book.run("ingest")
    assert book.cells() == rows
    assert report["sheets"][0]["quote"] == "none"


def test_quotes_escaped_by_a_backslash(book):
    rows = [["2020-04-16", f"shop {i}", f'a "{i}", b', "1", "0101", "X"] for i in range(5)]
    lines = [",".join(f'"{cell}"' for cell in HEADER)]
    lines += [",".join('"' + cell.replace('"', '\\"') + '"' for cell in row) for row in rows]
    (book.raw / "a.csv").write_text("\n".join(lines))
    report = book.run("ingest")
    assert book.cells() == rows
    assert report["sheets"][0]["quote"] == "backslash"


def test_quotes_behind_a_space(book):
    rows = [["2020-04-16", f"shop {i}", f"a {i}, b", "1", "0101", "X"] for i in range(5)]
    lines = [", ".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    (book.raw / "a.csv").write_text("\n".join([", ".join(HEADER), *lines]))
    report = book.run("ingest")
    assert book.cells() == rows
    assert report["sheets"][0]["quote"] == "spaced"


def test_nul_bytes_vanish(book):
    text = csv_text([HEADER, *ROWS]).replace("SUPPLIES", "SUP\0PLIES\0")
    (book.raw / "a.csv").write_text(text)
    book.run("ingest")
    assert book.cells() == ROWS


def test_text_stays_text(book):
    odd = ["0101", "1e5", "NaN", "TRUE", "  12 ", "1/2", "=A1", "#N/A", "inf", "0x10", "①"]
    rows = [["2020-04-16", "NULL", cell, "1", "0007", cell] for cell in odd]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.run("ingest")
    assert book.cells() == rows


def test_numbers_of_a_workbook_become_their_shortest_text(book):
    cells = [2401.0, 0.1, 1e-05, 1e16, 12345678901234.0, -0.0, 1e300]
    expected = ["2401", "0.1", "0.00001", "10000000000000000", "12345678901234", "0"]
    assert [files.cell_text(cell) for cell in cells[:6]] == expected
    assert float(files.cell_text(cells[6])) == 1e300
    assert [files.cell_text(c) for c in (None, True, float("nan"))] == ["", "TRUE", ""]


def test_cells_of_parquet_files_mean_what_they_meant(book):
    columns = [
        pa.array([1587000000123456789, 1587081600000000000], pa.timestamp("ns")),
        pa.array(["한빛".encode(), b"NA"], pa.binary()).dictionary_encode(),
        pa.array([b"abc", None], pa.binary(3)),
        pa.array([12.1, 1e-7], pa.float32()),
        pa.array([101.0, 2010.0], pa.float16()),
        pa.array([float("inf"), float("nan")]),
    ]
    pq.write_table(pa.table(columns, HEADER), book.raw / "a.parquet")
    book.ingest["patterns"] = {}
    book.run("ingest")
    assert book.cells() == [
        ["2020-04-16 01:20:00", "한빛", "abc", "12.1E0", "101", "Infinity"],
        ["2020-04-17", "NA", "", "0.0000001E0", "2010", ""],
    ]


def test_bytes_that_are_no_text_are_refused_in_a_parquet_file(book):
    columns = [pa.array([row[i] for row in ROWS]) for i in range(6)]
    blob = pa.array([b"caf\xe9"] * 4)
    pq.write_table(pa.table([*columns, blob], [*HEADER, "image"]), book.raw / "a.parquet")
    book.run("ingest")
    assert book.cells() == ROWS
    columns[1] = blob
    pq.write_table(pa.table(columns, HEADER), book.raw / "a.parquet")
    with pytest.raises(UserError, match=r"raw/a.parquet: a column of bytes holds no UTF-8 text"):
        book.run("ingest")


def test_lists_with_bytes_and_nul_characters_in_a_parquet_file(book):
    columns = [pa.array([row[i] for row in ROWS]) for i in range(6)]
    columns[1] = pa.array(["a\0b", "\0", "", "c"])
    nested = pa.array([[{"image": b"\xff"}]] * 4)
    pq.write_table(pa.table([*columns, nested], [*HEADER, "images"]), book.raw / "a.parquet")
    book.run("ingest")
    assert [row[1] for row in book.cells()] == ["ab", "", "", "c"]


# Headers


def test_header_spelling_does_not_matter(book):
    header = ["ＤＡＴＥ", " vendor\n", "M e m o", "AMOUNT ", "Account", "account\nname"]
    write_xlsx(book.raw / "a.xlsx", {"S": [header, *ROWS]})
    book.run("ingest")
    assert book.cells() == ROWS


def test_header_cells_with_marks_of_direction_and_turkish_letters(book):
    header = ["\u200fDate\u200e", "Cari", "AÇIKLAMA", "\u202aAmount\u202c", "ACCOUNT", "İSİM"]
    for name, cell in zip(HEADER, ["date", "CARİ", "Açıklama", "amount", "account", "isim"],
                          strict=True):  # fmt: skip
        column = {"Account name": "name"}.get(name, name.lower())
        book.ingest["columns"][column]["names"] = [cell]
    (book.raw / "a.csv").write_text(csv_text([header, *ROWS]), encoding="utf-8")
    book.run("ingest")
    assert book.cells() == ROWS


def test_header_need_not_be_the_first_row(book):
    above = [["City ledger 2020"], [], ["printed", "2020-05-01"]]
    write_xlsx(book.raw / "a.xlsx", {"S": [*above, HEADER, *ROWS]})
    report = book.run("ingest")
    assert book.cells() == ROWS
    assert report["sheets"][0]["header_row"] == 4
    assert book.rejects() == [(i, "above the header") for i in (1, 2, 3)]
    assert report["rows_read"] == 7


def test_title_lines_above_the_header_of_a_text_file(book):
    (book.raw / "a.csv").write_text("sep=;\n\n" + csv_text([HEADER, *ROWS], ";"))
    report = book.run("ingest")
    assert book.cells() == ROWS
    assert (report["sheets"][0]["header_row"], report["sheets"][0]["delimiter"]) == (3, "semicolon")


def test_columns_of_one_name_are_told_apart(book):
    del book.ingest["columns"]["vendor"]
    header = ["Date", "Text", "TEXT", "Amount", "Account", "Account name"]
    write_xlsx(book.raw / "a.xlsx", {"S": [header, *ROWS]})
    book.ingest["columns"]["memo"]["names"] = ["text"]
    with pytest.raises(UserError, match=r"columns\.memo: .*Text \(1 of 2\) \| TEXT \(2 of 2\)"):
        book.run("ingest")
    book.ingest["columns"]["memo"]["names"] = ["text (2 of 2)"]
    report = book.run("ingest")
    assert [row[1] for row in book.cells()] == [row[2] for row in ROWS]
    assert report["sheets"][0]["columns_not_used"] == ["Text"]


def test_a_bare_name_does_not_choose_between_two(book):
    header = ["Date", "Vendor", "Amount", "Amount", "Account", "Account name"]
    write_xlsx(book.raw / "a.xlsx", {"S": [header, *ROWS]})
    with pytest.raises(UserError, match="no header found for amount"):
        book.run("ingest")


def test_no_header_is_refused_until_positions_are_given(book):
    (book.raw / "a.csv").write_text(csv_text(ROWS))
    with pytest.raises(UserError, match="header_row and positions"):
        book.run("ingest")
    places = dict(zip(book.ingest["columns"], range(1, 7), strict=True))
    book.ingest["reading"][0].update(header_row=0, positions=places)
    book.run("ingest")
    assert book.cells() == ROWS


def test_a_row_that_no_name_matches_is_no_header(book):
    """With positions alone, the first transaction must not vanish as a header, nor be reported."""
    row = ["2020-04-16", "a@b.org", "rent", "1.50", "0101", "4111 1111 1111 1111"]
    (book.raw / "a.csv").write_text(csv_text([row] * 5))
    places = dict(zip(book.ingest["columns"], range(1, 7), strict=True))
    book.ingest["reading"][0]["positions"] = places
    book.ingest["mask"] = []
    report = book.run("ingest")
    assert book.cells() == [row] * 5
    assert report["rows_read"] == 5
    assert "4111" not in str(report) and "a@b.org" not in str(report)


def test_two_tables_in_one_file_are_refused_until_the_header_is_named(book):
    book.ingest["columns"]["more"] = {"role": "text", "names": ["more"]}
    below = [[*HEADER, "More"], *([*row, "x"] for row in many(20))]
    (book.raw / "a.csv").write_text(csv_text([[*HEADER, ""], *many(20), *below]))
    book.ingest["reading"][0]["short_rows"] = "fill"
    with pytest.raises(UserError, match="rows 1 and 22 both name all required columns"):
        book.run("ingest")


@pytest.mark.parametrize("cell", ['="0101"', "0101"])
def test_codes_that_excel_must_not_take_for_numbers_are_codes(book, cell):
    text = csv_text([HEADER, *many(3)], ";").replace(";0101;", f";{cell};")
    (book.raw / "a.csv").write_text(text)
    book.run("ingest")
    assert book.cells() == many(3)


def test_a_position_that_no_row_reaches_is_refused(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    book.ingest["reading"][0]["positions"] = {"account": 9}
    with pytest.raises(UserError, match=r"account.*column 9.*only 6"):
        book.run("ingest")


def write_without_header(path: Path) -> None:
    {".csv": lambda: path.write_text(csv_text(ROWS, ";")),
     ".xlsx": lambda: write_xlsx(path, {"S": ROWS})}[path.suffix]()  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_position_beyond_the_width_is_refused_without_header_too(book, name):
    write_without_header(book.raw / name)
    places = dict(zip(book.ingest["columns"], [1, 2, 99, 4, 5, 6], strict=True))
    book.ingest["reading"][0].update(header_row=0, positions=places)
    with pytest.raises(UserError, match=r"puts memo into column 99, but there are only 6"):
        book.run("ingest")


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_header_far_below_is_found_where_the_parameter_says(book, name):
    rows = [[f"line {i}"] for i in range(120)] + [HEADER, *ROWS]
    if name == "a.csv":
        (book.raw / name).write_text(csv_text(rows))
    else:
        write_xlsx(book.raw / name, {"S": rows})
    book.ingest["reading"][0]["header_row"] = 121
    assert book.run("ingest")["sheets"][0]["header_row"] == 121
    assert book.cells() == ROWS
    book.ingest["reading"][0]["header_row"] = 900
    with pytest.raises(UserError, match=r"has header_row 900, but row 12[56] is the last one"):
        book.run("ingest")


def test_a_column_that_no_file_has_is_refused_and_the_nearest_cells_shown(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    book.ingest["columns"]["memo"]["names"] = ["memmo", "적욕"]
    del book.ingest["columns"]["vendor"]
    with pytest.raises(UserError) as error:
        book.run("ingest")
    assert str(error.value) == (
        "ingest.columns.memo: no file has it, neither a header cell 'memmo / 적욕' nor a position "
        "in ingest.reading; header cells that no column took, the nearest first: Memo | Vendor. "
        "Correct names, or take the column out"
    )
    # What one of the files has may be empty in the others.
    (book.raw / "b.csv").write_text(csv_text([[*HEADER[:2], "적욕", *HEADER[3:]], *ROWS]))
    report = book.run("ingest")
    assert [row[1] for row in book.cells()] == [""] * 4 + [row[2] for row in ROWS]
    assert ["memo" in sheet["columns"] for sheet in report["sheets"]] == [False, True]


def test_a_sheet_that_lacks_the_account_is_read_where_it_is_not_required(book):
    book.ingest["required"] = ["date", "amount"]
    without = [row[:4] for row in [HEADER, *ROWS, HEADER]]
    write_xlsx(book.raw / "a.xlsx", {"coded": [HEADER, *ROWS], "open": without})
    report = book.run("ingest")
    assert [row[4] for row in book.cells()] == [*(row[4] for row in ROWS), "", "", "", ""]
    assert report["reasons"] == {"repeated header": 1}


def test_a_column_without_names_is_in_no_file(book):
    book.ingest["columns"]["account"]["names"] = []
    book.ingest["required"] = ["date", "amount"]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    book.run("ingest")
    assert [row[4] for row in book.cells()] == [""] * 4


def test_several_sheets_and_empty_ones(book):
    sheets = {"Jan": [HEADER, *ROWS[:2]], "Empty": [], "Feb": [HEADER, *ROWS[2:]]}
    write_xlsx(book.raw / "a.xlsx", sheets)
    report = book.run("ingest")
    assert book.cells() == ROWS
    rows = [(s["sheet"], s["rows_read"], s["rows_out"]) for s in report["sheets"]]
    assert rows == [("Jan", 2, 2), ("Empty", 0, 0), ("Feb", 2, 2)]
    origin = book.rows("ingest/transactions", ["source_file", "source_sheet", "source_row"])
    assert origin == [("a.xlsx", "Jan", 2), ("a.xlsx", "Jan", 3),
                      ("a.xlsx", "Feb", 2), ("a.xlsx", "Feb", 3)]  # fmt: skip


def test_a_workbook_none_of_whose_sheets_is_meant_is_named(book):
    write_xlsx(book.raw / "a.xlsx", {"Ledger": [HEADER, *ROWS]})
    write_xlsx(book.raw / "b.xlsx", {"Ledgers": [HEADER, *ROWS], "Notes": [["x"]]})
    book.ingest["reading"][0]["sheets"] = ["ledger"]
    with pytest.raises(UserError, match=r"raw/b\.xlsx: .* sheets ledger, but none of its 2 fits"):
        book.run("ingest")
    book.ingest["reading"][0]["sheets"] = ["ledger*"]
    book.run("ingest")
    assert book.cells() == ROWS * 2


def test_rows_far_below_a_blank_top_are_not_overlooked(book):
    write_xlsx(book.raw / "a.xlsx", {"S": [[""]] * 60 + [HEADER, *ROWS]})
    with pytest.raises(UserError, match="sheet 'S': no header found"):
        book.run("ingest")
    book.ingest["reading"][0].update(
        header_row=0, positions=dict(zip(book.ingest["columns"], range(1, 7), strict=True))
    )
    report = book.run("ingest")
    assert report["reasons"] == {"blank row": 60}
    assert book.cells() == [HEADER, *ROWS]


def test_a_sheet_without_header_is_refused_until_it_is_left_out(book):
    write_xlsx(book.raw / "a.xlsx", {"Notes": [["how to read this"]], "Data": [HEADER, *ROWS]})
    with pytest.raises(UserError, match="sheet 'Notes': no header found"):
        book.run("ingest")
    book.ingest["reading"][0]["sheets"] = ["Da*"]
    report = book.run("ingest")
    assert book.cells() == ROWS
    assert [(s["sheet"], s["rows_read"]) for s in report["sheets"]] == [("Notes", 0), ("Data", 4)]


# Personal data


def test_names_and_messages_hold_nothing_personal(book):
    """A masked name is told apart by its number; rejects, header cells and examples are masked."""
    mail, phone = "kim@corp.com", "010-1234-5678"
    header = [*HEADER, f"call {phone}"]
    sheets = {f"of {mail}": [header, *ROWS], "of lee@corp.com": [[mail], header, *ROWS]}
    write_xlsx(book.raw / f"{mail} a.xlsx", sheets)
    (book.raw / f"{phone}.csv").write_text(csv_text([header, *[[*row, ""] for row in ROWS]]))
    (book.raw / f"{mail} b.pdf").write_text("")
    book.ingest["files"] = ["*.csv", "*.xlsx"]
    report = book.run("ingest")
    names = [("[phone].csv (1)", ""), ("[email] a.xlsx (2)", "of [email] (1)"),
             ("[email] a.xlsx (2)", "of [email] (2)")]  # fmt: skip
    assert [(sheet["file"], sheet["sheet"]) for sheet in report["sheets"]] == names
    origin = ["source_file", "source_sheet"]
    assert book.rows("ingest/transactions", origin) == [name for name in names for _ in ROWS]
    assert book.rows("ingest/rejects", [*origin, "cells"]) == [(*names[2], ["[email]", *[""] * 6])]
    assert {str(sheet["columns_not_used"]) for sheet in report["sheets"]} == {"['call [phone]']"}
    assert report["files_not_read"] == ["[email] b.pdf"]

    book.ingest["files"] = ["*.csv"]
    book.ingest["columns"]["memo"]["names"] = ["no such"]
    with pytest.raises(UserError, match=r"the nearest first: .*call \[phone\]"):
        book.run("ingest")
    rows = [[*row[:3], f"{phone} x", *row[4:], ""] for row in ROWS]
    (book.raw / f"{phone}.csv").write_text(csv_text(rows))
    with pytest.raises(UserError, match=r"likeliest header row is 1: '2020.*\| \[phone\] x \|"):
        book.run("ingest")
    book.ingest["columns"]["memo"]["names"] = ["memo"]
    (book.raw / f"{phone}.csv").write_text(csv_text([header, *rows]))
    message = r"^\[phone\].csv \(1\): only 0 of 4 cells of .* look like amount .*: '\[phone\] x'"
    with pytest.raises(UserError, match=message):
        book.run("ingest")
    places = dict(zip(book.ingest["columns"], range(1, 7), strict=True))
    book.ingest["reading"][0].update(positions=places, header_row=1)
    (book.raw / f"{phone}.csv").write_text(csv_text([[*ROWS[0][:2], mail, *ROWS[0][3:]], *ROWS]))
    (sheet,) = book.run("ingest")["sheets"]
    assert sheet["columns"]["memo"] == "3 ('[email]')"


def test_what_fits_the_pattern_of_its_column_is_not_personal(book, capsys):
    rows = [["2020-04-16", "050-2010-4010", "050-2010-4010", "1", "0101", "X"],
            ["2020-04-17", "call 010-1234-5678", "", "4111111111111111", "0101", "X"]]  # fmt: skip
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.ingest["patterns"]["vendor"] = "[0-9]{3}-[0-9]{4}-[0-9]{4}"
    report = book.run("ingest")
    assert book.cells() == [[*rows[0][:2], "[phone]", *rows[0][3:]],
                            [rows[1][0], "call [phone]", *rows[1][2:]]]  # fmt: skip
    assert report["cells_masked"] == {"phone in memo": 1, "phone in vendor": 1}
    assert "are masked" not in capsys.readouterr().err
    del book.ingest["patterns"]["vendor"]
    book.run("ingest")
    assert capsys.readouterr().err.endswith(
        "\ningest: 2 of 2 cells of vendor are masked (phone); if they are codes and nothing "
        "personal, say in ingest.patterns.vendor what they look like\n"
    )


# Content


def many(count: int, code: str = "0101") -> list[list[str]]:
    return [
        ["2020-04-16", f"shop {i % 7}", f"thing {i}", str(i), code, f"NAME {code}"]
        for i in range(1, count + 1)
    ]


def test_header_over_other_columns_is_noticed_by_its_cells(book):
    rows = [[row[0], row[4], row[2], row[3], row[1], row[5]] for row in many(20)]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    message = (
        r"a\.csv: only 0 of 20 cells of the column 5 \('Account'\) look like account.*'shop 1'"
    )
    with pytest.raises(UserError, match=message):
        book.run("ingest")


def test_codes_written_as_decimal_fractions_are_whole_where_only_so_they_fit(book):
    codes = ["2401.0", "0101", "2401", "10.0"]
    rows = [[*row[:4], codes[i % 4], row[5]] for i, row in enumerate(many(20))]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.ingest["patterns"] = {"account": r"[0-9]{4}|[0-9]+\.0"}
    book.run("ingest")
    assert [row[4] for row in book.cells()] == codes * 5
    book.ingest["patterns"] = {"account": "[0-9]{4}"}
    book.ingest["min_content_match"] = 0.7
    book.run("ingest")
    assert [row[4] for row in book.cells()] == ["2401", "0101", "2401", "10.0"] * 5
    book.ingest["min_content_match"] = 0.8
    with pytest.raises(UserError, match=r"'10\.0'.*lost their leading zeros.*labels\.pad_to"):
        book.run("ingest")
    book.ingest["patterns"] = {"account": "[0-9]{2,4}"}
    book.run("ingest")
    assert [row[4] for row in book.cells()] == ["2401", "0101", "2401", "10"] * 5


def test_header_over_dates_and_amounts_is_noticed(book):
    rows = [[row[1], row[0], *row[2:]] for row in many(20)]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    with pytest.raises(UserError, match=r"only 0 of 20 cells of the column 1 \('Date'\)"):
        book.run("ingest")


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
@pytest.mark.parametrize("order", [[0, 2, 1, 3, 4, 5], [4, 1, 2, 3, 0, 5], [5, 0, 1, 2, 3, 4]])
def test_a_second_header_over_columns_in_another_order_is_noticed(book, name, order):
    """As one gets who joins the files of two months."""
    again = [name.upper() for name in HEADER]
    rows = [HEADER, *many(200), *([row[i] for i in order] for row in [again, *many(9)])]
    if name == "a.csv":
        (book.raw / name).write_text(csv_text(rows), encoding="utf-8")
    else:
        write_xlsx(book.raw / name, {"S": rows})
    with pytest.raises(UserError, match=r"row 202: the header stands here again, over columns in"):
        book.run("ingest")


def test_a_header_that_stands_again_in_capitals_is_no_transaction(book):
    rows = many(5)
    again = [name.upper() for name in HEADER]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows, again, *rows]), encoding="utf-8")
    book.run("ingest")
    assert book.cells() == rows * 2
    assert book.rejects() == [(7, "repeated header")]


def test_header_over_other_columns_is_noticed_by_the_other_files(book):
    rows = many(20)
    swapped = [[*row[:1], row[5], row[2], row[3], row[4], row[1]] for row in rows]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    (book.raw / "b.csv").write_text(csv_text([HEADER, *rows]))
    broken_header = [cell.replace(" ", "\n") for cell in HEADER]
    (book.raw / "c.csv").write_text(csv_text([broken_header, *swapped]))
    with pytest.raises(UserError, match=r"c\.csv: the column .* should be (vendor|name)"):
        book.run("ingest")
    entry = {**book.ingest["reading"][0], "match": "c.csv", "positions": {"vendor": 6, "name": 2}}
    book.ingest["reading"].insert(0, entry)
    book.run("ingest")
    assert book.cells() == rows * 3


@pytest.mark.parametrize(
    ("place", "cells"),
    [
        (3, ["１２，３００", "￦1,200", "1\u00a0200,50 €", "1\u202f200", "５００원", "5.-", "1´2"]),
        (3, [" $-   ", "₩ -", "−", "- €", "-원", "R$ -"]),  # zeros of accounting formats
        (0, ["２０２０년 4월 16일", "200416", "16.04.20", "Mon, 16 Apr 2020", "16 04 2020"]),
        (0, ["2020\u00a04\u00a016", "1er mars 2020", "16 de abril de 2020", "April 16th, 2020"]),
        (0, ["20200416T101500", "2020.04.16(목)", "20200416101500", "43937.5"]),
        (0, ["Apr-16-2020", "Apr/16/20", "April.16,2020"]),
        (4, ["０１０１", "0101\u00a0", "\u20070101"]),
    ],
)  # fmt: skip
def test_cells_that_preprocess_can_read_are_no_sign_of_moved_columns(book, place, cells):
    rows = [[*row[:place], cells[i % len(cells)], *row[place + 1 :]]
            for i, row in enumerate(many(30))]  # fmt: skip
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows], ";"))
    book.ingest["min_content_match"] = 1.0
    book.run("ingest")
    assert book.cells() == rows


@pytest.mark.parametrize("cell", ["shop 7", "12.50", "0101", "1,234", "12345678901"])
def test_cells_that_are_no_dates_are_noticed(book, cell):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *([cell, *row[1:]] for row in many(20))]))
    with pytest.raises(UserError, match=r"only 0 of 20 cells of the column 1 \('Date'\)"):
        book.run("ingest")


def test_files_of_different_departments_are_not_taken_for_swapped(book):
    for name in ("a", "b", "c"):
        rows = [[*row[:1], f"{name} {row[1]}", f"{name} {row[2]}", *row[3:]] for row in many(20)]
        (book.raw / f"{name}.csv").write_text(csv_text([HEADER, *rows]))
    assert book.run("ingest")["rows_out"] == 60


# Rows that are no transactions


def test_each_refused_row_is_kept_with_its_reason(book):
    rows = [
        HEADER,
        *many(20),
        ["", "", "", "210", "", ""],
        ["", "", "", "", "", ""],
        ["합계", "", "", "210", "", ""],
        ["", "Grand Total", "", "210", "", ""],
        HEADER,
        ["2020-04-16", "Total", "petrol", "50", "0101", "FUEL"],
        ["2020-04-16", "shop", "no account", "50", "", ""],
        ["2020-04-16", "shop", "no amount", " ", "0101", ""],
    ]
    write_xlsx(book.raw / "a.xlsx", {"S": rows})
    report = book.run("ingest")
    assert book.rejects() == [
        (22, "subtotal"),
        (23, "blank row"),
        (24, "subtotal"),
        (25, "subtotal"),
        (26, "repeated header"),
        (28, "no account"),
        (29, "no amount"),
    ]
    assert book.cells()[-1] == rows[26]
    assert report["reasons"] == {"subtotal": 3, "blank row": 1, "no account": 1, "no amount": 1,
                                 "repeated header": 1}  # fmt: skip
    assert book.rows("ingest/rejects", ["cells"])[2] == (["합계", "", "", "210", "", ""],)


def test_a_transaction_without_account_is_no_subtotal(book):
    rows = [
        ["2020-04-16", "Total Wine & More", "beer", "50", "", ""],
        ["2020-04-16", "Total Wine & More", "", "50", "", ""],
        ["2020-04-16", "Total", "petrol", "50", "", ""],
        ["2020-04-16", "shop", "in total", "50", "", ""],
        ["2020-04-30", "** Total: **", "", "50", "", ""],
        ["2020-04-30", "합계 2020.04", "", "50", "", ""],
        ["", "Total of April", "", "50", "", ""],
        ["", "shop 1 Total", "shop 1 total", "50", "", ""],
    ]
    write_xlsx(book.raw / "a.xlsx", {"S": [HEADER, *many(12), *rows]})
    book.run("ingest")
    reasons = ["no account"] * 4 + ["subtotal"] * 4
    assert book.rejects() == list(zip(range(14, 22), reasons, strict=True))


def test_a_total_in_the_account_column_is_no_account(book):
    rows = [*many(9), ["2020-04-30", "", "", "45", "0101 Total", ""]]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.run("ingest")
    assert book.rejects() == [(11, "subtotal")]


def test_a_total_is_no_account_where_accounts_are_words(book):
    book.ingest["patterns"] = {}
    rows = [*many(9, "Totally fine"), ["2020-04-30", "", "", "45", "Total", ""]]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.run("ingest")
    assert book.rejects() == [(11, "subtotal")]


def test_lines_that_are_no_rows_are_refused_one_by_one(book):
    rows = [[*row[:2], f"thing, {i}", *row[3:]] for i, row in enumerate(many(20))]
    text = csv_text([HEADER, *rows])
    text += '2020-04-16,a,"5" pipe",1,0101,X\n'  # a stray quote
    text += "2020-04-16,a,b,1,0101\n"  # too few
    text += "2020-04-16,a,b,1,0101,X,Y\n"  # too many
    text += "2020-04-16,a,b,1,0101,X,,\n"  # too many, but empty
    text += '2020-04-16,a,"never closed,1,0101,X\n'
    text += "2020-04-17,a,b,1,0101,X\n"
    (book.raw / "a.csv").write_text(text)
    report = book.run("ingest")
    assert book.rejects() == [(22, "stray quote"), (23, "too few cells"), (24, "too many cells"),
                              (26, "stray quote")]  # fmt: skip
    assert report["rows_out"] == 22
    assert book.rows("ingest/rejects", ["cells"])[0] == (['2020-04-16,a,"5" pipe",1,0101,X'],)


def test_two_stray_quotes_do_not_swallow_the_rows_between_them(book):
    rows = [[*row[:2], "two\nlines, of\ntext, no\nrow", *row[3:]] if i == 3 else row
            for i, row in enumerate(many(40))]  # fmt: skip
    text = (
        csv_text([HEADER, *rows])
        .replace("thing 8,", '"thing 8,')
        .replace("thing 30,", 'thing 30",')
    )
    (book.raw / "a.csv").write_text(text)
    book.ingest["reading"][0]["quote"] = "double"
    book.run("ingest")
    assert book.rejects() == [(12, "stray quote")]
    assert [row[2] for row in book.cells()] == [
        f'thing {i}"' if i == 30 else rows[i - 1][2] for i in range(1, 41) if i != 8
    ]


def test_short_rows_are_filled_on_request(book):
    (book.raw / "a.csv").write_text(
        csv_text([HEADER, *many(3), ["2020-04-16", "a", "b", "1", "0101"]])
    )
    book.ingest["reading"][0]["short_rows"] = "fill"
    book.run("ingest")
    assert book.cells()[-1] == ["2020-04-16", "a", "b", "1", "0101", ""]


def test_bytes_that_are_no_text_in_a_header_cell_that_no_column_takes(book):
    content = csv_text([[*HEADER, "X"], *([*row, ""] for row in ROWS)]).encode()
    (book.raw / "a.csv").write_bytes(content.replace(b",X\n", b",\xff\n"))
    book.run("ingest")
    assert book.cells() == ROWS


def test_bytes_that_are_no_text_cost_their_row_only(book):
    lines = csv_text([HEADER, *many(20)]).replace("thing 5", "thé 5").encode().split(b"\n")
    lines[3] = lines[3].replace(b"thing", b"th\xffng")
    (book.raw / "a.csv").write_bytes(b"\n".join(lines))
    report = book.run("ingest")
    assert book.rejects() == [(4, "undecodable bytes")]
    assert report["rows_out"] == 19
    assert "thé 5" in [row[2] for row in book.cells()]


def test_cells_are_filled_from_above_on_request(book):
    book.ingest["fill_down"] = ["account", "name"]
    rows = many(6)
    shown = [[*row[:4], *(row[4:] if i % 3 == 0 else ["", ""])] for i, row in enumerate(rows)]
    shown.insert(3, ["", "Subtotal", "", "6", "", ""])
    write_xlsx(book.raw / "a.xlsx", {"S": [HEADER, *shown]})
    book.run("ingest")
    assert book.cells() == rows
    assert book.rejects() == [(5, "subtotal")]


def test_a_refused_row_ends_what_is_filled_from_above(book):
    """It may have begun another section, whose rows must not fall to the one before."""
    book.ingest["fill_down"] = ["account"]
    plain = [[*row[:4], "", ""] for row in many(3)]
    lines = [
        csv_text([HEADER]),
        "6000,,,,6000,Office\n",
        csv_text(plain),
        ",,,,6100\n",  # too short: the section of 6100
        csv_text(plain),
        ",,,,6200,Meals\n",
        csv_text(plain),
    ]
    (book.raw / "a.csv").write_text("".join(lines))
    book.ingest["patterns"] = {}
    book.ingest["max_reject_fraction"] = 1.0
    book.run("ingest")
    assert [row[4] for row in book.cells()] == ["6000"] * 3 + ["6200"] * 3
    reasons = [reason for _, reason in book.rejects()]
    assert reasons.count("too few cells") == 1
    assert reasons.count("no account") == 3


def test_totals_in_the_column_of_dates_are_not_filled_from_above(book):
    book.ingest["fill_down"] = ["account"]
    rows = many(3)
    for row in rows[1:]:
        row[4] = ""
    totals = [["합계", "", "", "12", "", ""], ["4월 소계", "", "", "12", "", ""]]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows, *totals]), encoding="utf-8")
    book.run("ingest")
    assert len(book.cells()) == 3
    assert book.rejects() == [(5, "subtotal"), (6, "subtotal")]


def test_rows_of_merged_cells_are_no_subtotals(book):
    book.ingest["columns"]["centre"] = {"role": "category", "names": ["centre"]}
    book.ingest["fill_down"] = ["date", "vendor", "memo", "account", "name"]
    rows = [[*row, f"C{i}"] for i, row in enumerate(many(6))]
    shown = [
        row if i % 2 == 0 else ["", "", "", row[3], "", "", row[6]] for i, row in enumerate(rows)
    ]
    write_xlsx(
        book.raw / "a.xlsx", {"S": [[*HEADER, "Centre"], *shown, ["", "", "", "9", "", "", ""]]}
    )
    book.run("ingest")
    assert [row[6] for row in book.cells()] == [f"C{i}" for i in range(6)]
    assert book.rejects() == [(8, "subtotal")]


def test_lines_that_were_cut_off_are_no_subtotals(book):
    rows = many(20)
    text = csv_text([["Journal", *HEADER], *(["J1", *row] for row in rows)])
    lines = text.splitlines(keepends=True)
    lines[3] = "J1\n"
    (book.raw / "a.csv").write_text("".join([*lines, "-------,---\n"]))
    book.run("ingest")
    assert book.rejects() == [(4, "too few cells"), (22, "blank row")]


def test_cells_are_filled_over_the_borders_of_blocks(book, monkeypatch):
    book.ingest["fill_down"] = ["vendor"]
    rows = [[*row[:1], "NA" if i == 0 else "", *row[2:]] for i, row in enumerate(many(50))]
    monkeypatch.setattr(ingest, "CHUNK_ROWS", 7)
    monkeypatch.setattr(files, "BLOCK_CHARS", 90)
    columns = [[row[i] for row in rows] for i in range(6)]
    pq.write_table(pa.table(columns, HEADER), book.raw / "a.parquet", row_group_size=11)
    (book.raw / "b.csv").write_text(csv_text([HEADER, *rows]))
    write_xlsx(book.raw / "c.xlsx", {"S": [HEADER, *rows]})
    book.run("ingest")
    assert book.cells() == [[row[0], "NA", *row[2:]] for row in rows] * 3


def test_too_many_refused_rows_fail_and_leave_nothing(book):
    rows = [
        *many(8),
        ["2020-04-16", "a", "b", "1", "", ""],
        ["2020-04-16", "a", "b", "", "0101", ""],
    ]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.ingest["max_reject_fraction"] = 0.1
    with pytest.raises(UserError) as error:
        book.run("ingest")
    assert str(error.value) == (
        "ingest: 2 of 10 rows were refused (20.0%, ingest.max_reject_fraction is 10.0%); "
        "no account: 1 rows, such as a.csv row 10; no amount: 1 rows, such as a.csv row 11"
    )
    assert not (book.folder / "metrics").exists()
    assert list((book.folder / "data/ingest").iterdir()) == []


# Files


def test_folder_file_and_patterns(book):
    (book.raw / "2019").mkdir()
    (book.raw / "2019/a.CSV").write_text(csv_text([HEADER, *ROWS[:1]]))
    (book.raw / "b.csv").write_text(csv_text([HEADER, *ROWS[1:]]))
    (book.raw / "notes.md").write_text("hello")
    (book.raw / "~$b.csv").write_text("lock")
    book.ingest["files"] = ["*.csv"]
    report = book.run("ingest")
    assert [sheet["file"] for sheet in report["sheets"]] == ["2019/a.CSV", "b.csv"]
    assert report["files_not_read"] == ["notes.md"]
    book.ingest["files"] = ["2019/*"]
    assert book.run("ingest")["rows_out"] == 1
    book.ingest["source"] = "raw/b.csv"
    assert book.run("ingest")["rows_out"] == 3
    for key, value, message in (("files", ["*.pdf"], "no file matches"),
                                ("source", "elsewhere", "no such file or folder")):  # fmt: skip
        book.ingest.update({"source": "raw", "files": ["*"], key: value})
        with pytest.raises(UserError, match=message):
            book.run("ingest")


def test_names_with_signs_of_patterns_and_of_other_forms_are_matched(book):
    (book.raw / "a[1].csv").write_text(csv_text([HEADER, *ROWS]))
    (book.raw / unicodedata.normalize("NFD", "원장 (2).csv")).write_text(csv_text([HEADER, *ROWS]))
    for name in ("A[1].csv", "원장 (2).csv"):
        entry = {**book.ingest["reading"][-1], "match": name, "encoding": "utf-9"}
        book.ingest["reading"] = [entry, book.ingest["reading"][-1]]
        with pytest.raises(UserError, match="no encoding is called 'utf-9'"):
            book.run("ingest")
    book.ingest["files"] = ["a[1].csv"]
    assert book.run("ingest")["rows_out"] == 4


def test_files_that_are_no_files_are_named(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    other = book.folder / "other"
    other.mkdir()
    (book.raw / "linked").symlink_to(other)
    assert book.run("ingest")["files_not_read"] == ["linked"]
    os.mkfifo(book.raw / "b.csv")
    with pytest.raises(UserError, match=r"raw/b\.csv: is a pipe or a device"):
        book.run("ingest")
    book.ingest["source"] = "raw/*.csv"
    with pytest.raises(
        UserError, match=r"raw/\*\.csv: there .*; patterns belong into ingest\.files"
    ):
        book.run("ingest")


@pytest.mark.parametrize("name", ["locked.csv", "locked"])
def test_what_may_not_be_read_is_named(book, monkeypatch, name):
    """The tests may run as root, whom nothing is locked for: the system's answer is imitated."""
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    (book.raw / "locked").mkdir()
    (book.raw / "locked.csv").write_text(csv_text([HEADER, *ROWS]))

    def refuse(real):
        def wrapped(path, *args, **kwargs):
            if Path(path).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *args, **kwargs)

        return wrapped

    monkeypatch.setattr("os.scandir", refuse(os.scandir))
    monkeypatch.setattr("builtins.open", refuse(open))
    with pytest.raises(UserError, match=rf"^raw/{name}: cannot be read: Permission denied$"):
        book.run("ingest")


@pytest.mark.parametrize("name", [b"\xc7\xd1.csv", b"a\nb.csv"])
def test_a_file_name_that_no_line_can_show_is_refused(book, name):
    with open(os.fsencode(book.raw) + b"/" + name, "w") as file:
        file.write(csv_text([HEADER, *ROWS]))
    with pytest.raises(
        UserError, match=r"the file name '.*' (is no UTF-8|has a line break); rename"
    ):
        book.run("ingest")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(gzip.compress(b"a,b", mtime=0), mtime=0), "is packed and no text; unpack"),
        (b"%PDF-1.4 \xff", "is a PDF, HTML or XML file, a picture or a database; save it as"),
        (b"\n<html><table><tr>", "is a PDF, HTML or XML file"),
        (b"\xef\xbb\xbf\n<!-- ERP --><table><tr>", "is a PDF, HTML or XML file"),
        (b"SQLite format 3\0\x10\0\x01\xff", "is a PDF, HTML or XML file, a picture or a database"),
        (b"PK\x05\x06" + bytes(18), "no header found|encoding cannot be told"),
    ],
)
def test_files_that_are_no_ledgers_are_named(book, content, message):
    (book.raw / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"raw/a\.csv: {message}"):
        book.run("ingest")


def test_an_archive_of_ledgers_is_named(book):
    with zipfile.ZipFile(book.raw / "a.zip", "w") as archive:
        archive.writestr("a.csv", csv_text([HEADER, *ROWS]))
    with pytest.raises(UserError, match=r"raw/a\.zip: is a zip archive and no workbook; unpack it"):
        book.run("ingest")


def test_a_workbook_that_kills_its_reader_is_named(book, capfd):
    content = bytearray((DATA / "errors.xls").read_bytes())
    # The record of the sheet's dimensions: four thousand million rows, at once.
    content[content.rindex(b"\x00\x02\x0e\x00") + 11] = 252
    (book.raw / "b.xls").write_bytes(content)
    shutil.copy(DATA / "errors.xls", book.raw / "a.xls")
    with pytest.raises(
        UserError, match=r"raw/b\.xls: its reader dies; it is corrupt, or too large"
    ):
        book.run("ingest")
    assert "memory allocation" not in capfd.readouterr().err


def test_a_cell_in_the_farthest_corner_of_a_sheet_is_too_large(book):
    write_xlsx(book.raw / "a.xlsx", {"S": [HEADER, *ROWS]})
    with zipfile.ZipFile(book.raw / "a.xlsx") as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    corner = b'<dimension ref="A1:XFD1048576"/><sheetData>'
    parts["xl/worksheets/s1.xml"] = parts["xl/worksheets/s1.xml"].replace(b"<sheetData>", corner)

    def write() -> None:
        with zipfile.ZipFile(book.raw / "a.xlsx", "w") as copy:
            for name, part in parts.items():
                copy.writestr(name, part)

    write()  # as programs have it that do not count cells
    book.run("ingest")
    assert book.cells() == ROWS
    cell = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    parts["xl/worksheets/s1.xml"] = parts["xl/worksheets/s1.xml"].replace(b"</sheetData>", cell)
    write()
    with pytest.raises(UserError, match=r"raw/a\.xlsx: its reader dies; .* too large"):
        book.run("ingest")


def test_a_line_without_end_is_refused_before_it_fills_the_memory(book):
    content = csv_text([HEADER, *ROWS]).encode() + b"x" * 40_000_000
    (book.raw / "a.csv.gz").write_bytes(gzip.compress(content, 1, mtime=0))
    with pytest.raises(UserError, match=r"raw/a\.csv\.gz, line 7: does not end within 8,000,000"):
        book.run("ingest")


def test_a_crash_of_the_reader_is_one_line(book, capfd):
    content = (DATA / "errors.xls").read_bytes()
    (book.raw / "a.xls").write_bytes(content[:4500])
    with pytest.raises(UserError, match=r"raw/a\.xls: cannot be read, it seems truncated"):
        book.run("ingest")
    assert "panicked" not in capfd.readouterr().err


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3] if how == "truncated" else b"PK\x03\x04" * 99)


@pytest.mark.parametrize("how", ["truncated", "garbage"])
@pytest.mark.parametrize("name", ["ledger.xlsx", "ledger.ods", "ledger.xls", "ledger.xlsb"])
def test_damaged_workbooks_are_named(book, name, how):
    WRITERS[name](book.raw / name)
    damage(book.raw / name, how)
    with pytest.raises(UserError, match=f"raw/{name}: cannot be read, it seems truncated"):
        book.run("ingest")
    assert list((book.folder / "data/ingest").iterdir()) == []


def test_truncated_gzip_and_parquet_are_named(book):
    text = csv_text([HEADER, *many(2000)]).encode()
    whole = gzip.compress(text)
    path = book.raw / "a.csv.gz"
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"raw/a.csv.gz: cannot be read, it seems truncated"):
        book.run("ingest")
    path.write_bytes(whole[:400] + bytes(8) + whole[408:])
    with pytest.raises(UserError, match=r"raw/a.csv.gz: cannot be read, it seems truncated"):
        book.run("ingest")
    path.unlink()
    write_parquet(book.raw / "a.parquet")
    damage(book.raw / "a.parquet", "truncated")
    with pytest.raises(UserError, match=r"raw/a.parquet: cannot be read, it seems truncated"):
        book.run("ingest")


def test_a_file_that_cannot_be_opened_is_named(book):
    (book.raw / "a.csv").symlink_to(book.folder / "gone.csv")
    with pytest.raises(UserError, match=r"raw/a.csv: cannot be read: No such file"):
        book.run("ingest")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_named(book, content):
    (book.raw / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"raw/a.csv: is empty; write it again, or leave it out"):
        book.run("ingest")


def test_files_without_rows_are_in_the_report(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    (book.raw / "b.csv").write_text(csv_text([HEADER]))
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in HEADER}),
                   book.raw / "c.parquet")  # fmt: skip
    report = book.run("ingest")
    rows = [(s["file"], s["rows_read"], len(s["columns"])) for s in report["sheets"]]
    assert rows == [("a.csv", 4, 6), ("b.csv", 0, 6), ("c.parquet", 0, 6)]


def test_an_output_that_cannot_be_written_is_named_and_the_old_one_stays(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    book.run("ingest")
    before = (book.folder / "data/ingest/transactions.parquet").read_bytes()
    (book.raw / "a.csv").write_text(
        csv_text([HEADER, *([*r[:2], os.urandom(40).hex(), *r[3:]] for r in many(20_000))])
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"ingest/transactions.parquet, .*: cannot be written"):
            book.run("ingest")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (book.folder / "data/ingest/transactions.parquet").read_bytes() == before
    names = sorted(path.name for path in (book.folder / "data/ingest").iterdir())
    assert names == ["rejects.parquet", "transactions.parquet"]


# How a text file is cut


def outputs(book) -> list[bytes]:
    return [
        (book.folder / name).read_bytes()
        for name in ("data/ingest/transactions.parquet", "data/ingest/rejects.parquet",
                     "metrics/ingest/report.json")
    ]  # fmt: skip


def test_blocks_and_processes_make_no_difference(book, monkeypatch):
    # Some hold personal data, which is masked with a digest that no block or process changes.
    rows = [
        [
            row[0],
            f"shop {f'010-1234-{i:04}' if i % 9 == 0 else i}",
            f'two\nlines, "{i}"\n',
            *row[3:],
        ]
        for i, row in enumerate(many(300))
    ]
    text = csv_text([HEADER, *rows])
    text += '2020-04-16,a,"5" pipe",1,0101,X\n' * 30 + "\n" + csv_text(rows)
    (book.raw / "a.csv").write_text(text)
    book.run("ingest")
    whole = outputs(book)
    assert len(book.rejects()) == 31
    hidden = [[row[0], re.sub(r"010-\S+", "[phone]", row[1]), *row[2:]] for row in rows]
    assert book.cells() == hidden * 2
    digests = [digest for (digest,) in book.rows("ingest/transactions", ["masked"])]
    assert digests[:300] == digests[300:]
    assert len(set(digests)) == 1 + 34 and digests.count("") == 2 * (300 - 34)
    monkeypatch.setattr(files, "BLOCK_CHARS", 700)
    book.run("ingest")
    assert outputs(book) == whole
    monkeypatch.setattr(ingest, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(ingest, "cores", lambda: 2)
    book.run("ingest")
    assert outputs(book) == whole


@pytest.mark.parametrize(
    ("name", "role", "message"),
    [
        ("group", "group", r".*group.*: a column called group is made from others; choose another"),
        ("amount_bucket", "category", ".*: a column called amount_bucket is made from others"),
        ("row_id", "id", ".*: a column called row_id is made from others"),
        ("source_row", "id", ".*: a column called source_row is made from others"),
        ("date", "text", "columns.date: this is the name of the date in the base table; choose"),
        ("acct_code", "category", "columns.acct_code: this is the name of the label in the base"),
    ],
)
def test_names_of_the_base_table_are_refused(book, name, role, message):
    columns = {key: column for key, column in book.ingest["columns"].items() if key != name}
    book.ingest["columns"] = {**columns, name: {"role": role, "names": ["x"]}}
    with pytest.raises(UserError, match=rf"^params\.yaml: ingest(: |\.){message}"):
        book.run("ingest")


def test_parameters_that_contradict_are_refused(book):
    for change, message in (
        ({"required": ["date", "when"]}, "not among the columns: when"),
        ({"patterns": {"account": "["}}, "not a regular expression"),
        ({"columns": {"a": {"role": "text", "names": []}}}, "exactly one has the role label"),
    ):
        book.ingest = {**ledger.INGEST, **change}
        with pytest.raises(UserError, match=message):
            book.run("ingest")
