"""Where rows are refused, the first one is shown as it is, with the parameter that cures it."""

import pytest
from ledger_files import HEADER, ROWS, csv_text, many, read
from refusals import refused

SHORT = [row[:5] for row in many(9)]


@pytest.mark.parametrize(
    ("rows", "reading", "parts"),
    [
        (SHORT, {}, ["too few cells", "'2020-04-16,shop 1,thing 1,1,0101'", "5 cells instead of 6",
                     "short_rows: fill"]),
        ([[*row, "x"] for row in many(9)], {}, ["too many cells", "7 cells instead of 6",
                                                "quote", "delimiter", "positions"]),
        ([[*row[:3], "-1.250", "50", *row[4:]] for row in many(9)], {},
         ["too many cells", "decimal comma"]),
        ([["", *row[1:]] for row in many(9)], {},
         ["no date", "column 1 ('Date')", "ingest.fill_down", "ingest.required"]),
        ([[*row[:4], "", row[5]] for row in many(9)], {},
         ["no account", "column 5 ('Account')", "ingest.fill_down"]),
        ([["", "", "", "5", "", ""]] * 9, {}, ["subtotal", "column 5 ('Account')"]),
    ],
)  # fmt: skip
def test_the_first_row_and_its_cure_are_named(tmp_path, rows, reading, parts):
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]))
    with refused("no-transactions", "a.csv row 2 is ", *parts):
        read(tmp_path, reading)


def test_lines_that_are_parts_of_one_row(tmp_path):
    rows = [[*row[:2], "thing\rtwo", *row[3:]] for row in many(9)]
    text = csv_text([HEADER, *rows]).replace('"', "")
    (tmp_path / "a.csv").write_bytes(text.encode())
    with refused("no-transactions", "3 cells instead of 6", "line_end: lf"):
        read(tmp_path)
    assert read(tmp_path, {"line_end": "lf"}).report["rows_out"] == 9


def test_stray_quotes(tmp_path):
    lines = ['2020-04-16,"5" pipe, black",x,1,0101,X\n'] * 9
    (tmp_path / "a.csv").write_text(csv_text([HEADER, ROWS[0]]) + "".join(lines))
    with refused("too-many-rejects", 'a.csv row 3 is \'2020-04-16,"5" pipe', "quote: none"):
        read(tmp_path, {"quote": "double"})


def test_quotes_that_are_not_read(tmp_path):
    (tmp_path / "a.csv").write_text(
        csv_text([HEADER, *([*r[:2], "a, b", *r[3:]] for r in many(9))])
    )
    with refused("no-transactions", "7 cells instead of 6", "quote: double"):
        read(tmp_path, {"quote": "none"})


def test_bytes_of_another_encoding(tmp_path):
    rows = [[*row[:2], "Gebühr", *row[3:]] for row in many(9)]
    (tmp_path / "a.csv").write_bytes(csv_text([HEADER, *rows]).encode("cp1252"))
    with refused("no-transactions", "undecodable bytes", "utf-8", "encoding"):
        read(tmp_path, {"encoding": "utf-8"})


def test_personal_data_of_the_row_is_masked(tmp_path):
    rows = [[*row[:1], "a@b.org", *row[2:5]] for row in many(9)]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows], ";"))
    with refused("no-transactions", "'2020-04-16;[email];thing 1"):
        read(tmp_path)


def test_reasons_of_sheets_and_unknown_ones(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text([["x"], HEADER]))
    with refused("no-transactions", "above the header", "header_row"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text(csv_text([HEADER, [""] * 6]))
    with refused("no-transactions", "blank row", "ingest.reading"):
        read(tmp_path)
