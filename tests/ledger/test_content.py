"""Cells look like dates and amounts in all the forms that `preprocess` can read."""

from collections import Counter

import pyarrow as pa
import pytest
from ledger_files import ingest_params

from stages.lib.ledger.content import VOCABULARY, check_content, vocabularies, vocabulary


def content(name: str, cells: list[str], **changes):
    lines = range(2, len(cells) + 2)
    return check_content({name: pa.array(cells)}, lines, ingest_params("raw", **changes)).get(name)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("amount", ["１２，３００", "￦1,200", "1\u00a0200,50 €", "1\u202f200", "５００원", "5.-",
                    "1´2"]),
        ("amount", [" $-   ", "₩ -", "−", "- €", "-원", "R$ -"]),  # zeros of accounting formats
        ("amount", ["95.58E0", "(3)", "-2.50", "CR 12"]),
        ("date", ["２０２０년 4월 16일", "200416", "16.04.20", "Mon, 16 Apr 2020", "16 04 2020"]),
        ("date", ["2020\u00a04\u00a016", "1er mars 2020", "16 de abril de 2020",
                  "April 16th, 2020"]),
        ("date", ["20200416T101500", "2020.04.16(목)", "20200416101500", "43937.5"]),
        ("date", ["Apr-16-2020", "Apr/16/20", "April.16,2020", "令和2年4月16日", "R06/4/16"]),
        ("account", ["０１０１", "0101\u00a0", "\u20070101"]),
    ],
)  # fmt: skip
def test_cells_that_preprocess_can_read_look_right(name, cells):
    assert content(name, cells) == (len(cells), len(cells), "", 0)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *(("date", cell) for cell in ("shop 7", "12.50", "0101", "1,234", "12345678901")),
        *(("amount", cell) for cell in ("the number 12", "12 thousands", "x", "2020-04-16")),
        *(("account", cell) for cell in ("101", "01011", "0101.0", "x")),
    ],
)
def test_other_cells_do_not(name, cell):
    assert content(name, ["", " ", cell, cell]) == (2, 0, cell, 4)


def test_the_example_is_masked():
    assert content("amount", ["010-1234-5678 x"]).wrong == "[phone] x"


def test_columns_without_pattern_are_not_checked():
    assert content("memo", ["x"]) is None
    assert content("account", ["x"], patterns={}) is None
    assert content("memo", ["x"], patterns={"memo": "x"}) == (1, 1, "", 0)


def test_the_vocabulary_has_the_most_frequent_values():
    column = pa.array([" a", "a ", "", "b"] + [f"{i}" for i in range(400)])
    words = vocabulary(column)
    assert words["a"] == 2 and "" not in words and len(words) == VOCABULARY
    params = ingest_params("raw")
    columns = {name: pa.array(["x"]) for name in params.columns}
    found = vocabularies(columns, params)
    assert list(found) == ["vendor", "memo", "account", "name"]
    assert found["name"] == Counter(x=1)
