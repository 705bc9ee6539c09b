"""Cells become text that means the same."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from stages.lib.ledger.cells import amount_text, cell_text, is_encodable, writable_cells


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (2401.0, "2401"),
        (0.1, "0.1"),
        (1e-05, "0.00001"),
        (1e16, "10000000000000000"),
        (12345678901234.0, "12345678901234"),
        (-0.0, "0"),
        (float("nan"), ""),
        (float("inf"), "Infinity"),
        (None, ""),
        (True, "TRUE"),
        (False, "FALSE"),
        (7, "7"),
        (Decimal("1E+3"), "1000"),
        (datetime(2020, 4, 16), "2020-04-16"),
        (datetime(2020, 4, 16, 1, 20), "2020-04-16 01:20:00"),
        (date(2020, 4, 16), "2020-04-16"),
        ("0101", "0101"),
        ("a\0b", "ab"),
    ],
)
def test_a_typed_cell_has_its_shortest_text(cell, text):
    assert cell_text(cell) == text


def test_the_largest_numbers_keep_their_value():
    assert float(cell_text(1e300)) == 1e300


@pytest.mark.parametrize(
    ("cell", "text"),
    [(95.58, "95.58E0"), (Decimal("-12.5"), "-12.5E0"), (1234.0, "1234"), ("1,5", "1,5")],
)
def test_a_typed_fraction_says_that_its_sign_is_the_point(cell, text):
    assert amount_text(cell) == text


def test_bytes_without_a_character_can_be_written_as_an_escape():
    bad = b"th\xffng".decode("utf-8", "surrogateescape")
    assert not is_encodable(bad)
    assert writable_cells([bad, 1.0]) == ["th\\udcffng", "1"]
    assert writable_cells(["é", None]) == ["é", ""]
