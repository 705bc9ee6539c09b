"""A refusal names the parameter that cures it, with the value to write."""

from collections import Counter

import pytest
from raw_tables import preprocess_params, raw_table, row
from refusals import refused

from stages.lib.ledger.causes import cause_of, cause_of_accounts
from stages.lib.ledger.cleaning import clean_rows

PARAMS = preprocess_params(currency_words=["cad"], credit_words=[])


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        (["120.00 Dr", "15.00 Cr"], ["credit_words: [cr]", "currency_words: [cad, dr]"]),
        (["Cr 15"], ["credit_words: [cr]"]),
        (["CR.15.00", "Dr. 1,200.00"], ["credit_words: [cr]", "currency_words: [cad, dr]"]),
        (["120.00 S", "15.00 H"], ["credit_words: [h]", "currency_words: [cad, s]"]),
        (["120,00 Haben", "15,00 Soll"], ["credit_words: [haben]", "currency_words: [cad, soll]"]),
        (["12.50 NOK", "13 NOK"], ["currency_words: [cad, nok]"]),
        (["#N/A", "#REF!"], ["spreadsheet", "unreadable_amount: empty"]),
        (["12 1/2 x 3", "1e5"], ["preprocess.unreadable_amount: empty"]),
    ],
)
def test_amounts(cells, parts):
    cause = cause_of(("unreadable amount", "amount"), cells, PARAMS)
    assert [part for part in parts if part not in cause] == []


def test_the_words_that_are_named_cure_the_refusal():
    raw = raw_table(row(amount="120.00 Dr"), row(amount="15.00 Cr."), row(amount="DR 7"))
    params = preprocess_params(currency_words=["cad", "dr"], credit_words=["cr"])
    cleaned = clean_rows(raw, params)
    assert cleaned.transactions["amount"].to_pylist() == [120.0, -15.0, 7.0]


@pytest.mark.parametrize(
    ("reason", "cells", "part"),
    [
        (("unreadable date", "date"), ["16 Apr"], "year"),
        (("unreadable date", "date"), ["31/02/2024"], "preprocess.unreadable_date: empty"),
        (("masked account", "account"), ["***"], "preprocess.labels.masked_rule: from_name"),
        (("retired account", "account"), ["9999"], "preprocess.labels.retire"),
        (("another reason", ""), [], ""),
    ],
)
def test_other_reasons(reason, cells, part):
    assert part in cause_of(reason, cells, PARAMS)


def test_too_many_refused_rows_show_the_first_cell_and_the_cure():
    rows = [row(amount=f"{i}.00 Dr", memo=str(i)) for i in range(5)] + [row()]
    with refused(
        "too-many-rejects", "5 of 6", "a.csv row 2: '0.00 Dr'", "currency_words"
    ) as caught:
        clean_rows(raw_table(*rows), preprocess_params(max_reject_fraction=0.1))
    assert "[cad, 원, dr]" in str(caught.value)


def test_accounts_that_the_pattern_refuses_are_told_by_their_three_commonest_forms():
    forms = Counter({"9999-99": 120, "99.999": 8, "": 3, "9": 1})
    found = cause_of_accounts(forms, "[0-9]{4}")
    assert "9999-99 (120 rows), 99.999 (8 rows), empty (3 rows):" in found
    assert r"pattern: '[0-9]{4}|[0-9]{4}-[0-9]{2}|[0-9]{2}\.[0-9]{3}'" in found
