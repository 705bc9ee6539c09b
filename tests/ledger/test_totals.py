"""Rows that only sum up others are found, and transactions that look similar are not."""

import pytest
from ledger_files import HEADER, csv_text, ingest_params, many, names, places, read, write_xlsx

from stages.lib.ledger.filling import is_filled
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.rows import read_columns
from stages.lib.ledger.totals import find_totals, is_bare_total

LAYOUT = Layout(1, HEADER, dict(zip(places(), range(6), strict=True)), 6)


def totals(rows: list[list[str]], has_labels: bool = True, **changes) -> list[bool]:
    params = ingest_params("raw", **changes)
    columns = read_columns(rows, LAYOUT, params.roles)
    filled = {name: is_filled(column) for name, column in columns.items()}
    return find_totals(rows, columns, filled, params, has_labels).tolist()


@pytest.mark.parametrize(
    "row",
    [
        ["", "", "", "210", "", ""],
        ["2020-04-30", "** Total: **", "", "50", "", ""],
        ["2020-04-30", "합계 2020.04", "", "50", "", ""],
        ["", "Total of April", "", "50", "", ""],
        ["", "shop 1 Total", "shop 1 total", "50", "", ""],
        ["합계", "", "", "210", "", ""],
        ["4월 소계", "", "", "12", "", ""],
        ["", "Ｇrand ＴＯＴＡＬ", "", "12", "", ""],
        ["2020-04-30", "", "", "45", "0101 Total", ""],
    ],
)
def test_a_row_with_amounts_and_a_name_is_a_total(row):
    assert totals([row, many(1)[0]]) == [True, False]


@pytest.mark.parametrize(
    "row",
    [
        ["2020-04-16", "Total Wine & More", "beer", "50", "", ""],
        ["2020-04-16", "Total Wine & More", "", "50", "", ""],
        ["2020-04-16", "Total", "petrol", "50", "", ""],
        ["2020-04-16", "shop", "in total", "50", "", ""],
        ["2020-04-16", "Total", "petrol", "50", "0101", "FUEL"],
        ["2020-04-16", "Totalenergies", "", "50", "", ""],
        ["", "", "", "", "", ""],
    ],
)
def test_a_transaction_is_no_total_even_without_account(row):
    assert totals([row]) == [False]


def test_each_refused_row_says_whether_it_is_a_total(tmp_path):
    rows = [["2020-04-16", "Total", "petrol", "50", "", ""], ["", "Total of May", "", "5", "", ""]]
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *many(12), *rows]})
    assert read(tmp_path).rejects == [(14, "no account"), (15, "subtotal")]


def test_a_total_is_no_account_where_accounts_are_words():
    rows = [*many(2, "Totally fine"), ["2020-04-30", "", "", "45", "Total", ""]]
    assert totals(rows, patterns={}) == [False, False, True]


def test_totals_in_the_column_of_dates_are_not_filled_from_above(tmp_path):
    rows = many(3)
    for row in rows[1:]:
        row[4] = ""
    sums = [["합계", "", "", "12", "", ""], ["4월 소계", "", "", "12", "", ""]]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows, *sums]), encoding="utf-8")
    found = read(tmp_path, fill_down=["account"])
    assert len(found.cells) == 3
    assert found.rejects == [(5, "subtotal"), (6, "subtotal")]


def test_rows_of_merged_cells_are_no_totals(tmp_path):
    columns = {**names(), "centre": {"role": "category", "names": ["centre"]}}
    rows = [[*row, f"C{i}"] for i, row in enumerate(many(6))]
    shown = [
        row if i % 2 == 0 else ["", "", "", row[3], "", "", row[6]] for i, row in enumerate(rows)
    ]
    sheet = [[*HEADER, "Centre"], *shown, ["", "", "", "9", "", "", ""]]
    write_xlsx(tmp_path / "a.xlsx", {"S": sheet})
    fill_down = ["date", "vendor", "memo", "account", "name"]
    found = read(tmp_path, columns=columns, fill_down=fill_down)
    assert [row[6] for row in found.cells] == [f"C{i}" for i in range(6)]
    assert found.rejects == [(8, "subtotal")]


def test_where_no_row_has_an_account_dates_and_categories_tell_transactions_from_totals():
    """Without accounts, a day's total that only a date and a name distinguish may be a sale."""
    columns = names() | {"account": {"role": "category", "names": ["account"]},
                         "code": {"role": "label", "names": []}}  # fmt: skip
    changes = {"columns": columns, "required": ["date", "amount"], "patterns": {}}
    rows = [
        ["2020-04-30", "Total", "", "50", "", ""],
        ["", "", "", "50", "0101", ""],
        ["", "", "", "50", "", ""],
        ["", "Total", "", "50", "", ""],
    ]
    assert totals(rows, **changes) == [True, True, True, True]
    assert totals(rows, has_labels=False, **changes) == [False, False, True, True]
    filled_down = totals(rows, fill_down=["code"], **changes)
    assert filled_down == totals(rows, has_labels=False, **changes)


def test_the_total_of_an_account_that_stands_above_its_rows_is_no_account():
    """Accounts are words here, and only a name that is above them makes a total of `Total X`."""
    rows = [
        ["", "", "", "", "6100 · Office", ""],
        ["", "", "", "9", "Total 6100 · OFFICE", ""],
        ["", "", "", "9", "Summe: 6100 · Office", ""],
        ["", "", "", "9", "6100 · Office Total", ""],
        ["", "", "", "9", "Total for 6100 · Office with sub-accounts", ""],
        ["", "", "", "", "Total 6100 · Office", ""],  # no amount: the heading of an account
        ["", "", "", "9", "Total 6200 · Travel", ""],  # there is no such account
        ["2020-04-16", "shop", "pens", "9", "Total 6100 · Office", ""],
    ]
    changes = {"patterns": {}, "total_words": ["total", "summe"]}
    assert totals(rows, fill_down=["account"], **changes) == [
        False, True, True, True, True, False, False, False
    ]  # fmt: skip
    assert totals(rows, **changes) == [False] * 8


@pytest.mark.parametrize(
    ("text", "is_bare"),
    [
        ("Total", True),
        ("** TOTAL 12.50:", True),
        ("total price", False),
        ("", False),
        ("12", False),
    ],
)
def test_a_bare_total_has_numbers_and_signs_besides_its_name(text, is_bare):
    assert is_bare_total(text, ingest_params("raw")) is is_bare
