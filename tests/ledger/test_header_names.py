"""The cells of a header fit the names of columns in any spelling."""

import pytest

from stages.lib.ledger.header_names import (
    has_all_names,
    header_key,
    match_header,
    name_cells,
    similarity,
)


@pytest.mark.parametrize(
    ("cell", "other"),
    [
        ("ＤＡＴＥ", "date"),
        (" vendor\n", "VENDOR"),
        ("M e m o", "memo"),
        ("account\nname", "Account name"),
        ("\u200fDate\u200e", "date"),
        ("\u202aAmount\u202c", "amount"),
        ("Cari", "CARİ"),
        ("AÇIKLAMA", "Açıklama"),
        ("İSİM", "isim"),
    ],
)
def test_the_spelling_of_a_header_cell_does_not_matter(cell, other):
    assert header_key(cell) == header_key(other)


def test_cells_that_read_alike_are_numbered():
    assert name_cells(["Text", "Date", " TEXT ", "", "", 1.0]) == [
        "Text (1 of 2)", "Date", "TEXT (2 of 2)", "", "", "1"
    ]  # fmt: skip
    header = ["Text", "Date", "TEXT"]
    assert match_header(header, {"a": ["text (2 of 2)"], "b": ["text"], "c": ["x", "date"]}) == {
        "a": 2, "c": 1
    }  # fmt: skip


def test_the_most_similar_name_counts():
    assert similarity("memo", ["Vendor", "ME MO"]) == 1.0
    assert similarity("memo", []) == 0.0
    assert 0 < similarity("memo", ["memmo"]) < 1


def test_a_line_may_have_all_names_in_it():
    names = {"a": ["Net Amount"], "b": ["x", "text (2 of 2)"], "c": ["y"]}
    assert has_all_names("text^Net  amount^text", names, ["a", "b"])
    assert not has_all_names("text^Net  amount^text", names, ["a", "c"])
