"""Account codes have one form, and the chart of accounts has all forms of codes and names."""

from collections import Counter

import pyarrow as pa
from raw_tables import preprocess_params, raw_table, row

from stages.lib.ledger.accounts import (
    chart_of_accounts,
    count_names,
    find_codes,
    fits_pattern,
    unique_codes,
)
from stages.lib.ledger.cleaning import clean_rows


def chart(*rows: list[str], **labels: object) -> list[dict]:
    return clean_rows(raw_table(*rows), preprocess_params(labels)).accounts.to_pylist()


def test_codes_have_one_form():
    labels = preprocess_params({"pad_to": 4, "merge": {"2010": "2020"}}).labels
    cells = pa.array(["101", " 0101", "２０１０", "2020", ""])
    assert find_codes(cells, labels).to_pylist() == ["0101", "0101", "2020", "2020", ""]


def test_a_pattern_fits_the_whole_code():
    codes = pa.array(["0101", "01011", "", "x"])
    assert fits_pattern(codes, "[0-9]{4}").to_pylist() == [True, False, False, False]
    assert fits_pattern(codes, "[0-9]*").to_pylist() == [True, True, True, False]


def test_the_name_is_the_most_frequent_one():
    names = ["B", "A", "A", "B", "", "C", "A"]
    rows = [row(name=name, memo=str(i)) for i, name in enumerate(names)]
    assert chart(*rows, row(account="2010", name="")) == [
        {"acct_code": "0101", "acct_name": "A", "rows": 7, "also_written": ["B", "C"]},
        {"acct_code": "2010", "acct_name": "2010", "rows": 1, "also_written": []},
    ]


def test_the_chart_has_the_other_forms_of_code_and_name():
    rows = [("101", "Meals"), ("0101", "Meals"), ("0101", "Food"), ("2010", "Rent"),
            ("2011", "Meals"), ("2010", "Rent"), ("***", "Food")]  # fmt: skip
    found = chart(
        *(row(account=code, name=name, memo=str(i)) for i, (code, name) in enumerate(rows)),
        pad_to=4,
        merge={"2011": "2010"},
        masked_rule="from_name",
    )
    assert {account["acct_code"]: account["also_written"] for account in found} == {
        "0101": ["101", "Food"],
        "2010": ["2011"],
    }


def test_a_ledger_without_names_has_a_chart_of_codes():
    raw = raw_table(row()).drop_columns("name")
    accounts = clean_rows(raw, preprocess_params({"masked_rule": "from_name"})).accounts
    assert accounts.to_pylist() == [
        {"acct_code": "0101", "acct_name": "0101", "rows": 1, "also_written": []}
    ]


def test_only_valid_codes_reveal_others():
    raw = raw_table(
        row(account="0101", name=" Meals"),
        row(account="0101", name="MEALS"),
        row(account="bad", name="Rent"),
        row(account="***", name="Rent"),
        row(account="2010", name=""),
    )
    names = count_names(raw, preprocess_params().labels)
    assert names == Counter({("meals", "0101"): 2, ("", "2010"): 1})
    assert unique_codes(names) == {"meals": "0101"}
    assert unique_codes(names + Counter({("meals", "2010"): 1})) == {}


def test_a_chart_of_nothing_is_empty():
    assert len(chart_of_accounts(Counter())) == 0
