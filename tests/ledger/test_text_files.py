"""Text files are cut into blocks of whole lines, whatever their line ends are."""

import gzip

import pytest
from ledger_files import HEADER, ROWS, csv_text, many, read
from refusals import refused

from stages.lib.ledger import reading, text_files
from stages.lib.ledger.text_files import Block, text_blocks


def text_of(path, encoding="utf-8", line_end="any", chars=None) -> str:
    return "".join(block.text for block in text_blocks(path, encoding, line_end, chars))


@pytest.mark.parametrize("chars", [1, 2, 3, 5, -1])
@pytest.mark.parametrize(
    ("line_end", "lines"),
    [
        ("any", "a\nb\nc\n\nd\ne"),
        ("lf", "a b\nc\n\nd e"),
        ("crlf", "a b c\n d e"),
    ],
)
def test_what_ends_a_line_is_a_parameter(tmp_path, line_end, lines, chars):
    (tmp_path / "a.csv").write_bytes(b"a\rb\nc\r\n\nd\re")
    assert text_of(tmp_path / "a.csv", line_end=line_end, chars=chars) == lines


def test_blocks_are_whole_lines_with_their_numbers(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"one\r\ntwo\r\nthree\r\nfour")
    assert list(text_blocks(tmp_path / "a.csv", "utf-8", "any", 8)) == [
        Block("one\n", 1, 21),
        Block("two\nthree\n", 2, 21),
        Block("four", 4, 21),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_mark_and_nul_characters_are_left_out(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("\ufeffDa\0te\n\ufeff1\0".encode(encoding))
    assert text_of(tmp_path / "a.csv", encoding) == "Date\n\ufeff1"


def test_a_mark_does_not_hide_the_first_header_cell(tmp_path):
    for encoding in ("utf-8", "utf-16-le"):
        content = ("\ufeff" + csv_text([HEADER, *ROWS])).encode(encoding)
        (tmp_path / "a.csv").write_bytes(content)
        assert read(tmp_path, {"encoding": encoding}).cells == ROWS


def test_bytes_without_a_character_stay_as_surrogates(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"th\xffng\n")
    assert text_of(tmp_path / "a.csv").encode("utf-8", "surrogateescape") == b"th\xffng\n"


def test_a_file_packed_with_gzip_is_unpacked(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress("é\n".encode()))
    assert text_of(tmp_path / "a.csv") == "é\n"


def test_an_encoding_that_does_not_exist_or_does_not_fit_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"abc")
    for name, nearest in [("utf-9", "utf_8"), ("CP-9490", "cp949"), ("zzz", "auto")]:
        with refused("encoding-unknown", "a.csv", f"'{name}'", f"encoding: {nearest} in ingest"):
            text_of(tmp_path / "a.csv", name)
    with refused("encoding-wrong", "a.csv", "utf-16", "ingest.reading", "encoding: auto"):
        text_of(tmp_path / "a.csv", "utf-16")


@pytest.mark.parametrize("where", ["end", "middle"])
def test_a_damaged_gzip_file_is_refused(tmp_path, where):
    whole = gzip.compress(csv_text([HEADER, *many(2000)]).encode())
    content = whole[:-20] if where == "end" else whole[:400] + bytes(8) + whole[408:]
    (tmp_path / "a.csv.gz").write_bytes(content)
    with refused("damaged-file", "a.csv.gz"):
        text_of(tmp_path / "a.csv.gz")
    with refused("damaged-file", "a.csv.gz"):
        read(tmp_path)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_RECORD_CHARS", 1_000)
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 300)
    content = csv_text([HEADER, *ROWS]).encode() + b"x" * 1_000_000
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content, 1, mtime=0))
    ends = []
    with refused("line-too-long", "a.csv.gz, line 7", "1,000"):
        for block in text_blocks(tmp_path / "a.csv.gz", "utf-8", "any"):
            ends.append(block.line)
    assert ends[-1] <= 7


@pytest.mark.parametrize("chars", [50, 8_000_000])
@pytest.mark.parametrize("ends", [["\r", "\n"], ["\n", "\r"], ["\r", "\r\n", "\n"], ["\r\n", "\r"]])
def test_line_ends_of_several_kinds_cost_no_row(tmp_path, monkeypatch, ends, chars):
    rows = many(40)
    text = "".join(
        csv_text([row], end=ends[i * len(ends) // 41]) for i, row in enumerate([HEADER, *rows])
    )
    (tmp_path / "a.csv").write_bytes(text.encode())
    monkeypatch.setattr(text_files, "BLOCK_CHARS", chars)
    found = read(tmp_path)
    assert found.cells == rows
    assert (found.report["rows_read"], found.report["rows_out"]) == (40, 40)


@pytest.mark.parametrize("short_rows", ["reject", "fill"])
def test_line_ends_that_change_far_below_the_header_cost_no_row(tmp_path, monkeypatch, short_rows):
    monkeypatch.setattr(reading, "SAMPLE_CHARS", 2_000)
    rows = many(300)
    text = csv_text([HEADER, *rows[:200]]) + csv_text(rows[200:], end="\r")
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert read(tmp_path, {"short_rows": short_rows}).cells == rows


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("inner", ["\r", "\n", "\r\n"])
def test_line_breaks_in_quotes_are_of_any_kind(tmp_path, end, inner):
    rows = [[*row[:2], f"thing\n{i}", *row[3:]] for i, row in enumerate(many(20))]
    text = csv_text([HEADER, *rows]).replace("thing\n", "thing+").replace("\n", end)
    (tmp_path / "a.csv").write_bytes(text.replace("+", inner).encode())
    assert read(tmp_path).cells == rows


@pytest.mark.parametrize(
    ("line_end", "end", "inner"), [("lf", "\n", "\r"), ("lf", "\r\n", "\r"), ("crlf", "\r\n", "\n")]
)
def test_line_breaks_without_quotes_are_refused_until_the_line_end_is_named(
    tmp_path, line_end, end, inner
):
    rows = [[*row[:2], f"thing {i}", *row[3:]] for i, row in enumerate(many(20))]
    text = csv_text([HEADER, *rows], end=end).replace("thing 7", f"thing{inner}7")
    (tmp_path / "a.csv").write_bytes(text.encode())
    found = read(tmp_path)
    assert found.rejects == [(9, "too few cells"), (10, "too few cells")]
    assert found.cells == rows[:7] + rows[8:]
    assert read(tmp_path, {"line_end": line_end}).cells == rows
