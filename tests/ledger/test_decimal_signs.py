"""The decimal sign belongs to a file and column, and all its cells together tell which it is."""

import pyarrow as pa
import pytest
from raw_tables import preprocess_params, raw_table, row
from refusals import refused

from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.decimal_signs import seen_amounts

ENGLISH = [f"{i * 37.11:,.2f}" for i in range(1, 61)]
GERMAN = [text.translate(str.maketrans(",.", ".,")) for text in ENGLISH]
VALUES = [round(i * 37.11, 2) for i in range(1, 61)]


def clean(files: dict[str, list[str]], decimal: str = "point", entries=None, **params):
    given = {"max_reject_fraction": 0.02} | params
    has_labels = given.pop("has_labels", True)
    tables = [
        raw_table(*(row(amount=a, memo=f"{file}{i}") for i, a in enumerate(cells)), file=file)
        for file, cells in files.items()
    ]
    return clean_rows(
        pa.concat_tables(tables).unify_dictionaries(),
        preprocess_params(decimal=decimal, other_formats=entries or [], **given),
        has_labels=has_labels,
        is_ledger=has_labels,
    )


def amounts(cleaned, file: str) -> list[float]:
    rows = cleaned.transactions.select(["source_file", "amount"]).to_pylist()
    return [one["amount"] for one in rows if one["source_file"] == file]


@pytest.mark.parametrize(
    ("decimal", "other", "cells"), [("point", "comma", GERMAN), ("comma", "point", ENGLISH)]
)
def test_a_file_with_the_other_sign_is_named_and_cured_by_an_entry(decimal, other, cells):
    files = {"a.csv": ENGLISH if decimal == "point" else GERMAN, "b.csv": cells}
    entry = f'{{match: "b.csv", decimal: {other}}}'
    with refused("too-many-rejects", "b.csv row 2", repr(cells[0]), entry):
        clean(files, decimal)
    cleaned = clean(files, decimal, [{"match": "b.csv", "decimal": other}])
    assert amounts(cleaned, "a.csv") == amounts(cleaned, "b.csv") == VALUES
    assert cleaned.remarks == []


def test_a_small_file_whose_thousands_would_be_read_as_thousandths_is_refused():
    files = {"a.csv": ENGLISH * 20, "b.csv": ["12,50", "7,25", "1.234,00", "1.234"]}
    with refused(
        "other-decimal-sign", "b.csv row 2", "'1.234'", '{match: "b.csv", decimal: comma}'
    ):
        clean(files)
    assert len(clean(files, has_labels=False).remarks) == 1


def test_if_all_files_have_the_other_sign_the_general_key_is_named():
    with refused("too-many-rejects", "preprocess.decimal: comma"):
        clean({"a.csv": GERMAN, "b.csv": GERMAN})


def test_thousands_beside_whole_numbers_get_a_line():
    files = {"a.csv": ENGLISH, "b.csv": ["1.234", "2.500", "12.000", "950"]}
    (remark,) = clean(files).remarks
    assert "b.csv row 2" in remark and '{match: "b.csv", decimal: comma}' in remark
    assert clean(files, entries=[{"match": "b.csv", "decimal": "point"}]).remarks == []
    (remark,) = clean({"b.csv": ["1,234", "2,500", "12,000", "950"]}, "comma").remarks
    assert "decimal: point" in remark


def test_thousands_beside_another_column_with_the_other_sign_get_a_line():
    rows = [row(memo=text, amount=f"{i}.{100 + i}") for i, text in enumerate(GERMAN, start=1)]
    raw = raw_table(*rows, memo="amount")
    params = preprocess_params(max_reject_fraction=1.0)
    with refused("too-many-rejects", "decimal: comma"):
        clean_rows(raw, params)


@pytest.mark.parametrize(
    ("decimal", "cells"),
    [
        pytest.param("point", ["1,234", "950", "12,000", "2,500"], id="whole thousands"),
        pytest.param("comma", ["1.234", "950", "12.000", "2.500"], id="whole thousands in Germany"),
        pytest.param("point", ["1.250", "0.125", "12.500", "1234.500"], id="three decimals"),
        pytest.param("point", ["1.250", "2.125", "12.500", "17.500"], id="three decimals only"),
        pytest.param("comma", ["1.234E0", "12.5E0", "7"], id="typed numbers"),
        pytest.param(
            "point", ["Rs. 500", "1,00,000.00", "5.-", "12.5"], id="India and Switzerland"
        ),
        pytest.param("point", ["1.234", "2.50", "950"], id="both"),
        pytest.param("point", ["n/a", "see 12,50 and 13", "1.5"], id="texts"),
    ],
)
def test_ordinary_amounts_get_no_line(decimal, cells):
    assert clean({"a": cells}, decimal, max_reject_fraction=1.0).remarks == []


def test_a_file_with_both_signs_gets_a_line():
    (remark,) = clean({"a": [*ENGLISH, "12,50"]}).remarks
    assert "a row 62" in remark and "'12,50'" in remark and "'37.11'" in remark


def test_forms_are_counted_by_file():
    cells = ["12,50", "1,234.50", "1.234", "950", "12,50", "x", "1.5E0"]
    seen = seen_amounts(raw_table(*(row(amount=a) for a in cells)), "amount")
    assert {name: tuple(form) for name, form in seen["a.csv", "amount"].items()} == {
        "comma": (2, 1, 2, "12,50"),
        "point": (1, 1, 3, "1,234.50"),
        "three after point": (1, 1, 4, "1.234"),
        "whole": (1, 1, 5, "950"),
    }


def test_mostly_unread_amounts_are_not_emptied():
    cells = [*ENGLISH, *(f"{i} x {i}" for i in range(100))]
    with refused("mostly-unread", "100 of 160", "preprocess.unreadable_amount"):
        clean({"a": cells}, unreadable_amount="empty")
