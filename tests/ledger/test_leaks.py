"""No visible field gives the account away."""

import numpy as np
import pyarrow as pa
import pytest
from raw_tables import feature_params, preprocess_params, raw_table, row
from refusals import refused

from stages.lib.ledger.account_words import account_words
from stages.lib.ledger.base_table import make_base_table
from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.leaks import Evidence, check_leaks, find_evidence, leak_rates, purity


def rows(memo="thing {i}", vendor="shop {v}", count=40) -> list[list[str]]:
    return [
        row(vendor=vendor.format(v=i % 5, a=i % 4), memo=memo.format(i=i, a=i % 4),
            amount=str(i * 10), account=f"010{i % 4}", name=f"Name of {i % 4}")
        for i in range(count)
    ]  # fmt: skip


def rates(table: list[list[str]], parts: int = 1, **params: object) -> dict:
    """Return the rates of the fields of a ledger, found in `parts` groups of rows."""
    cleaned = clean_rows(raw_table(*table), preprocess_params(**params))
    accounts = cleaned.accounts.to_pylist()
    features = feature_params()
    base = make_base_table(cleaned.transactions, features)
    evidence, size = Evidence(), -(-len(base) // parts)
    for start in range(0, len(base), size):
        part = base.slice(start, size)
        evidence.add(find_evidence(part, features.fields, account_words(accounts)))
    rows_of = {account["acct_code"]: account["rows"] for account in accounts}
    return leak_rates(evidence, features.fields, rows_of)


def leak(memo: str, **params: object) -> float:
    return rates(rows(memo=memo), **params)["memo"]["leak_rate"]


@pytest.mark.parametrize("memo", ["see 010{a} please", "NAME OF {a}", "x (name of {a}) y"])
def test_a_field_that_has_the_code_or_the_name_in_it_leaks(memo):
    assert leak(memo) == 1.0


def test_leaking_fields_are_refused_by_their_limits():
    found = {
        "memo": {"leak_rate": 0.3, "copy_rate": 0.0},
        "vendor": {"leak_rate": 0.2, "copy_rate": 0.96},
    }
    with refused("leaking-field", "feature.fields: memo", "30.0%", "max_leak_rate", "20.0%"):
        check_leaks(found, feature_params())
    with refused("copied-account", "feature.fields: vendor", "96.0%", "max_copy_rate", "95.0%"):
        check_leaks(found, feature_params(max_leak_rate=1.0, max_copy_rate=0.95))
    check_leaks(found, feature_params(max_leak_rate=1.0))


def test_parts_of_words_are_no_leak():
    assert leak("90101{a} surname of {a}1 {i}") == 0.0


def test_a_rare_leak_is_counted():
    table = rows()
    table[0][2] = "for 0100"
    assert rates(table)["memo"]["leak_rate"] == 1 / 40


def test_a_copy_of_the_account_in_other_words_is_found():
    assert rates(rows(vendor="kind {a}"))["vendor"]["copy_rate"] == 1.0
    assert rates(rows(vendor="kind {a} {v}"))["vendor"]["copy_rate"] < 0.95


def test_groups_of_rows_make_no_difference():
    table = rows(memo="for 010{a} {i}", vendor="kind {a}")
    assert rates(table, parts=7) == rates(table)


def test_rows_that_are_not_sampled_show_no_copies():
    base = pa.table({"memo": ["paper"], "acct_code": ["0101"]})
    words = account_words([{"acct_code": "0101", "acct_name": "paper", "also_written": []}])
    evidence = find_evidence(base, ["memo"], words, sampled=False)
    assert evidence.told["memo"] == 1 and evidence.copies == {}


def test_a_field_may_be_called_what_a_count_is():
    base = pa.table({"count_all": ["paper"], "acct_code": ["0101"]})
    words = account_words([{"acct_code": "0101", "acct_name": "paper", "also_written": []}])
    assert find_evidence(base, ["count_all"], words).told["count_all"] == 1


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
    assert purity(values, labels) == right / among
    assert purity(np.arange(9), np.zeros(9, np.int64)) == 0.0
    assert purity(np.zeros(0, np.int64), np.zeros(0, np.int64)) == 0.0


def test_a_name_in_another_spacing_is_a_leak():
    names = ["여비 교통비", "지급수수료", "복리 후생비", "소모품비 (사무)"]
    memos = ["여비교통비 정산", "지급 수수료", "복리후생비로 처리", "소모품비-사무"]
    table = [[*r[:2], f"{memos[i % 4]} {i}", *r[3:5], names[i % 4]] for i, r in enumerate(rows())]
    assert rates(table)["memo"]["leak_rate"] == 1.0


@pytest.mark.parametrize("case", ["fold", "keep"])
@pytest.mark.parametrize(
    "memo", ["NAME OF {a} {i}", "Paid Name of {a}", "for A10{a}", "x a10{a} y"]
)
def test_upper_case_does_not_hide_a_leak(case, memo):
    table = [[*r[:4], "A" + r[4][1:], r[5]] for r in rows(memo=memo)]
    found = rates(table, case=case, labels={"pattern": "[A-Z][0-9]{3}"})
    assert found["memo"]["leak_rate"] == 1.0


def test_a_code_as_it_was_before_padding_and_merging_is_a_leak():
    table = [[*r[:4], r[4][1:], ""] for r in rows(memo="konto 10{a} n{i}")]
    found = rates(table, labels={"pad_to": 4, "merge": {"103": "0102"}})
    assert found["memo"]["leak_rate"] == 1.0


def test_a_rarer_name_of_the_account_is_a_leak():
    table = rows(memo="spot {a}")
    for cells in table[30:]:
        cells[5] = f"Spot {cells[4][-1]}"
    assert rates(table)["memo"]["leak_rate"] == 1.0


@pytest.mark.parametrize("memo", ["KTO010{a} {i}", "010{a}원 지급", "99010{a}9977", "1010{a}"])
def test_a_code_glued_to_letters_or_digits_is_a_leak(memo):
    assert leak(memo) == 1.0


def test_codes_that_are_there_by_chance_are_no_leak():
    choose = np.random.default_rng(2)
    codes = [f"{c:04}" for c in (*range(2015, 2025), *range(100, 1100, 100), 1000, 5000)]
    table = [
        ["2020-04-16", f"shop {choose.integers(9)}",
         f"inv {choose.integers(10**9)} of 2020-04-16 {choose.integers(10**4)}.00 {i}", "1.00",
         "2020" if i % 3 else codes[int(choose.integers(len(codes)))], ""]
        for i in range(3000)
    ]  # fmt: skip
    assert rates(table)["memo"]["leak_rate"] < 0.01
