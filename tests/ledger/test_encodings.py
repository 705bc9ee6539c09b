"""The encoding of a text file is found, or asked for."""

import gzip
from pathlib import Path

import pytest
from encoding_cases import CASES, KOREAN, UNCLEAR
from ledger_files import HEADER, ROWS, csv_text
from refusals import refused

from stages.lib.ledger.encodings import find_encoding, guess_utf16


def write(folder: Path, content: bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content)
    return path


def with_memo(memo: str, count: int) -> list[list[str]]:
    return [["2020-04-16", "ACME", f"{memo} {i}", "1", "0101", "X"] for i in range(count)]


@pytest.mark.parametrize(("rows", "written", "expected"), CASES)
@pytest.mark.parametrize("packed", [False, True])
def test_the_encoding_of_a_ledger_is_found(tmp_path, rows, written, expected, packed):
    content = csv_text(rows).encode(written)
    path = write(tmp_path, gzip.compress(content, mtime=0) if packed else content)
    assert find_encoding(path) == expected
    assert content.decode(expected) == csv_text(rows)


@pytest.mark.parametrize(("rows", "written"), UNCLEAR)
def test_an_encoding_that_cannot_be_told_is_asked_for(tmp_path, rows, written):
    path = write(tmp_path, csv_text(rows).encode(written))
    with refused("encoding-unclear", str(path), "ingest.reading"):
        find_encoding(path)


@pytest.mark.parametrize("memo", ["Gebühr für", "fees"])
@pytest.mark.parametrize(("sign", "encoding"), [("¦", "cp1252"), ("§", "cp1252"), ("¬", "cp1252")])
def test_a_delimiter_that_is_not_ascii_says_nothing_about_the_encoding(
    tmp_path, memo, sign, encoding
):
    text = csv_text([HEADER, *with_memo(memo, 10)], sign)
    assert find_encoding(write(tmp_path, text.encode(encoding))) == encoding


def test_lines_of_two_encodings_are_refused(tmp_path):
    lines = csv_text([HEADER, *with_memo("Gebühr für", 10)]).splitlines(keepends=True)
    encoded = [line.encode("utf-8" if i < 4 else "cp1252") for i, line in enumerate(lines)]
    path = write(tmp_path, b"".join(encoded))
    with refused("encoding-mixed", str(path), "utf-8", "ingest.reading", "Gebühr für 3") as caught:
        find_encoding(path)
    assert "in cp1252" in str(caught.value)


def test_a_line_is_shown_in_the_likeliest_encodings_and_masked(tmp_path):
    rows = [HEADER, ["2020-04-16", "한빛", "to a@b.org", "1", "0101", ""]]
    path = write(tmp_path, csv_text(rows).encode("cp949"))
    with refused("encoding-unclear", "한빛,to [email]", "in cp949"):
        find_encoding(path, ["email"])


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("filling", [0, 1 << 21])
def test_a_few_bad_bytes_do_not_change_the_encoding(tmp_path, end, filling):
    """In a file of one block and of several."""
    text = csv_text([HEADER, *with_memo("Gebühr", 50)], end=end) + ("x" * 99 + end) * (
        filling // 100
    )
    bad = text.encode().replace(b"hr 30", b"hr \xff30")
    assert bad != text.encode()
    assert find_encoding(write(tmp_path, bad)) == "utf-8"


def test_a_letter_on_the_border_of_two_blocks_is_whole(tmp_path):
    content = ("한" * 400_000).encode()  # 1,200,000 bytes: the border cuts a syllable
    assert find_encoding(write(tmp_path, content)) == "utf-8"
    assert find_encoding(write(tmp_path, b"x" + content)) == "utf-8"


def test_letters_far_below_decide(tmp_path):
    """The first two megabytes are ASCII."""
    text = "2020-04-16,ACME,rent,1\n" * 100_000 + csv_text(KOREAN)
    assert find_encoding(write(tmp_path, text.encode("cp949"))) == "cp949"


@pytest.mark.parametrize("content", [b"", b"\n\n", csv_text([HEADER, ROWS[2]]).encode()])
def test_ascii_is_utf8(tmp_path, content):
    assert find_encoding(write(tmp_path, content)) == "utf-8"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04", "file-packed"),
        (b"BZh9", "file-packed"),
        (gzip.compress(gzip.compress(b"a,b", mtime=0), mtime=0), "file-packed"),
        (b"%PDF-1.7", "file-not-a-ledger"),
        (b"\xef\xbb\xbf <html>", "file-not-a-ledger"),
        (b"SQLite format 3\0", "file-not-a-ledger"),
        (gzip.compress(b"a,b\n" * 1000, mtime=0)[:-9], "damaged-file"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, code):
    path = write(tmp_path, content)
    with refused(code, str(path)):
        find_encoding(path)


def test_text_with_zero_bytes_is_not_utf16_by_that():
    assert guess_utf16(b"a,b\0\0,c\n" * 9) is None
    assert guess_utf16("한글,한글".encode("utf-16-le")) is None  # no line end
