"""Delimiter, quote and header of a text file are found together."""

import pytest
from ledger_files import HEADER, ROWS, csv_text, ingest_params, many, names, places
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


@pytest.mark.parametrize("delimiter", ["^", "~", "¦", "||", ";;", "|~|", "\x1f", "<=>", "#"])
def test_any_signs_may_be_the_delimiter(delimiter):
    rows = [["2020-04-20", "Ltd; Co|1", f"a,b{delimiter}c", "1", "4010", "X"], *many(9)]
    text = csv_text([HEADER, *rows], delimiter)
    dialect, layout = find(text)
    assert dialect == Dialect("utf-8", delimiter, "double")
    assert (layout.header, layout.width) == (HEADER, 6)
    assert find(text, {"delimiter": delimiter})[0] == dialect


def test_any_signs_may_be_the_delimiter_of_a_file_without_header():
    for delimiter in ("^", "|~|", "||", "comma"):
        text = csv_text(many(9), "," if delimiter == "comma" else delimiter)
        for positions in (places(), {"date": 1, "amount": 4, "account": 5}):
            dialect, layout = find(text, {"header_row": 0, "positions": positions})
            assert (dialect.delimiter, layout.width) == (delimiter, 6)


def test_single_quotes_are_found_where_lines_end_in_a_delimiter():
    rows = [[*row[:2], f"a, {i}", *row[3:], ""] for i, row in enumerate(many(9))]
    dialect, layout = find(csv_text([HEADER, *rows], ",", "'"))
    assert (dialect.quote, layout.width) == ("single", 6)


@pytest.mark.parametrize(
    ("header_ends", "row_ends", "width"),
    [([""], [], 6), (["", ""], [""], 7), ([""], [""], 7), ([], [""], 6), ([" "], [], 6)],
)
def test_nameless_cells_at_the_end_of_the_header_need_no_cells_below(header_ends, row_ends, width):
    rows = [[*row, *row_ends] for row in many(9)]
    _, layout = find(csv_text([[*HEADER, *header_ends], *rows]))
    assert layout.width == width


def test_rows_may_end_in_a_delimiter_or_not():
    """One row that is short has lost a cell, many have not."""
    lines = [",".join(row) + "," * (i % 2) for i, row in enumerate(many(40))]
    header = ",".join(HEADER) + ","
    assert find("\n".join([header, *lines]) + "\n")[1].width == 6
    lines = [",".join(row) + "," * (i != 7) for i, row in enumerate(many(40))]
    assert find("\n".join([header, *lines]) + "\n")[1].width == 7
    lines = [",".join(row) + ",note" * (i > 7) for i, row in enumerate(many(40))]
    assert find("\n".join([header, *lines]) + "\n")[1].width == 7


def test_positions_may_be_beyond_the_header():
    """The header lacks a cell, so all names are over the wrong columns."""
    rows = [["1", *row] for row in many(9)]
    _, layout = find(csv_text([HEADER, *rows]), {"positions": places(2, 3, 4, 5, 6, 6 + 1)})
    assert layout.width == 7


@pytest.mark.parametrize("gap", ["  ", " "])
def test_columns_of_fixed_width_are_refused_by_name(gap):
    lines = [gap.join(cell.ljust(12) for cell in row) for row in [HEADER, *many(9)]]
    with refused("fixed-width", "a.csv", "Vendor"):
        find("Ledger 2020\n" + "\n".join(lines) + "\n")


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


def test_quotes_between_spaces_are_no_part_of_the_cell():
    lines = [" , ".join(f'"{cell}"' for cell in row) for row in [HEADER, *many(9)]]
    dialect, layout = find("\n".join(lines) + "\n")
    assert (dialect.quote, layout.header, layout.width) == ("spaced", HEADER, 6)


def test_a_parameter_overrides_what_would_be_found():
    text = csv_text([HEADER, *many(5)])
    assert find(text, {"quote": "none"})[0].quote == "none"
    with refused("header-not-found", "delimiter 'tab'", "'comma'", "delimiter: auto"):
        find(text, {"delimiter": "tab"})
    quoted = csv_text([[f"{cell}, x" for cell in HEADER], *many(5)], quote="'")
    columns = {
        name: {**column, "names": [f"{cell}, x"]}
        for (name, column), cell in zip(names().items(), HEADER, strict=True)
    }
    with refused("header-not-found", "quote 'none'", "'single'", "quote: auto"):
        find(quoted, {"quote": "none"}, columns=columns)


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
