"""Error cells such as #N/A stay visible in workbooks of every format."""

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import xlrd
from ledger_files import HEADER, ROWS, ErrorCell, write_ods, write_xlsx
from refusals import refused

from stages.lib.errors import UserError
from stages.lib.ledger.error_cells import list_errors
from stages.lib.ledger.workbooks import may_kill_its_reader, workbook_sheets

DATA = Path(__file__).parents[1] / "data"
# Of two sheets, the first one empty; the second error is a formula's.
XLS = (DATA / "errors.xls").read_bytes()
XLS_ERRORS = {1: {(1, 2): "#N/A", (2, 2): "#DIV/0!", (4, 4): "#REF!"}}


def typed(row: list[str]) -> list:
    """Return a row as a workbook has it: the amount is a number."""
    return [*row[:3], float(row[3]), *row[4:]]


WITH_ERRORS = [[*typed(ROWS[0])[:2], ErrorCell("#N/A"), *typed(ROWS[0])[3:]],
               [*typed(ROWS[1])[:2], ErrorCell("#DIV/0!"), *typed(ROWS[1])[3:]],
               [*typed(ROWS[2])[:2], 'not <c t="e">', *typed(ROWS[2])[3:]],
               [*typed(ROWS[3])[:4], ErrorCell("#REF!"), "TRAVEL"]]  # fmt: skip


def sheets(path: Path) -> list[tuple[str, list[list]]]:
    return [(sheet.name, list(sheet.rows)) for sheet in workbook_sheets(path, ["*"])]


def rewritten(path: Path, change) -> bytes:
    """Return the archive at `path` with each part as `change(name, part)` gives it."""
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as book, zipfile.ZipFile(copy, "w") as written:
        for name in book.namelist():
            written.writestr(name, change(name, book.read(name)))
    return copy.getvalue()


def write_xlsb_errors(path: Path) -> None:
    """Copy ledger.xlsb with errors in the memos of its first two rows, the second of a formula."""
    cell = b"\x02\0\0\0\0\0\0\0"

    def with_errors(_: str, part: bytes) -> bytes:
        part = part.replace(b"\x07\x0c" + cell + b"\x07\0\0\0", b"\x03\x09" + cell + b"\x2a")
        formula = b"\x0b\x0f" + cell + b"\x07" + bytes(6)
        return part.replace(b"\x07\x0c" + cell + b"\x0b\0\0\0", formula)

    path.write_bytes(rewritten(DATA / "ledger.xlsb", with_errors))


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods", "a.xls", "a.xlsb"])
def test_error_cells_stay_visible(tmp_path, name):
    path = tmp_path / name
    memos = ["#N/A", "#DIV/0!", 'not <c t="e">', "two\nlines"]
    accounts = ["0101", "2010", "2010", "#REF!"]
    if name == "a.xlsx":
        write_xlsx(path, {"Empty": [], "S": [HEADER, *WITH_ERRORS]})
    elif name == "a.ods":
        write_ods(path, [HEADER, *WITH_ERRORS])
    elif name == "a.xls":
        path.write_bytes(XLS)
    else:
        write_xlsb_errors(path)
        memos[2], accounts[3] = "null", "4010"
    rows = sheets(path)[-1][1]
    assert [row[2] for row in rows[1:]] == memos
    assert [row[4] for row in rows[1:]] == accounts


def test_tabs_and_line_breaks_of_opendocument_part_words(tmp_path):
    path = tmp_path / "a.ods"
    write_ods(path, [HEADER, *ROWS])
    marked = b"O'<text:line-break/>Brien<text:tab/>Ltd"
    path.write_bytes(rewritten(path, lambda _, part: part.replace(b"O'Brien", marked)))
    assert sheets(path)[0][1][4][1] == "O'\nBrien\tLtd"


def test_the_errors_of_an_old_workbook_are_listed():
    assert list_errors(XLS) == XLS_ERRORS


def test_an_old_workbook_without_errors_is_not_parsed(monkeypatch):
    monkeypatch.setattr("xlrd.open_workbook", None)
    assert list_errors((DATA / "ledger.xls").read_bytes()) == {}
    with pytest.raises(TypeError):
        list_errors(XLS)


def test_a_chart_before_the_worksheet_does_not_move_its_errors(tmp_path):
    """The type of the empty sheet, behind its place and visibility, says that it is a chart."""
    at = XLS.index(b"\x05\0Empty") - 1
    assert XLS[at : at + 1] == b"\0"
    content = XLS[:at] + b"\2" + XLS[at + 1 :]
    assert list_errors(content) == {0: XLS_ERRORS[1]}
    (tmp_path / "a.xls").write_bytes(content)
    [(_, rows)] = sheets(tmp_path / "a.xls")
    assert [row[2] for row in rows[1:3]] == ["#N/A", "#DIV/0!"]


def test_an_unknown_error_is_visible_too():
    cell = XLS.index(b"\x05\x02\x08\x00") + 10
    assert XLS[cell : cell + 2] == b"\x2a\x01"
    for code, text in ((0x2B, "#GETTING_DATA"), (0x99, "#UNKNOWN!")):
        content = XLS[:cell] + bytes([code]) + XLS[cell + 1 :]
        assert list_errors(content)[1][1, 2] == text


def damaged_copies(every: int) -> Iterator[bytes]:
    for place in range(0, len(XLS), every):
        for value in {0x00, 0x80, 0xFF, XLS[place] ^ 1} - {XLS[place]}:
            yield XLS[:place] + bytes([value]) + XLS[place + 1 :]


def count_refused(copies: Iterable[bytes]) -> tuple[int, int]:
    """Return how many of `copies` are refused, and of how many the errors are found."""
    refused = found = 0
    for content in copies:
        try:
            found += list_errors(content) == XLS_ERRORS
        except xlrd.XLRDError as error:
            assert str(error)
            refused += 1
    return refused, found


def test_some_changed_bytes_of_an_old_workbook_are_refused_or_change_nothing():
    refused, found = count_refused(damaged_copies(every=37))
    assert refused > 40 and found > 300


@pytest.mark.slow
def test_thousands_of_changed_bytes_of_an_old_workbook_are_refused_or_change_little():
    refused, found = count_refused(damaged_copies(every=3))
    assert refused > 800 and found > 4300


@pytest.mark.parametrize("left", [100, 600, 3000, 4500, 5100])
def test_an_old_workbook_that_is_cut_off_is_refused(left):
    with pytest.raises(xlrd.XLRDError):
        list_errors(XLS[:left])


def test_a_folder_inside_itself_and_sectors_of_two_bytes_are_refused():
    """Damage at which xlrd recurses without end, or divides by zero."""
    entry = XLS.index("Workbook".encode("utf-16-le"))
    itself = struct.pack("<i", 1)
    for content in (
        XLS[: entry + 68] + itself + XLS[entry + 72 :],  # its left neighbour in the folder
        XLS[:30] + b"\x01\x00" + XLS[32:],
    ):
        with pytest.raises(xlrd.XLRDError):
            list_errors(content)


def test_a_workbook_with_encrypted_parts_is_one_line(tmp_path):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"S": [HEADER, *ROWS]})
    content = path.read_bytes()
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        first, *parts = content.split(head)
        at = flags - len(head)
        content = head.join([first, *(p[:at] + bytes([p[at] | 1]) + p[at + 1 :] for p in parts)])
    path.write_bytes(content)
    with refused("damaged-file", str(path), "encrypted"):
        sheets(path)


def refused_bytes(path: Path, value: int, every: int) -> int:
    """Set each byte of the directory of the archive at `path` to `value`, one at a time, and return
    how many of these archives are refused. Those that are not must read as the whole one does."""
    content, whole = path.read_bytes(), sheets(path)
    count = 0
    for place in range(content.index(b"PK\x01\x02"), len(content), every):
        path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
        try:
            may_kill_its_reader(path)
            found = sheets(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            count += 1
        else:
            assert found == whole
    return count


def test_some_changed_bytes_of_an_archives_directory_are_one_line_or_none(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"전표": [HEADER, *ROWS]})
    assert refused_bytes(tmp_path / "a.xlsx", 0xFF, every=7) > 5


@pytest.mark.slow
@pytest.mark.parametrize("value", [0x00, 0x80, 0xFF])
def test_any_changed_byte_of_an_archives_directory_is_one_line_or_none(tmp_path, value):
    write_xlsx(tmp_path / "a.xlsx", {"전표": [HEADER, *ROWS]})
    assert refused_bytes(tmp_path / "a.xlsx", value, every=1) > 50
