"""The workbook is one to work in: what is in its cells, how they are shown, and the drop-down."""

import re
import time
from datetime import date
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import pyarrow as pa
import pytest
from python_calamine import CalamineWorkbook
from review_rows import CHART, FIELDS, LAYOUT, batch, write
from xlsxwriter.worksheet import Worksheet

from stages.lib.review.columns import Layout, own_titles
from stages.lib.review.words import load_words
from stages.lib.review.workbook import _Sheet

ALL = ["post", "review", "refused", "none"]


def rows_of(path: Path, sheet: int = 0) -> list[list]:
    return CalamineWorkbook.from_path(path).get_sheet_by_index(sheet).to_python()


def parts(path: Path) -> dict[str, str]:
    """Return the XML of each part of a workbook, which must be well-formed."""
    with ZipFile(path) as file:
        found = {name: file.read(name).decode() for name in file.namelist()}
    for content in found.values():
        ElementTree.fromstring(content)
    return found


def sheet_xml(path: Path, number: int = 1) -> str:
    return parts(path)[f"xl/worksheets/sheet{number}.xml"]


def styles_of(path: Path, cells: list[str]) -> list[str]:
    """Return for each cell its colour and number format."""
    sheet, styles = sheet_xml(path), parts(path)["xl/styles.xml"]
    fills = re.findall(r"<fill>.*?</fill>", styles)
    kinds = dict(re.findall(r'<numFmt numFmtId="(\d+)" formatCode="([^"]*)"', styles))
    formats = re.findall(r"<xf [^>]*>", styles.partition("<cellXfs")[2])
    found = []
    for cell in cells:
        style = formats[int(re.search(rf'<c r="{cell}" s="(\d+)"', sheet)[1])]
        fill = fills[int(re.search(r'fillId="(\d+)"', style)[1])]
        kind = re.search(r'numFmtId="(\d+)"', style)[1]
        colour = re.search(r'fgColor rgb="FF(\w+)"', fill)
        found.append(f"{colour[1] if colour else ''} {kinds.get(kind, kind)}".strip())
    return found


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "coded.xlsx"


def test_every_row_is_there_with_its_values(path):
    write(path, batch(ALL), batch(["post"], first=5))
    header, *rows = rows_of(path)
    assert header == ["Day", "Net", "No.", *own_titles(load_words("en"), FIELDS).values()]
    assert rows[0][:8] == [
        date(2024, 1, 2),
        1.5,
        "0007",
        "post",
        "",
        "0101",
        "Office supplies",
        0.9375,
    ]
    assert rows[2][:5] == ["31/02", 4.5, "0007", "refused", "unreadable date in day"]
    assert [row[header.index("source_row")] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[4][header.index("seen_date")] == date(2024, 1, 6)
    assert [row[header.index("key")] for row in rows] == [
        f"{1:016x}",
        f"{2:016x}",
        "",
        "",
        f"{5:016x}",
    ]


def test_decisions_have_colours_and_numbers_have_formats(path):
    write(path, batch(ALL))
    assert styles_of(path, ["D2", "D3", "D4", "D5"]) == [
        *("C6EFCE 0", "FFEB9C 0", "FFC7CE 0", "EDEDED 0")
    ]
    assert styles_of(path, ["A2", "B2", "C2", "F2", "H2"]) == [
        *("yyyy-mm-dd", "#,##0.00", "@", "@", "0.0%")
    ]
    # The header tells the file's columns from ours, and from the one to fill.
    assert styles_of(path, ["C1", "D1", "I1"]) == ["D9D9D9 0", "1F4E78 0", "FFC000 0"]


def test_only_a_row_that_can_be_taught_asks_for_a_correction(path):
    write(path, batch(ALL))
    assert styles_of(path, ["I2", "I3"]) == ["FFF2CC @", "FFF2CC @"]
    assert re.findall(r'r="I[45]"', sheet_xml(path)) == []


def test_the_header_stays_in_view_and_filters_are_on(path):
    write(path, batch(ALL))
    xml = sheet_xml(path)
    assert '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>' in xml
    assert '<autoFilter ref="A1:X5"/>' in xml
    assert '<ignoredError sqref="A1:XFD1048576" numberStoredAsText="1"/>' in xml


def test_what_the_model_saw_and_the_key_are_folded_behind_the_rest(path):
    write(path, batch(ALL))
    columns = re.findall(r'<col min="(\d+)" max="(\d+)"([^>]*)/>', sheet_xml(path))
    hidden = [
        int(n) for a, b, rest in columns if "hidden" in rest for n in range(int(a), int(b) + 1)
    ]
    assert hidden == [20, 21, 22, 23, 24]
    header = rows_of(path)[0]
    assert header[19:] == ["seen_date", "seen_amount", "seen_vendor", "seen_purpose", "key"]
    assert 'outlineLevel="1"' in columns[-2][2] and 'collapsed="1"' in columns[-1][2]


def test_the_drop_down_has_every_account_and_only_asks(path):
    chart = [(f"{number:04}", f"Account {number}") for number in range(101, 501)]
    write(path, batch(ALL), layout=LAYOUT._replace(chart=chart))
    rule = re.search(r"<dataValidation .*?</dataValidation>", sheet_xml(path))[0]
    assert 'type="list"' in rule and 'errorStyle="warning"' in rule and 'sqref="I2:I5"' in rule
    assert "<formula1>'accounts'!$A$2:$A$801</formula1>" in rule
    assert re.search(r'<col min="9" max="9" width="18.7', sheet_xml(path))  # as wide as the list
    accounts = rows_of(path, 3)
    assert accounts[1] == ["0101 Account 101", "0101", "Account 101"]
    assert accounts[400] == ["0500 Account 500", "0500", "Account 500"]
    assert [row[0] for row in accounts[401:]] == [code for code, _ in chart]


@pytest.mark.parametrize("decisions, chart", [([], CHART), (["post"], [])])
def test_a_sheet_without_rows_or_accounts_has_no_drop_down(path, decisions, chart):
    write(path, batch(decisions), layout=LAYOUT._replace(chart=chart))
    assert "dataValidation" not in sheet_xml(path)
    assert len(rows_of(path)) == len(decisions) + 1


def test_totals_and_what_made_it_are_on_sheets_of_their_own(path):
    write(path, batch([*ALL, "post"]))
    assert rows_of(path, 1) == [
        ["acct_code", "acct_name", "decision", "rows", "amount"],
        ["", "all rows", "post", 2, 9],
        ["", "all rows", "review", 1, 3],
        ["", "all rows", "refused", 1, 0],
        ["", "all rows", "none", 1, 0],
        ["", "all rows", "", 5, 12],
        ["0101", "Office supplies", "post", 2, 9],
        ["0101", "Office supplies", "review", 1, 3],
        ["", "no account", "refused", 1, 0],
        ["", "no account", "none", 1, 0],
    ]
    assert rows_of(path, 2) == [
        ["what", "value"],
        ["model", "0" * 64],
        ["precision", 0.95],
        ["certified", "True"],
    ]


def test_a_korean_sheet_is_korean(path):
    write(path, batch(ALL), language="ko")
    assert CalamineWorkbook.from_path(path).sheet_names == [
        "거래 내역",
        "집계표",
        "작성 정보",
        "계정과목표",
    ]
    header, *rows = rows_of(path)
    assert header[3:9] == ["처리 구분", "사유", "계정코드", "계정과목", "확률", "수정 계정"]
    assert [row[3] for row in rows] == ["전기", "검토", "판독 불가", "거래 아님"]
    assert "<formula1>'계정과목표'!$A$2:$A$6</formula1>" in sheet_xml(path)


STRANGE = [
    *("=1+1", "+1", "-1", "@a", "=cmd|' /C calc'!A0", "http://a.b", "0101", "1e5", "TRUE", "#N/A"),
    *(
        "a\x01\x1b\x00b",
        "_x0041_",
        "tab\tand\r\nlines",
        "  spaces  ",
        "<b>&\"'",
        "한글 😀",
        "\x85\u2028",
    ),
]


@pytest.mark.parametrize("text", STRANGE)
def test_a_text_stays_a_text_sign_by_sign(path, text):
    layout = Layout(pa.schema([(text, pa.string())]), FIELDS, [(text, text)])
    rows = batch(["post"], text, why_1=text).drop_columns(["Day", "Net"])
    write(path, rows.rename_columns([text, *rows.column_names[1:]]), layout=layout)
    header, row = rows_of(path)
    assert (header[0], row[0], row[header.index("why_1")]) == (text, text, text)
    assert rows_of(path, 3)[1] == [f"{text} {text}".strip(), text, text]
    for name, xml in parts(path).items():
        assert "<f>" not in xml and "hyperlink" not in xml, name


@pytest.mark.parametrize("text", ["<r><t>bold</t></r>", "<r></t></r>", "<r><"])
def test_a_text_is_never_taken_for_xml(path, text):
    write(path, batch(["post"], text))
    assert rows_of(path)[1][2].strip() == text


def test_texts_are_cut_in_the_sheet_alone_and_counted(path):
    rows = batch(["post", "post", "post"], "😀" * 20_000, why_2="x" * 32_768)
    assert write(path, rows).cut == 6
    header, *found = rows_of(path)
    assert [row[2] for row in found] == ["😀" * 16_383] * 3
    assert [row[header.index("why_2")] for row in found] == ["x" * 32_767] * 3


def test_the_same_rows_give_the_same_bytes_however_they_are_cut(tmp_path, monkeypatch):
    rows = batch(ALL * 600)
    one, two = tmp_path / "one" / "coded.xlsx", tmp_path / "two" / "other.xlsx"
    write(one, rows)
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    write(two, rows.slice(0, 1), rows.slice(1, 0), rows.slice(1, 1_998), rows.slice(1_999))
    monkeypatch.undo()
    time.tzset()
    assert one.read_bytes() == two.read_bytes()
    days = re.findall(r"\d{4}-\d\d-\d\dT[^<]*", parts(one)["docProps/core.xml"])
    assert days == ["2000-01-01T00:00:00Z"] * 2  # created and modified


def test_no_text_is_escaped_in_another_way_than_xlsxwriter_does():
    signs = [chr(number) for number in (*range(0xD800), *range(0xE000, 0x11000))]
    for text in [*signs, "_x0041_", "a_x000D_", "_xyz", "", "two\nlines"]:
        known = Worksheet._escape_control_characters(text)
        assert _Sheet._escape_control_characters(text) == known
