"""A date of zeros is an empty date: it refuses its row only where a date is required."""

import ledger_files as ledger
import pyarrow as pa
import pytest
from ledger_files import HEADER, csv_text
from raw_tables import preprocess_params, raw_table, row

from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.zero_dates import is_zero_date

ZEROS = [
    *("0000-00-00", "00.00.0000", "00/00/0000", "0000-00-00 00:00:00", "00000000", "0", "0.0"),
    *("1899-12-30", "1899-12-31 00:00:00", "1900-01-00", "00.01.1900", "1/0/1900", "0-Jan-00"),
    *("0001-01-01", "01/01/0001 00:00:00", "00:00:00", " 0000-00-00 "),
]


@pytest.mark.parametrize("cell", ZEROS)
def test_zeros(cell):
    assert is_zero_date(pa.array([cell])).to_pylist() == [True]


@pytest.mark.parametrize(
    "cell", ["2000-00-00", "2000-01-01", "01/01/2000", "1900-01-01", "000101", "10", "", "40124"]
)
def test_other_cells(cell):
    assert is_zero_date(pa.array([cell])).to_pylist() == [False]


def test_a_date_of_zeros_is_an_empty_date_and_counted():
    raw = raw_table(*(row(date=cell) for cell in ZEROS), row())
    cleaned = clean_rows(raw, preprocess_params(duplicates="keep", max_reject_fraction=0.0))
    assert cleaned.transactions["date"].to_pylist()[:-1] == [None] * len(ZEROS)
    assert cleaned.report["cells_emptied"] == {"date": len(ZEROS)}
    (remark,) = cleaned.remarks
    assert f"{len(ZEROS)} cells of date" in remark and "a.csv row 2: '0000-00-00'" in remark


def test_a_column_of_typed_zeros_is_a_column_of_dates(tmp_path):
    rows = [[*row()[:3], i, *row()[4:], 0 if i % 3 else "2024-01-02"] for i in range(9)]
    ledger.write_xlsx(tmp_path / "a.xlsx", {"S": [[*HEADER, "Due"], *rows]})
    columns = ledger.INGEST["columns"] | {"due": {"role": "date", "names": ["due"]}}
    assert len(ledger.read(tmp_path, columns=columns).cells) == 9


@pytest.mark.parametrize("required", [True, False])
def test_a_required_date_of_zeros_is_no_date(tmp_path, required):
    rows = [row(), row(date="0000-00-00", memo="x"), row(memo="y")]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]))
    names = ["date", "amount", "account"] if required else ["amount", "account"]
    assert ledger.read(tmp_path, required=names).rejects == ([(3, "no date")] if required else [])
