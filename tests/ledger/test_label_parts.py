"""An account in several columns is one account, and can be taken apart again."""

import pyarrow as pa
import pytest
from ledger_files import HEADER, INGEST, csv_text, many, read, write_xlsx
from refusals import refused

from stages.lib.ledger.label_parts import account_parents, clean_parts, join_parts, split_account
from stages.lib.ledger.reasons import HEADING

# A report of QuickBooks: each level of accounts is indented by a column without header.
REPORT_HEADER = ["", "", "", "Type", "Date", "Num", "Name", "Memo", "Amount", "Balance"]
REPORT_COLUMNS = {
    "date": {"role": "date", "names": ["date"]},
    "num": {"role": "id", "names": ["num"]},
    "vendor": {"role": "group", "names": ["name"]},
    "memo": {"role": "text", "names": ["memo"]},
    "amount": {"role": "amount", "names": ["amount"]},
    "account": {"role": "label", "names": []},
    "sub": {"role": "label_part", "names": []},
    "sub_sub": {"role": "label_part", "names": []},
}


def heading(level: int, text: str, amount: str = "", balance: str = "") -> list[str]:
    return [*["", "", ""][:level], text, *["", "", ""][level + 1 :], *[""] * 5, amount, balance]


def posting(memo: str, num: str = "") -> list[str]:
    return ["", "", "", "Check", "2024-01-02", num, "Shop", memo, "5.00", "105"]


REPORT = [
    heading(0, "6000 · Expenses", balance="100"),
    heading(1, "6100 · Office"),
    heading(2, "6110 · Paper"),
    posting("paper"),
    posting("more paper", num="77"),
    heading(2, "Total 6110 · Paper", "10.00", "110"),
    heading(2, "6100 · Office - Other"),
    posting("pens"),
    heading(2, "Total 6100 · Office - Other", "5.00", "115"),
    heading(1, "Total 6100 · Office", "15.00", "115"),
    heading(1, "6200 · Travel"),
    posting("ticket", num="78"),
    heading(1, "Total 6200 · Travel", "5.00", "120"),
    posting("direct"),
    heading(0, "Total 6000 · Expenses", "25.00", "125"),
    heading(0, "TOTAL", "25.00", "125"),
    posting("below the report"),
]
ACCOUNTS = {
    "paper": "6110 · Paper",
    "more paper": "6110 · Paper",
    "pens": "6100 · Office",
    "ticket": "6200 · Travel",
    "direct": "6000 · Expenses",
}


def join(*rows: tuple[str, ...], separator: str | None = None) -> list[str]:
    parts = clean_parts([pa.array(cells) for cells in zip(*rows, strict=True)])
    return join_parts(parts, separator).to_pylist()


def report(folder, name: str = "a.csv", rows: list[list[str]] = REPORT, **changes):
    if name.endswith(".csv"):
        (folder / name).write_text(csv_text([REPORT_HEADER, *rows]), encoding="utf-8")
    else:
        write_xlsx(folder / name, {"S": [["Detail by account"], REPORT_HEADER, *rows]})
    positions = {"account": 1, "sub": 2, "sub_sub": 3}
    given = {
        "columns": REPORT_COLUMNS,
        "required": ["date", "amount", "account"],
        "patterns": {},
        "fill_down": ["account", "sub", "sub_sub"],
    }
    return read(folder, {"positions": positions}, **given | changes)


def test_the_account_is_the_last_part_that_is_filled():
    rows = ("Office", "Paper "), ("Office", ""), ("", " Paper"), ("", " ")
    assert join(*rows) == ["Paper", "Office", "Paper", ""]
    assert join(("A", "", "C"), ("A", "B", "")) == ["C", "B"]


def test_what_is_called_other_is_its_parent():
    rows = ("Office", "office – OTHER"), ("Office", "Travel - Other"), ("", "Office - Other")
    assert join(*rows) == ["Office", "Travel - Other", "Office - Other"]
    assert join(("A", "B", "A - Other"), ("A", "A - Other", ""), ("A", "B", "B-other")) == [
        "B", "A", "B"
    ]  # fmt: skip
    assert join(("A", "A - Other"), separator=":") == ["A"]


@pytest.mark.parametrize("separator", ["-", " / ", "."])
def test_joined_parts_can_be_taken_apart(separator):
    rows = ("4100", "02", "x"), ("4100", "", ""), ("4100", "02", ""), ("4100", "", "x")
    joined = join(*rows, separator=separator)
    assert joined[:2] == [separator.join(rows[0]), "4100"]
    assert [tuple(split_account(code, 3, separator)) for code in joined] == list(rows)


def test_without_its_first_part_there_is_no_joined_account():
    assert join(("", "02"), (" ", ""), separator="-") == ["", ""]


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_report_whose_headings_are_indented(tmp_path, name):
    found = report(tmp_path, name)
    memos = found.transactions["memo"].to_pylist()
    accounts = found.transactions["account"].to_pylist()
    assert dict(zip(memos, accounts, strict=True)) == ACCOUNTS
    reasons = dict(found.rejects)
    first = 2 if name == "a.csv" else 3
    headings = [i + first for i in (0, 1, 2, 6, 10)]
    assert [row for row, reason in reasons.items() if reason == HEADING] == headings
    totals = [i + first for i in (5, 8, 9, 12, 14, 15)]
    assert [row for row, reason in reasons.items() if reason == "subtotal"] == totals
    # Nothing is above what follows the last total.
    assert reasons[len(REPORT) - 1 + first] == "no account"
    assert "sub" not in found.transactions.column_names


def test_a_report_over_several_pages(tmp_path):
    pages = [*REPORT[:4], REPORT_HEADER, *REPORT[4:12], REPORT_HEADER, *REPORT[12:]]
    found = report(tmp_path, rows=pages)
    assert found.transactions["account"].to_pylist() == list(ACCOUNTS.values())
    assert found.report["reasons"]["repeated header"] == 2


def test_the_headings_of_a_report_may_be_joined(tmp_path):
    found = report(tmp_path, label_separator=":")
    assert found.transactions["account"].to_pylist() == [
        "6000 · Expenses:6100 · Office:6110 · Paper",
        "6000 · Expenses:6100 · Office:6110 · Paper",
        "6000 · Expenses:6100 · Office",
        "6000 · Expenses:6200 · Travel",
        "6000 · Expenses",
    ]


def test_headings_that_no_row_takes_are_remarked(tmp_path):
    """The rows below 6110 would all be 6000."""
    rows = [row for i in range(4) for row in (heading(1, f"61{i}0"), posting("x"), posting("y"))]
    rows.insert(0, heading(0, "6000"))
    (remark,) = report(tmp_path, rows=rows, fill_down=["account"]).remarks
    assert remark.startswith("4 ") and "add sub to ingest.fill_down" in remark
    with refused("too-many-rejects", "add sub to ingest.fill_down"):
        report(tmp_path, rows=rows, fill_down=["account"], max_reject_fraction=0.1)
    with refused("no-transactions", "add account, sub to ingest.fill_down"):
        report(tmp_path, rows=rows, fill_down=[])


def test_accounts_of_one_name_below_several_parents_are_remarked(tmp_path):
    rows = [
        heading(0, "Sales"), heading(1, "Meals"), posting("a"),
        heading(0, "Office"), heading(1, "Meals"), posting("b"), heading(1, "Rent"), posting("c"),
    ]  # fmt: skip
    found = report(tmp_path, rows=rows)
    assert found.transactions["account"].to_pylist() == ["Meals", "Meals", "Rent"]
    (remark,) = found.remarks
    assert all(word in remark for word in ("'Meals'", "'Office'", "'Sales'", "label_separator"))
    assert report(tmp_path, rows=rows, label_separator=":").remarks == []
    assert report(tmp_path, rows=REPORT).remarks == []


def test_parents_are_those_above_in_the_same_row():
    parts = [pa.array(["A", "A", "B", ""]), pa.array(["x", "", "x", "x"])]
    found = account_parents(parts, join_parts(parts, None))
    assert found == {("x", "A"), ("x", "B")}


# Account and sub-account in every row

TWO_COLUMNS = {
    **INGEST["columns"],
    "account": {"role": "label", "names": ["account"]},
    "sub": {"role": "label_part", "names": ["sub"]},
}
TWO_HEADER = [*HEADER, "Sub"]
JOINED = {"columns": TWO_COLUMNS, "label_separator": "-", "patterns": {"account": "[0-9-]+"}}


def rows_with(*accounts: tuple[str, str]) -> list[list[str]]:
    rows = many(len(accounts))
    return [[*row[:4], a, row[5], sub] for row, (a, sub) in zip(rows, accounts, strict=True)]


def read_two(folder, rows: list[list], name: str = "a.csv", **changes):
    if name == "a.csv":
        (folder / name).write_text(csv_text([TWO_HEADER, *rows]))
    else:
        write_xlsx(folder / name, {"S": [TWO_HEADER, *rows]})
    return read(folder, **JOINED | changes)


def test_account_and_sub_account_are_one_label(tmp_path):
    rows = rows_with(("4100", "02"), ("4100", ""), ("4100", "03"), ("", "02"))
    found = read_two(tmp_path, rows)
    assert found.transactions["account"].to_pylist() == ["4100-02", "4100", "4100-03"]
    assert found.rejects == [(5, "no account")]
    pattern = {"account": "[0-9]{4}(-[0-9]{2})?"}
    assert len(read_two(tmp_path, rows, patterns=pattern).cells) == 3
    with refused("column-content", "account", "'4100-02'"):
        read_two(tmp_path, rows * 9, patterns={"account": "[0-9]{4}"})


def test_numbers_of_a_workbook_are_parts_too(tmp_path):
    rows = rows_with((4100.0, 2.0), (4100.0, ""), (4100.0, 12.0))
    found = read_two(tmp_path, rows, "a.xlsx")
    assert found.transactions["account"].to_pylist() == ["4100-2", "4100", "4100-12"]
    (tmp_path / "a.xlsx").unlink()
    found = read_two(tmp_path, rows_with(("4100", "2.0"), ("4100", ""), ("4100.0", "12.0")))
    assert found.transactions["account"].to_pylist() == ["4100-2", "4100", "4100-12"]


def test_a_separator_in_a_part_is_refused_with_the_cure(tmp_path):
    rows = rows_with(*[("4100", "0-2")] * 3, *[("4100", "2")] * 9)
    found = read_two(tmp_path, rows)
    assert [reason for _, reason in found.rejects] == ["separator in sub"] * 3
    with refused("too-many-rejects", "separator in sub", "ingest.label_separator"):
        read_two(tmp_path, rows, max_reject_fraction=0.01)
    found = read_two(tmp_path, rows, label_separator="/", patterns={})
    assert found.transactions["account"].to_pylist()[2:4] == ["4100/0-2", "4100/2"]


def test_an_account_named_once_above_its_sub_accounts(tmp_path):
    rows = rows_with(("4100", "02"), ("", "03"), ("4200", ""), ("", "02"))
    found = read_two(tmp_path, rows, fill_down=["account"])
    assert found.transactions["account"].to_pylist() == ["4100-02", "4100-03", "4200", "4200-02"]
    # A sub-account is not filled into another account.
    rows = rows_with(("4100", "02"), ("", ""), ("4200", ""), ("", ""))
    found = read_two(tmp_path, rows, fill_down=["account", "sub"])
    assert found.transactions["account"].to_pylist() == ["4100-02", "4100-02", "4200", "4200"]


def test_a_required_part_must_be_in_every_row(tmp_path):
    rows = rows_with(("4100", "02"), ("4100", ""))
    found = read_two(tmp_path, rows, required=["date", "account", "sub"])
    assert found.rejects == [(3, "no sub")]


def test_a_part_that_no_file_has_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *many(3)]))
    with refused("column-not-found", "ingest.columns.sub"):
        read(tmp_path, **JOINED)
