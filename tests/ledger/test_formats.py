"""Each file and column has the first entry of other_formats that fits both."""

import pytest
from raw_tables import preprocess_params

from stages.lib.ledger.formats import Format, format_of, unused_entries

PARAMS = preprocess_params(
    decimal="point",
    date_order="dmy",
    other_formats=[
        {"match": "us/*", "columns": ["date"], "date_order": "mdy", "typed_dates": "swapped"},
        {"match": "*.xlsx", "decimal": "comma"},
        {"match": "us/[1].csv", "date_order": "ymd", "decimal": "comma"},
    ],
)


@pytest.mark.parametrize(
    ("file", "column", "expected"),
    [
        ("a.csv", "date", Format("dmy", "point")),
        (
            "US/a.xlsx",
            "date",
            Format("mdy", "point", "swapped", frozenset({"date_order", "typed_dates"})),
        ),
        ("us/a.xlsx", "posting_date", Format("dmy", "comma", None, frozenset({"decimal"}))),
        (
            "us/[1].csv",
            "amount",
            Format("ymd", "comma", None, frozenset({"date_order", "decimal"})),
        ),
    ],
)
def test_the_first_entry_that_fits_file_and_column_decides(file, column, expected):
    assert format_of(file, column, PARAMS) == expected


def test_an_entry_that_fits_no_file_is_named():
    (error,) = unused_entries(
        ["us/a.xlsx", "us/[1].csv"],
        preprocess_params(
            other_formats=[
                {"match": "uk/*", "decimal": "comma"},
                {"match": "US/*", "decimal": "comma"},
            ]
        ),
    )
    assert (error.code, error.where) == ("entry-unused", "params.yaml: preprocess.other_formats[0]")
    assert "'uk/*'" in str(error) and "us/[1].csv" in str(error)
