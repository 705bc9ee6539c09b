"""Delimiters and columns of fixed width show in the first lines of a file."""

import pytest

from stages.lib.ledger.delimiters import even_delimiters, fixed_width_header, header_delimiters

NAMES = {"date": ["date"], "code": ["g/l code", "code"], "amount": ["net-amount"]}
REQUIRED = {"date", "code", "amount"}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Date^Code^Net-Amount", ["^"]),
        ("Date|~|Code|~|Net-Amount", ["|~|", "|"]),
        ("'Date'~'Code'~'Net-Amount'", ["~"]),
        ("Date\x1fG/L Code\x1fNet-Amount", ["\x1f"]),
        ("Date,Code,Net-Amount", [","]),
        ("Date-Code-Net-Amount", []),
        ("Date^Code", []),
        ("", []),
    ],
)
def test_a_delimiter_makes_a_header_of_a_line(header, found):
    assert header_delimiters(["title; of^this", header], NAMES, REQUIRED) == found


def test_without_header_a_delimiter_is_as_often_in_every_line():
    assert even_delimiters(["2020-01-02^a^1", "2020-01-03^b-^2"], 3) == ["^"]
    assert even_delimiters(["a|~|b|~|c", "d|~|e|~|f"], 3) == ["|~|", "|~", "~|", "|", "~"]
    assert even_delimiters(["a^b"], 2) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["Date        Code  Net-Amount", "2020-01-02  0101        1.50"],
        ["Date       Code Net-Amount", "2020-01-02 0101       1.50", "2020-01-03 0102       2.50"],
    ],
)
def test_columns_of_fixed_width_have_gaps_in_all_lines(lines):
    assert fixed_width_header(["A title", "", *lines], NAMES, REQUIRED) == lines[0]


def test_other_lines_are_not_of_fixed_width():
    assert fixed_width_header(["Date,Code,Net-Amount", "a  b  c"], NAMES, REQUIRED) is None
    assert fixed_width_header([], NAMES, REQUIRED) is None
