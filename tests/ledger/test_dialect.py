"""Delimiter, quote and header of a text file are found together."""

import pytest
from ledger_files import HEADER, ROWS, csv_text, ingest_params, many, places
from refusals import refused

from stages.lib.ledger.csv_records import Dialect
from stages.lib.ledger.dialect import find_dialect
from stages.lib.ledger.text_files import Block


def find(text: str, reading: dict | None = None, **changes):
    params = ingest_params("raw", reading, **changes)
    return find_dialect("a.csv", Block(text, 1, 0), "utf-8", params.reading[0], params)


@pytest.mark.parametrize(
    ("delimiter", "quote", "found"),
    [
        (",", '"', ("comma", "double")),
        ("\t", '"', ("tab", "double")),
        (";", '"', ("semicolon", "double")),
        ("|", "'", ("pipe", "single")),
    ],
)
def test_delimiters_and_quotes_are_found(delimiter, quote, found):
    rows = [*ROWS[:3], ["2020-04-20", "Ltd; Co|1", "a,b\tc", "1", "4010", "X"]]
    dialect, layout = find(csv_text([HEADER, *rows], delimiter, quote))
    assert dialect == Dialect("utf-8", *found)
    assert (layout.header_row, layout.header, layout.width) == (1, HEADER, 6)


def test_tabs_without_quotes_keep_quote_marks():
    rows = [["2020-04-16", '"quoted', '5" pipe', "1", "0101", "X"] for _ in range(5)]
    dialect, _ = find("".join("\t".join(row) + "\n" for row in [HEADER, *rows]))
    assert (dialect.delimiter, dialect.quote) == ("tab", "none")


def test_quotes_escaped_by_a_backslash():
    rows = [["2020-04-16", f"shop {i}", f'a "{i}", b', "1", "0101", "X"] for i in range(5)]
    lines = [",".join(f'"{cell}"' for cell in HEADER)]
    lines += [",".join('"' + cell.replace('"', '\\"') + '"' for cell in row) for row in rows]
    assert find("\n".join(lines) + "\n")[0].quote == "backslash"


def test_quotes_behind_a_space():
    rows = [["2020-04-16", f"shop {i}", f"a {i}, b", "1", "0101", "X"] for i in range(5)]
    lines = [", ".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    dialect, _ = find("\n".join([", ".join(HEADER), *lines]) + "\n")
    assert (dialect.delimiter, dialect.quote) == ("comma", "spaced")


def test_a_parameter_overrides_what_would_be_found():
    text = csv_text([HEADER, *many(5)])
    assert find(text, {"quote": "none"})[0].quote == "none"
    with refused("header-not-found", "a.csv"):
        find(text, {"delimiter": "tab"})


def test_title_lines_above_the_header():
    """The row of the header is its line, not the number of its record."""
    dialect, layout = find('"two\nlines"\n\n' + csv_text([HEADER, *ROWS], ";"))
    assert (layout.header_row, dialect.delimiter) == (4, "semicolon")


def test_without_header_the_width_is_that_of_most_rows():
    text = csv_text([*many(5), ["a", "b"], [*many(1)[0], "more"]], ";")
    _, layout = find(text, {"header_row": 0, "positions": places()})
    assert (layout.header_row, layout.width) == (0, 6)


def test_the_message_is_that_of_the_likeliest_delimiter():
    with refused("header-not-found", "a.csv", "Nobody | Vendor | Memo"):
        find(csv_text([["Nobody", *HEADER[1:]], *ROWS], ";"))
