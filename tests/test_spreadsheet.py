"""Cells that a spreadsheet would run as formulas are harmless."""

import pytest

from stages.lib.spreadsheet import spreadsheet_cell, write_csv


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "＝1"])
def test_spreadsheet_cell_escapes_formulas(text):
    assert spreadsheet_cell(text) == "'" + text


@pytest.mark.parametrize("value", ["a=1", "", "사무용품비", -3.5, None, 0])
def test_spreadsheet_cell_leaves_the_rest(value):
    assert spreadsheet_cell(value) == value


def test_headers_are_escaped_too(tmp_path):
    write_csv(["=name"], [["사무용품비, =1"]], tmp_path / "t.csv", "utf-8-sig")
    expected = '\'=name\n"사무용품비, =1"\n'
    assert (tmp_path / "t.csv").read_bytes() == b"\xef\xbb\xbf" + expected.encode()
