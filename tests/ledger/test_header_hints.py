"""A refusal of a header says what is wrong with it, and what cures it."""

import pytest
from ledger_files import HEADER, ROWS, csv_text, ingest_params, many, read, write_xlsx
from refusals import refused

from stages.lib.ledger.headers import find_layout

TITLES = [[f"line {i}"] for i in range(70)]


def find(rows: list[list], reading: dict | None = None, **changes):
    params = ingest_params("raw", reading, **changes)
    return find_layout("a.csv", rows, params.reading[0], params)


def renamed(**headers: str) -> list[str]:
    return [headers.get(cell, cell) for cell in HEADER]


def test_the_nearest_header_is_to_be_added_to_the_names():
    rows = [renamed(Amount="Amount (CAD)", Date="Dated"), *many(3)]
    with refused(
        "header-not-found",
        "date (date / 일자), amount (amount / 금액)",
        "Dated | Vendor | Memo | Amount (CAD)",
        "'Dated' to ingest.columns.date.names, 'Amount (CAD)' to ingest.columns.amount.names",
    ):
        find(rows)


def test_a_header_with_cells_like_the_column_below_it_is_likely_too():
    rows = [renamed(Account="Konto", Amount="Betrag"), *many(3)]
    with refused("header-not-found", "'Konto' to ingest.columns.account.names"):
        find(rows)
    with refused("header-not-found", "'Betrag' to ingest.columns.amount.names"):
        find(rows)
    with refused("header-not-found", "ingest.columns.*.names"):
        find([renamed(Account=""), *([*row[:4], "x", row[5]] for row in many(3))])


def test_the_likeliest_header_is_masked():
    with refused("header-not-found", "'dated [email]' to ingest.columns.date.names"):
        find([renamed(Date="dated a@b.org"), *many(3)], columns={
            **ingest_params("raw").model_dump()["columns"],
            "date": {"role": "date", "names": ["dated a@c.org"]},
        })  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_header_below_the_first_rows_is_pointed_at(tmp_path, name):
    rows = [*TITLES, HEADER, *ROWS]
    if name == "a.csv":
        (tmp_path / name).write_text(csv_text(rows))
    else:
        write_xlsx(tmp_path / name, {"S": rows})
    with refused("header-not-found", name, "header_row: 71"):
        read(tmp_path)
    assert read(tmp_path, {"header_row": 71}).report["rows_out"] == 4


def test_a_wrong_header_row_is_told_the_right_one():
    with refused("header-not-found", "header_row: 4, not 2"):
        find([["title"], *many(2), HEADER, *ROWS], {"header_row": 2})
    with refused("header-row", "header_row: 1"):
        find([HEADER, *ROWS], {"header_row": 99})
    with refused("header-row", "header_row: auto"):
        find(ROWS, {"header_row": 99})


@pytest.mark.parametrize(
    ("upper", "lower", "positions"),
    [
        (["", "Vendor", "", "Amount", "", ""], ["Date", "", "Memo", "", "Account", ""],
         "date: 1, vendor: 2, memo: 3, amount: 4, account: 5"),
        (["Posting", "", "", "Ledger", ""], ["date", "vendor", "memo", "amount", "account"],
         "date: 1, vendor: 2, memo: 3, amount: 4, account: 5"),
    ],
)  # fmt: skip
def test_a_header_in_two_rows_gets_positions(tmp_path, upper, lower, positions):
    columns = ingest_params("raw").model_dump()["columns"]
    if "Posting" in upper:
        columns["date"]["names"] = ["posting date"]
        columns["amount"]["names"] = ["ledger amount"]
        columns["account"]["names"] = ["ledger account"]
    rows = [["title"], upper, lower, *ROWS]
    with refused("header-not-found", "rows 2 and 3", "header_row: 3", f"{{{positions}}}"):
        find(rows, columns=columns)
    places = {k: int(v) for k, v in (part.split(": ") for part in positions.split(", "))}
    columns["name"]["names"] = []
    (tmp_path / "a.csv").write_text(csv_text([[*row, ""][:6] for row in rows]))
    found = read(tmp_path, {"header_row": 3, "positions": places}, columns=columns)
    assert [row[:5] for row in found.cells] == [row[:5] for row in ROWS]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_in_one_cell_is_named(tmp_path, separator):
    rows = [[csv_text([row], separator).rstrip("\n")] for row in [HEADER, *many(3)]]
    with refused("header-not-found", "row 1", repr(separator)):
        find(rows)
    (tmp_path / "a.csv").write_text(csv_text(rows, separator))
    with refused("header-not-found", "row 1", repr(separator)):
        read(tmp_path)


def test_names_without_a_known_delimiter_between_them(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *ROWS[:1]], "þ"))
    with refused("header-not-found", "row 1", "delimiter for this file"):
        read(tmp_path)
    assert read(tmp_path, {"delimiter": "þ"}).cells == ROWS[:1]


def test_a_table_of_something_else_may_be_left_out():
    rows = [["Employee", "Salary"], ["Kim", "100"]]
    with refused("header-not-found", "ingest.files", "sheets", "header_row: 0", "names"):
        find(rows)


def test_how_a_text_file_was_read_is_said(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text([renamed(Date="x"), *ROWS[:1]], ";"), "cp1252")
    with refused("header-not-found", "cp1252", "'semicolon'"):
        read(tmp_path)
