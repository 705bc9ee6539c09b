"""The base table has its schema, and no field that gives the account away."""

from datetime import date
from itertools import product

import ledger_files as ledger
import numpy as np
import pytest
from ledger_files import HEADER, csv_text

from stages import feature
from stages.lib.params import UserError
from stages.lib.tables import read_table


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def rows(memo="thing {i}", vendor="shop {v}", count=40) -> list[list[str]]:
    return [
        ["2020-04-16", vendor.format(v=i % 5, a=i % 4), memo.format(i=i, a=i % 4), f"{i * 10}",
         f"010{i % 4}", f"Name of {i % 4}"]
        for i in range(count)
    ]  # fmt: skip


def run(book, table: list[list[str]]) -> dict:
    (book.raw / "a.csv").write_text(csv_text([HEADER, *table]))
    return book.run("ingest", "preprocess", "feature")


def test_the_base_table(book):
    report = run(book, rows())
    table = read_table("data/feature/base.parquet")
    origin = "dictionary<values=string, indices=int32, ordered=0>"
    assert {field.name: str(field.type) for field in table.schema} == {
        "row_id": "int64",
        "source_file": origin,
        "source_sheet": origin,
        "source_row": "int32",
        "vendor": "string",
        "memo": "string",
        "amount_bucket": "string",
        "date": "date32[day]",
        "amount": "double",
        "group": "string",
        "acct_code": "string",
    }
    assert table["row_id"].to_pylist() == list(range(40))
    assert list(table.to_pylist()[15].values()) == [
        15, "a.csv", "", 17, "shop 0", "thing 15", "<1000", date(2020, 4, 16), 150.0, "shop 0",
        "0103",
    ]  # fmt: skip
    assert table.schema.field("vendor").nullable and table["vendor"].null_count == 0
    assert report["rows"] == 40


def test_a_ledger_without_vendor_amount_and_date(book):
    book.feature.update(fields=["memo"], date_column=None, amount_column=None, group_column=None)
    run(book, rows())
    table = read_table("data/feature/base.parquet")
    assert table.column_names == [
        "row_id", "source_file", "source_sheet", "source_row", "memo", "date", "amount",
        "amount_bucket", "group", "acct_code",
    ]  # fmt: skip
    assert set(table["group"].to_pylist()) == set(table["amount_bucket"].to_pylist()) == {""}
    assert table["date"].null_count == table["amount"].null_count == 40


def test_debits_and_credits(book):
    book.ingest["columns"]["memo"]["role"] = "amount"
    book.feature.update(fields=["vendor", "amount_bucket"], credit_column="memo")
    pairs = [("5", ""), ("", "7.5"), ("10", "2"), ("", "")]
    book.ingest["required"] = ["date", "account"]
    table = [["2020-04-16", "v", credit, debit, "0101", "X"] for debit, credit in pairs]
    run(book, table)
    amounts = book.rows("feature/base", ["amount", "amount_bucket"])
    assert amounts == [(5.0, "<100"), (-7.5, "<0"), (8.0, "<100"), (None, "")]


@pytest.mark.parametrize("count", [1, 7])
def test_amount_buckets_against_a_loop(count):
    edges = [-5.0, 0.0, 2.5, 1e6][: max(2, count)]
    amounts = np.array([-10, -5, -1, 0, 1, 2.5, 3, 1e6, 1e9, np.nan])
    expected = []
    for amount in amounts:
        word = next((f"<{e:.15g}" for e in edges if amount < e), f">={edges[-1]:.15g}")
        expected.append("" if np.isnan(amount) else word)
    assert feature.amount_buckets(amounts, edges).to_pylist() == expected


@pytest.mark.parametrize("memo", ["see 010{a} please", "NAME OF {a}", "x (name of {a}) y"])
def test_a_field_that_holds_code_or_name_is_refused(book, memo):
    with pytest.raises(UserError, match=r"memo holds the account's code or name in 100.0% of the"):
        run(book, rows(memo=memo))
    book.feature["max_leak_rate"] = 1.0
    assert run(book, rows(memo=memo))["fields"]["memo"]["leak_rate"] == 1.0


def test_parts_of_words_are_no_leak(book):
    report = run(book, rows(memo="90101{a} surname of {a}1 {i}"))
    assert report["fields"]["memo"]["leak_rate"] == 0.0


def test_a_rare_leak_is_counted_and_allowed(book):
    table = rows()
    table[0][2] = "for 0100"
    assert run(book, table)["fields"]["memo"]["leak_rate"] == 1 / 40


def test_a_copy_of_the_account_in_other_words_is_refused(book):
    book.feature["max_copy_rate"] = 0.95
    run(book, rows(vendor="kind {a} {v}"))
    (book.folder / "data/feature/base.parquet").unlink()
    with pytest.raises(UserError, match=r"vendor and the account give each other in 100.0% of"):
        run(book, rows(vendor="kind {a}"))
    assert list((book.folder / "data/feature").iterdir()) == []


def test_purity_against_a_loop():
    choose = np.random.default_rng(5)
    values, labels = choose.integers(0, 30, 200), choose.integers(0, 3, 200)
    right = among = 0
    for value in range(30):
        mine = labels[values == value]
        if len(mine) >= 2:
            among += len(mine)
            most = np.bincount(mine).max()
            right += most if most >= 2 else 0
    assert feature.purity(values, labels) == right / among
    assert feature.purity(np.arange(9), np.zeros(9, np.int64)) == 0.0
    assert feature.purity(np.zeros(0, np.int64), np.zeros(0, np.int64)) == 0.0


def test_leaks_against_a_search_in_every_row():
    for value, secret in product(["pay 0101", "0101x", "a-0101", "0101", ""], ["0101", "pay", ""]):
        words = value.replace("-", " ").split()
        assert feature.tells(value, secret) == (secret in words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": ["memo", "memo"]}, "stands there twice"),
        ({"fields": ["acct_code"]}, "no field that the model may see"),
        ({"fields": ["name"]}, r"feature.fields: name is a label_name; expected .* vendor, memo"),
        ({"fields": ["colour"]}, "feature.fields: colour is not in the ledger"),
        ({"amount_column": "memo"}, "feature.amount_column: memo is a text; expected .* amount"),
        ({"date_column": "when"}, "feature.date_column: when is not in the ledger"),
        ({"amount_edges": [5, 5]}, "must rise"),
    ],
)
def test_parameters_that_cannot_be_are_one_line(book, change, message):
    book.feature.update(change)
    with pytest.raises(UserError, match=message):
        run(book, rows())
