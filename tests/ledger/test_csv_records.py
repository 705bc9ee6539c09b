"""Text becomes records, and lines whose quotes break the grammar are set apart one by one."""

import pytest
from ledger_files import HEADER, csv_text, many

from stages.lib.ledger.csv_records import Dialect, read_records
from stages.lib.ledger.text_files import Block

COMMAS = Dialect("utf-8", "comma", "double")


def records(text: str, dialect: Dialect = COMMAS, last: bool = True):
    return read_records(Block(text, 1, len(text)), dialect, last)


@pytest.mark.parametrize(
    ("quote", "line", "row"),
    [
        ("double", '"a ""b"", c",d', ['a "b", c', "d"]),
        ("none", '"a" b,d', ['"a" b', "d"]),
        ("single", "'a, b',d", ["a, b", "d"]),
        ("backslash", '"a \\"b\\", c",d', ['a "b", c', "d"]),
        ("spaced", 'a, "b, c"', ["a", "b, c"]),
        ("spaced", '"a ""b"" ,c" , "d"  ', ['a "b" ,c', "d"]),
        ("spaced", '"" , "d"', ["", "d"]),
    ],
)
def test_quotes_of_each_kind(quote, line, row):
    found, rest = records(f"{line}\n{line}\n", Dialect("utf-8", "comma", quote))
    assert found.rows == [row, row]
    assert (found.lines, list(found.broken), rest) == ([1, 2], [], None)
    assert found.is_text


@pytest.mark.parametrize("delimiter", ["||", "|~|", ";;", "<->", "\x1f", "¦", "^"])
def test_a_delimiter_of_any_signs_is_none_inside_of_quotes(delimiter):
    line = delimiter.join(["a", f'"b{delimiter}""c"""', "", "d"])
    found, rest = records(f"{line}\n{line}\n", Dialect("utf-8", delimiter, "double"))
    assert found.rows == [["a", f'b{delimiter}"c"', "", "d"]] * 2
    assert rest is None


def test_a_broken_line_and_the_rest_keep_a_long_delimiter():
    text = 'a||b\na||"5" x\nc||"d\ne||f\n'
    found, rest = records(text, Dialect("utf-8", "||", "double"), last=False)
    assert (found.rows, list(found.broken)) == ([["a", "b"]], [(2, 'a||"5" x')])
    assert rest == Block('c||"d\ne||f\n', 3, len(text))


def test_a_record_of_several_lines_has_the_number_of_the_first():
    found, _ = records('a,"b\nc"\nd,e\n\nf,g')
    assert found.rows == [["a", "b\nc"], ["d", "e"], [], ["f", "g"]]
    assert found.lines == [1, 3, 4, 5]


def test_bytes_without_a_character_are_noticed():
    bad = b"a,\xff\n".decode("utf-8", "surrogateescape")
    assert records(bad)[0].has_bad_bytes
    assert not records("a,é\n")[0].has_bad_bytes


def test_a_record_that_is_open_at_the_end_is_the_rest_unless_nothing_follows():
    text = 'a,b\nc,"d\ne,f\n'
    found, rest = records(text, last=False)
    assert found.rows == [["a", "b"]]
    assert rest == Block('c,"d\ne,f\n', 2, len(text))
    found, rest = records(text)
    assert (found.rows, found.lines) == ([["a", "b"], ["e", "f"]], [1, 3])
    assert (list(found.broken), rest) == ([(2, 'c,"d')], None)


def test_a_stray_quote_costs_one_line():
    found, _ = records('a,b\na,"5" pipe"\nc,d\na,"never closed\ne,f\n')
    assert found.rows == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert found.broken == [(2, 'a,"5" pipe"'), (4, 'a,"never closed')]


def test_two_stray_quotes_do_not_swallow_the_rows_between_them():
    rows = [[*row[:2], "two\nlines, of\ntext, no\nrow", *row[3:]] if i == 3 else row
            for i, row in enumerate(many(40))]  # fmt: skip
    text = csv_text([HEADER, *rows])
    text = text.replace("thing 8,", '"thing 8,').replace("thing 30,", 'thing 30",')
    found, _ = records(text)
    assert [line for line, _ in found.broken] == [12]
    assert [row[2] for row in found.rows[1:]] == [
        f'thing {i}"' if i == 30 else rows[i - 1][2] for i in range(1, 41) if i != 8
    ]


def test_a_cell_may_be_long():
    assert records(f'"{"x" * 200_000}",b\n')[0].rows == [["x" * 200_000, "b"]]
