"""Ledgers in many formats, all with the same few rows, become the same table."""

import gzip
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoding_cases import CASES, IN_KANJI, KOREAN
from ledger_files import (
    HEADER,
    INGEST,
    ROWS,
    Read,
    csv_text,
    ingest_params,
    many,
    names,
    read,
    typed,
    without,
    write_ods,
    write_xlsx,
)
from refusals import refused

from stages.lib.contracts.ingest import REJECTS_SCHEMA, transactions_schema
from stages.lib.ledger import reading, text_files
from stages.lib.ledger.source import find_files

DATA = Path(__file__).parents[1] / "data"


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
    "carriage_returns.csv": lambda path: path.write_bytes(
        csv_text([HEADER, *ROWS], end="\r").encode()
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
def test_every_format_gives_the_same_cells(tmp_path, name):
    WRITERS[name](tmp_path / name)
    found = read(tmp_path)
    cells = [[*row[:3], row[3].removesuffix("E0"), *row[4:]] for row in found.cells]
    assert cells == ROWS
    report = found.report
    assert (report["rows_read"], report["rows_out"], report["rows_rejected"]) == (4, 4, 0)


def test_a_fraction_typed_in_a_workbook_says_that_its_sign_is_the_point(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *map(typed, ROWS)]})
    assert [row[3] for row in read(tmp_path).cells] == ["95.58E0", "1234", "-12.5E0", "0"]


@pytest.mark.parametrize(("rows", "written", "guess"), CASES)
def test_cells_in_any_encoding_are_read_and_the_encoding_reported(tmp_path, rows, written, guess):
    columns = names()
    spellings = zip(columns.values(), IN_KANJI[0], strict=True)
    columns = {
        name: {**column, "names": [*column["names"], kanji]}
        for name, (column, kanji) in zip(columns, spellings, strict=True)
    }
    (tmp_path / "a.csv").write_bytes(csv_text(rows).encode(written))
    found = read(tmp_path, columns=columns)
    assert found.cells == rows[1:]
    assert found.sheet["encoding"] == guess


def test_the_first_entry_of_reading_that_matches_counts(tmp_path):
    (tmp_path / "a.csv").write_bytes(csv_text(KOREAN).encode("cp949"))
    every = INGEST["reading"][0]

    def read_as(encoding: str) -> Read:
        entries = [{**every, "match": "A.*", "encoding": encoding}, every]
        params = ingest_params(tmp_path).model_dump()
        return Read(ingest_params(tmp_path).model_validate({**params, "reading": entries}))

    with refused("header-not-found", "a.csv", "latin-1", "cp949", "encoding: auto"):
        read_as("latin-1")
    with refused("encoding-unknown", "a.csv", "utf-9"):
        read_as("utf-9")
    assert read_as("euc-kr").cells == KOREAN[1:]
    with refused("file-not-matched", "a.csv", "match: '*'"):
        read(tmp_path, {"match": "b.*"})


def test_lines_of_two_encodings_are_refused_until_one_is_named(tmp_path):
    rows = [[*row[:2], f"Gebühr für {i}", *row[3:]] for i, row in enumerate(many(10))]
    lines = csv_text([HEADER, *rows]).splitlines(keepends=True)
    encoded = [line.encode("utf-8" if i < 4 else "cp1252") for i, line in enumerate(lines)]
    (tmp_path / "a.csv").write_bytes(b"".join(encoded))
    with refused("encoding-mixed", "a.csv"):
        read(tmp_path)
    found = read(tmp_path, {"encoding": "utf-8"}, max_reject_fraction=0.9)
    assert found.cells == rows[:3]
    assert found.rejects == [(i, "undecodable bytes") for i in range(5, 12)]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_one_bad_byte_costs_its_row_only(tmp_path, end):
    rows = [[*row[:2], f"Gebühr {i}", *row[3:]] for i, row in enumerate(many(50))]
    text = csv_text([HEADER, *rows], end=end).encode().replace(b"hr 30", b"hr \xff30")
    (tmp_path / "a.csv").write_bytes(text)
    found = read(tmp_path)
    assert found.cells == rows[:30] + rows[31:]
    assert found.rejects == [(32, "undecodable bytes")]
    assert found.sheet["encoding"] == "utf-8"


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_named(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with refused("file-empty", str(tmp_path / "a.csv"), "ingest.files"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (gzip.compress(gzip.compress(b"a,b", mtime=0), mtime=0), "file-packed"),
        (b"%PDF-1.4 \xff", "file-not-a-ledger"),
        (b"\n<html><table><tr>", "file-not-a-ledger"),
        (b'[\n  {"date": "2020-04-16"}]', "file-not-a-ledger"),
        (b"\xef\xbb\xbf\n<!-- ERP --><table><tr>", "file-not-a-ledger"),
        (b"SQLite format 3\0\x10\0\x01\xff", "file-not-a-ledger"),
        (b"PK\x05\x06" + bytes(18), "header-not-found"),
    ],
)
def test_files_that_are_no_ledgers_are_named(tmp_path, content, code):
    (tmp_path / "a.csv").write_bytes(content)
    with refused(code, str(tmp_path / "a.csv")):
        read(tmp_path)


def test_a_quote_that_stays_open_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 300)
    monkeypatch.setattr(text_files, "LONGEST_RECORD_CHARS", 1_000)
    open_quote = '2020-04-16,shop,"open,1,0101,X\n'
    text = csv_text([HEADER, *many(20)]) + open_quote + "a,b,c\n" * 400
    (tmp_path / "a.csv").write_text(text)
    with refused("quote-open", "a.csv, line 22", "1,000", "ingest.reading"):
        read(tmp_path, {"quote": "double"})


# Blocks, processes and memory


def write_messy(path: Path) -> list[list[str]]:
    """Write two times 300 rows and 31 that are none. Some have personal data, which is masked with
    a digest that no block or process changes."""
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
    path.write_text(text + '2020-04-16,a,"5" pipe",1,0101,X\n' * 30 + "\n" + csv_text(rows))
    return rows


def whole(path: Path) -> tuple:
    found = reading.read_ledger(ingest_params(path))
    return found.transactions.to_pylist(), found.rejects.to_pylist(), found.report


def test_blocks_and_processes_make_no_difference(tmp_path, monkeypatch):
    rows = write_messy(tmp_path / "a.csv")
    found, in_one = read(tmp_path), whole(tmp_path)
    assert len(found.rejects) == 31
    hidden = [[row[0], re.sub(r"010-\S+", "[phone]", row[1]), *row[2:]] for row in rows]
    assert found.cells == hidden * 2
    digests = found.transactions["masked"].to_pylist()
    assert digests[:300] == digests[300:]
    assert len(set(digests)) == 1 + 34 and digests.count("") == 2 * (300 - 34)
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 700)
    assert whole(tmp_path) == in_one
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(reading, "cores", lambda: 2)
    assert whole(tmp_path) == in_one


def test_cells_are_filled_over_the_borders_of_blocks(tmp_path, monkeypatch):
    rows = [[*row[:1], "NA" if i == 0 else "", *row[2:]] for i, row in enumerate(many(50))]
    monkeypatch.setattr(reading, "CHUNK_ROWS", 7)
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 90)
    columns = [[row[i] for row in rows] for i in range(6)]
    pq.write_table(pa.table(columns, HEADER), tmp_path / "a.parquet", row_group_size=11)
    (tmp_path / "b.csv").write_text(csv_text([HEADER, *rows]))
    write_xlsx(tmp_path / "c.xlsx", {"S": [HEADER, *rows]})
    found = read(tmp_path, fill_down=["vendor"])
    assert found.cells == [[row[0], "NA", *row[2:]] for row in rows] * 3


def test_parts_are_yielded_as_they_are_read(tmp_path, monkeypatch):
    """So memory is bounded: a part is a piece of one file."""
    monkeypatch.setattr(reading, "CHUNK_ROWS", 7)
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 200)
    rows = many(50)
    pq.write_table(
        pa.table([[row[i] for row in rows] for i in range(6)], HEADER), tmp_path / "a.parquet"
    )
    (tmp_path / "b.csv").write_text(csv_text([HEADER, *rows]))
    write_xlsx(tmp_path / "c.xlsx", {"S": [HEADER, *rows]})
    source, done = find_files(str(tmp_path), ["*"]), []
    parts = list(reading.read_parts(source, ingest_params(tmp_path), progress=done.append))
    counted = {
        name: [p.sheet.rows_read for p in parts if p.sheet.file == name]
        for name in ("a.parquet", "b.csv", "c.xlsx")
    }
    for sizes in counted.values():
        assert sum(sizes) == 50 and max(sizes) <= 8 and len(sizes) > 6
    assert source.size - len(parts) <= sum(done) <= source.size


def test_a_ledger_in_memory_has_the_schemas_of_the_files(tmp_path):
    params = ingest_params(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(csv_text([HEADER, *ROWS]))
    found = reading.read_ledger(params)
    assert found.transactions.schema == transactions_schema(params.roles)
    assert found.rejects.schema == REJECTS_SCHEMA
    files = found.transactions["source_file"].combine_chunks()
    assert files.dictionary.to_pylist() == ["a.csv", "b.csv"]
    assert files.to_pylist() == ["a.csv"] * 4 + ["b.csv"] * 4


# Rows without account


def test_rows_that_have_no_account_yet_are_transactions(tmp_path):
    rows = [
        ["2020-04-16", "shop", "paper", "50"],
        ["2020-04-16", "Total Wine & More", "beer", "50"],
        ["", "", "", "100"],
        ["합계", "", "", "100"],
    ]
    (tmp_path / "a.csv").write_text(csv_text([HEADER[:4], *rows]), encoding="utf-8")
    with refused("header-not-found", "account"):
        read(tmp_path)
    found = Read(ingest_params(tmp_path), has_labels=False)
    assert found.cells == [[*row, ""] for row in rows[:2]]
    assert found.rejects == [(4, "subtotal"), (5, "subtotal")]
    assert list(found.transactions.column_names[3:]) == [
        "date", "vendor", "memo", "amount", "account", "masked"
    ]  # fmt: skip


def test_accounts_of_rows_to_be_coded_are_not_read(tmp_path):
    """They may be drafts in another form. What is masked elsewhere is what it is with accounts."""
    rows = [[*row[:2], "call 010-1234-5678", *row[3:4], "draft", row[5]] for row in many(20)]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]))
    with refused("column-content", "account"):
        read(tmp_path)
    found = Read(ingest_params(tmp_path), has_labels=False)
    assert found.cells == [[*row[:2], "call [phone]", row[3], ""] for row in rows]
    assert found.sheet["columns_not_used"] == ["Account", "Account name"]
    assert found.report["cells_masked"] == {"phone in memo": 20}


def test_new_rows_need_only_the_columns_that_are_asked_for(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text([["Vendor", "Text"], ["shop", "paper"]]))
    columns = {"vendor": INGEST["columns"]["vendor"], "account": INGEST["columns"]["account"]}
    params = ingest_params(
        tmp_path, columns=columns, required=["vendor", "account"], patterns={"account": "x"}
    )
    assert Read(params, has_labels=False).cells == [["shop", ""]]


def test_a_ledger_may_be_one_with_few_columns(tmp_path):
    columns = without("date", "vendor", "amount", "name")
    (tmp_path / "a.txt").write_text("memo\taccount\nx\t0101\n", encoding="utf-16")
    assert read(tmp_path, columns=columns, required=["memo"]).cells == [["x", "0101"]]
