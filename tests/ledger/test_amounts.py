"""Amounts are read in the styles of many countries, and only where they can mean one number."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.ledger.amounts import amount_marks, parse_amount, parse_amounts

MARKS = amount_marks(("cad", "usd", "원"), ("cr",))


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1,234.50", 1234.5, None),
        ("1.234,50", None, 1234.5),
        ("1 234,50", None, 1234.5),
        ("1'234.50", 1234.5, None),
        ("12,50", None, 12.5),
        ("12.50", 12.5, None),
        ("1,00,000.00", 100000.0, None),
        ("1,2,3", None, None),
        ("(1,234)", -1234.0, -1.234),
        ("5-", -5.0, -5.0),
        ("−5", -5.0, -5.0),
        ("- 5", -5.0, -5.0),
        ("+7", 7.0, 7.0),
        ("--5", None, None),
        ("△1,000", -1000.0, -1.0),
        ("£12", 12.0, 12.0),
        ("$-5", -5.0, -5.0),
        ("-$5", -5.0, -5.0),
        ("($5)", -5.0, -5.0),
        ("CA$ 5", 5.0, 5.0),
        ("-5 US$", -5.0, -5.0),
        ("(5CA$)", -5.0, -5.0),
        ("CR$5", -5.0, -5.0),
        ("5 CR$", -5.0, -5.0),
        ("₩12,000", 12000.0, 12.0),
        ("12,000원", 12000.0, 12.0),
        ("CAD 12", 12.0, 12.0),
        ("12 cad", 12.0, 12.0),
        ("12 XYZ", None, None),
        ("１，２３４．５０", 1234.5, None),
        ("￦12,000", 12000.0, 12.0),
        ("\\12,000", 12000.0, 12.0),
        ("-＼12,000", -12000.0, -12.0),
        ("1\u00a0234", 1234.0, 1234.0),
        ("1\u202f234,50", None, 1234.5),
        ("1’234.50", 1234.5, None),
        ("1´234.50", 1234.5, None),
        ("1,23,456.78", 123456.78, None),
        ("1,234 567", None, None),
        ("1,23,456,789", None, None),
        ("1,2345", None, 1.2345),
        ("0,125", None, 0.125),
        ("1,234.50-", -1234.5, None),
        ("–5", -5.0, -5.0),
        ("▽1,000", -1000.0, -1.0),
        ("▲5", -5.0, -5.0),
        ("(△5)", -5.0, -5.0),
        ("-(5)", None, None),
        ("5.-", 5.0, None),
        ("1'200.—", 1200.0, None),
        ("5,–", None, 5.0),
        ("CR 5", -5.0, -5.0),
        ("5CR.", -5.0, -5.0),
        ("-5 CR", None, None),
        ("CR 5 CR", None, None),
        ("5 CRAB", None, None),
        ("5²", None, None),
        ("\ufeff5\u200b", 5.0, 5.0),
        ("#N/A", None, None),
        ("１２３", 123.0, 123.0),
        ("5 CR", -5.0, -5.0),
        ("", None, None),
        ("n/a", None, None),
        ("NaN", None, None),
        ("1e5", None, None),
        ("-", 0.0, 0.0),
        (".", None, None),
        ("1,00,000/-", 100000.0, None),
        ("1,00,000.50/-", 100000.5, None),
        ("5/=", 5.0, None),
        ("\ufffd12.50", 12.5, None),
        ("-\ufffd\ufffd12.50", -12.5, None),
        ("12.50\ufffd", 12.5, None),
        ("12 CAD.", 12.0, 12.0),
        ("CAD.5", 0.5, None),
        ("5/-2", None, None),
    ],
)
def test_amounts(text, point, comma):
    assert parse_amount(text, "point", *MARKS) == point
    assert parse_amount(text, "comma", *MARKS) == comma


@given(st.decimals(-(10**9), 10**9, places=2))
def test_an_amount_written_in_either_style_is_read_back(amount):
    english = f"{amount:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert parse_amount(english, "point", *MARKS) == float(amount)
    assert parse_amount(german, "comma", *MARKS) == float(amount)


def test_a_column_of_amounts_is_read_as_its_cells_are():
    cells = pa.array(["7", " -1.5 ", "", "1,234.50", "5 cr", "n/a", "1.234E0"])
    found = parse_amounts(cells, "point", ["cad"], ["cr"])
    assert found.to_pylist() == [7.0, -1.5, None, 1234.5, -5.0, None, 1.234]


def test_typed_numbers_have_a_point_even_where_texts_have_a_comma():
    cells = pa.array(["1.234E0", "1.234,50", "7", "1.234"])
    assert parse_amounts(cells, "comma", [], []).to_pylist() == [1.234, 1234.5, 7.0, 1234.0]


def test_hundreds_of_digits_are_not_an_amount():
    cells = pa.array(["9" * 400, "1,000" + ",000" * 200, "1"])
    assert parse_amounts(cells, "point", [], []).to_pylist() == [None, None, 1.0]
