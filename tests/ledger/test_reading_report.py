"""What reading has seen is reported, and too many refused rows are an error."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_files import HEADER, ROWS, csv_text, many, read, write_xlsx
from refusals import refused


def write(folder, rows: list[list[str]], name: str = "a.csv") -> None:
    (folder / name).write_text(csv_text([HEADER, *rows]))


def test_every_sheet_is_reported(tmp_path):
    write(tmp_path, ROWS)
    write_xlsx(tmp_path / "b.xlsx", {"S": [["title"], [*HEADER, "More"], *ROWS]})
    (tmp_path / "notes.md").write_text("hello")
    found = read(tmp_path, files=["*.csv", "*.xlsx"])
    columns = {"date": "1 ('Date')", "vendor": "2 ('Vendor')", "memo": "3 ('Memo')",
               "amount": "4 ('Amount')", "account": "5 ('Account')",
               "name": "6 ('Account name')"}  # fmt: skip
    assert found.report == {
        "rows_read": 9,
        "rows_out": 8,
        "rows_rejected": 1,
        "reasons": {"above the header": 1},
        "cells_masked": {},
        "files_not_read": ["notes.md"],
        "sheets": [
            {
                "file": "a.csv",
                "sheet": "",
                "encoding": "utf-8",
                "delimiter": "comma",
                "quote": "double",
                "header_row": 1,
                "rows_read": 4,
                "rows_out": 4,
                "reasons": {},
                "columns": columns,
                "columns_not_used": [],
            },
            {
                "file": "b.xlsx",
                "sheet": "S",
                "header_row": 2,
                "rows_read": 5,
                "rows_out": 4,
                "reasons": {"above the header": 1},
                "columns": columns,
                "columns_not_used": ["More"],
            },
        ],
    }


def test_files_without_rows_are_in_the_report(tmp_path):
    write(tmp_path, ROWS)
    write(tmp_path, [], "b.csv")
    empty = pa.table({name: pa.array([], pa.string()) for name in HEADER})
    pq.write_table(empty, tmp_path / "c.parquet")
    found = read(tmp_path)
    rows = [(s["file"], s["rows_read"], len(s["columns"])) for s in found.report["sheets"]]
    assert rows == [("a.csv", 4, 6), ("b.csv", 0, 6), ("c.parquet", 0, 6)]


@pytest.mark.parametrize(("share", "is_refused"), [(0.19, True), (0.2, False)])
def test_too_many_refused_rows_are_an_error(tmp_path, share, is_refused):
    bad = [["2020-04-16", "a", "b", "1", "", ""], ["2020-04-16", "a", "b", "", "0101", ""]]
    write(tmp_path, [*many(8), *bad, ["", "", "", "9", "", ""], ["", "", "", "", "", ""]])
    if not is_refused:
        assert len(read(tmp_path, max_reject_fraction=share).cells) == 8
        return
    with refused(
        "too-many-rejects",
        "params.yaml: ingest.max_reject_fraction",
        "2 of 10 rows",
        "20.0%",
        "no account: 1 rows, such as a.csv row 10; no amount: 1 rows, such as a.csv row 11",
    ):
        read(tmp_path, max_reject_fraction=share)


def test_a_ledger_without_transactions_is_an_error(tmp_path):
    write(tmp_path, [["", "", "", "9", "", ""]])
    with refused("no-transactions", str(tmp_path), "subtotal: 1 rows, such as a.csv row 2"):
        read(tmp_path, max_reject_fraction=1.0)
    write(tmp_path, [])
    with refused("no-transactions", str(tmp_path)):
        read(tmp_path)


def test_codes_that_are_masked_in_most_rows_are_a_remark(tmp_path):
    rows = [["2020-04-16", f"050-2010-40{i}0", "010-1234-5678", "1", "0101", "X"] for i in range(4)]
    write(tmp_path, [*rows, ROWS[0]])
    found = read(tmp_path)
    (remark,) = found.remarks
    assert "4 of 5" in remark and "phone" in remark and "ingest.patterns.vendor" in remark
    assert found.report["remarks"] == [remark]
    write(tmp_path, [*rows[:1], *ROWS])
    assert read(tmp_path).remarks == []
