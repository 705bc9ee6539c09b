"""The .csv has no formulas, the .parquet has types, and both have every row."""

import csv
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from refusals import refused
from review_rows import FIELDS, LAYOUT, batch, write

from stages.lib.review.columns import own_titles, said_schema, with_text
from stages.lib.review.text_files import csv_cells
from stages.lib.review.words import load_words
from stages.lib.spreadsheet import spreadsheet_cell
from stages.lib.tables import read_table

ALL = ["post", "review", "refused", "none"]
OWN = list(own_titles(load_words("en"), FIELDS).values())


def test_the_csv_has_every_row(tmp_path):
    path = tmp_path / "coded.csv"
    write(path, batch(ALL), batch(["post"], first=5))
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") and b"\r" not in content
    header, *rows = csv.reader(content.decode("utf-8-sig").splitlines())
    assert header == ["Day", "Net", "No.", *OWN]
    assert rows[0][:8] == [
        *("31/02", "1.5", "0007", "post", "", "0101", "Office supplies", "0.9375")
    ]
    assert rows[2][:6] == ["31/02", "4.5", "0007", "refused", "unreadable date in day", ""]
    assert len(rows) == 5 and {len(row) for row in rows} == {len(header)}


TEXTS = [
    *("=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", " =1", "   ＝1", "＋1", "－1", "＠a"),
    *("a=1", "", "사무용품비", "'=1", '"', "a\nb", "－", "\x00", None),
]


@pytest.mark.parametrize("text", TEXTS)
def test_formulas_are_escaped_as_everywhere(text):
    column = pa.chunked_array([pa.array([text, "x"])])
    assert csv_cells(column) == [spreadsheet_cell(text), "x"]
    both = pa.array([{"value": None, "text": text}], with_text(pa.date32()))
    assert csv_cells(pa.chunked_array([both])) == [spreadsheet_cell(text)]


def test_days_and_numbers_of_the_file_are_as_in_it():
    day = date(2024, 5, 31)
    both = [{"value": day, "text": "31.05.2024 14:00"}, {"value": day, "text": "=DATE(2024,5,31)"}]
    days = pa.chunked_array([pa.array(both, with_text(pa.date32()))])
    assert csv_cells(days) == ["31.05.2024 14:00", "2024-05-31"]
    texts = {"518.50": 518.5, "-5.00": -5.0, "-1.234,50": -1234.5, "1.234,50": 1234.5, "-x": None}
    both = [{"value": value, "text": text} for text, value in texts.items()]
    numbers = pa.chunked_array([pa.array(both, with_text(pa.float64()))])
    assert csv_cells(numbers) == ["518.50", "-5.00", -1234.5, "1.234,50", "'-x"]


def test_days_are_iso_and_numbers_are_plain():
    days = pa.chunked_array([pa.array([date(1850, 1, 2), None, date(9999, 12, 31)])])
    assert csv_cells(days) == ["1850-01-02", None, "9999-12-31"]
    numbers = pa.chunked_array([pa.array([-1.5, np.nan, None, 1e16])])
    assert csv_cells(numbers) == [-1.5, None, None, 1e16]
    assert csv_cells(pa.chunked_array([pa.array([7, None])])) == [7, None]


def test_a_title_is_no_formula(tmp_path):
    layout = LAYOUT._replace(inputs=pa.schema([("=1+1", pa.string())]))
    rows = batch([]).drop_columns(["Day", "Net"])
    write(tmp_path / "a.csv", rows.rename_columns(["=1+1", *OWN]), layout=layout)
    assert (tmp_path / "a.csv").read_text("utf-8-sig").startswith("'=1+1,decision,")


def test_the_parquet_is_typed_and_sealed(tmp_path, capsys):
    path = tmp_path / "coded.parquet"
    rows = batch(ALL)
    write(path, rows, batch(["post"], first=5), language="ko")
    found = read_table(path)
    assert capsys.readouterr().err == ""  # it has its seal
    schema = said_schema(LAYOUT, load_words("ko"))
    assert found.schema == schema.set(0, pa.field("Day", pa.string()))
    assert found["Day"].to_pylist() == ["31/02"] * 5  # as in the file; what was seen is typed
    assert found["모델 입력 일자"].to_pylist()[:3] == [date(2024, 1, 2), date(2024, 1, 3), None]
    assert found["처리 구분"].to_pylist() == ["전기", "검토", "판독 불가", "거래 아님", "전기"]
    assert found["확률"].type == pa.float64()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # of the footer
    path.write_bytes(content)
    with refused("damaged-file", "coded.parquet"):
        read_table(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_bytes_do_not_depend_on_the_batches(tmp_path, ending):
    rows = batch(ALL * 500)
    one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
    write(one, rows)
    write(two, rows.slice(0, 7), rows.slice(7, 0), rows.slice(7))
    assert one.read_bytes() == two.read_bytes()
