"""The base table has its schema, and no field that gives the account away."""

from datetime import date
from itertools import product

import ledger_files as ledger
import numpy as np
import pytest
from ledger_files import HEADER, csv_text

from stages import feature
from stages.lib.errors import UserError
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


def test_a_field_may_be_called_what_a_count_is(book):
    book.ingest["columns"]["count_all"] = book.ingest["columns"].pop("memo")
    book.feature["fields"] = ["count_all", "vendor"]
    book.feature["max_leak_rate"] = 1.0
    report = run(book, rows(memo="for name of {a}"))
    assert report["fields"]["count_all"]["leak_rate"] == 1.0


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


def test_words_against_a_search_in_every_word():
    for value, word in product(["pay tax", "taxes", "a-tax", "tax", ""], ["tax", "pay", ""]):
        words = value.replace("-", " ").split()
        assert feature.tells(value, word) == (word in words)


def test_a_code_with_letters_is_found_where_it_is_glued():
    found = ["ktoa101", "a101", "a101원", "x-a101b"]
    assert [v for v in [*found, "a1012", "a10", ""] if feature.tells(v, "a101")] == found
    assert not feature.tells("notex1y", "x1") and not feature.tells("the coopers", "coop")


def test_korean_names_are_found_before_particles():
    assert feature.tells("복리후생비로 처리", "복리후생비")
    assert not feature.tells("회의실 대관", "회의")


def test_names_are_found_in_any_spacing():
    for value, word in [
        ("여비교통비 정산", "여비 교통비"),
        ("지급 수수료", "지급수수료"),
        ("여비, 교통비로", "여비/교통비"),
        ("post-age & courier", "post age&courier"),
        ("10001", "10-001"),
        ("R & D로 지급".casefold(), "r&d"),
    ]:
        assert feature.tells(value, word)
    assert not feature.tells("car en t", "rent") and not feature.tells("a - b", "-")
    assert not feature.tells("회식 대금", "식대") and not feature.tells("210001", "10-001")


def test_a_name_in_another_spacing_is_a_leak(book):
    names = ["여비 교통비", "지급수수료", "복리 후생비", "소모품비 (사무)"]
    memos = ["여비교통비 정산", "지급 수수료", "복리후생비로 처리", "소모품비-사무"]
    table = [
        [*row[:2], f"{memos[i % 4]} {i}", *row[3:5], names[i % 4]] for i, row in enumerate(rows())
    ]
    with pytest.raises(UserError, match=r"memo holds the account's code or name in 100.0% of the"):
        run(book, table)


@pytest.mark.parametrize("case", ["fold", "keep"])
@pytest.mark.parametrize(
    "memo", ["NAME OF {a} {i}", "Paid Name of {a}", "for A10{a}", "x a10{a} y"]
)
def test_upper_case_does_not_hide_a_leak(book, case, memo):
    book.preprocess["case"] = case
    book.ingest["patterns"] = {}
    book.preprocess["labels"]["pattern"] = "[A-Z][0-9]{3}"
    table = [[*r[:4], "A" + r[4][1:], r[5]] for r in rows(memo=memo)]
    with pytest.raises(UserError, match=r"memo holds the account's code or name in 100.0% of the"):
        run(book, table)


def test_a_code_as_it_stood_before_padding_and_merging_is_a_leak(book):
    book.ingest["patterns"] = {}
    book.preprocess["labels"].update(pad_to=4, merge={"103": "0102"})
    table = [[*r[:4], r[4][1:], ""] for r in rows(memo="konto 10{a} n{i}")]
    with pytest.raises(UserError, match=r"memo holds the account's code or name in 100.0% of the"):
        run(book, table)


def test_a_rarer_name_of_the_account_is_a_leak(book):
    table = rows(memo="spot {a}")
    for row in table[30:]:
        row[5] = f"Spot {row[4][-1]}"
    with pytest.raises(UserError, match=r"memo holds the account's code or name in 100.0% of the"):
        run(book, table)


@pytest.mark.parametrize("memo", ["KTO010{a} {i}", "010{a}원 지급", "99010{a}9977", "1010{a}"])
def test_a_code_glued_to_letters_or_digits_is_a_leak(book, memo):
    with pytest.raises(UserError, match=r"memo holds the account's code or name in 100.0% of the"):
        run(book, rows(memo=memo))


def test_codes_that_stand_there_by_chance_are_no_leak(book):
    choose = np.random.default_rng(2)
    codes = [f"{c:04}" for c in (*range(2015, 2025), *range(100, 1100, 100), 1000, 5000)]
    table = [
        ["2020-04-16", f"shop {choose.integers(9)}",
         f"inv {choose.integers(10**9)} of 2020-04-16 {choose.integers(10**4)}.00 {i}", "1.00",
         "2020" if i % 3 else codes[int(choose.integers(len(codes)))], ""]
        for i in range(3000)
    ]  # fmt: skip
    assert run(book, table)["fields"]["memo"]["leak_rate"] < 0.01


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
        ({"credit_column": "amount"}, "credit_column: is amount_column"),
        ({"fields": ["date"]}, "date is no field .* another name in ingest.columns"),
    ],
)
def test_parameters_that_cannot_be_are_one_line(book, change, message):
    book.feature.update(change)
    with pytest.raises(UserError, match=message):
        run(book, rows())
