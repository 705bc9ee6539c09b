"""Cells are filled from above up to where another voucher, account or section begins."""

import numpy as np
import pyarrow as pa
import pytest
from ledger_files import INGEST, csv_text, ingest_params, read, without, write_xlsx

from stages.lib.ledger.filling import fill_columns, find_changes, find_sources
from stages.lib.ledger.reasons import HEADING

HEADER = ["Voucher", "Date", "Vendor", "Memo", "Account", "Account name", "Amount"]
COLUMNS = {"doc": {"role": "id", "names": ["voucher"]}, **INGEST["columns"]}
OF_VOUCHER = ["doc", "date", "vendor", "memo"]
# A voucher without vendor and text follows one that has both.
VOUCHERS = [
    ["V1", "2024-01-03", "Bank", "card fee", "6700", "Charges", "290.59"],
    ["", "", "", "", "6100", "Office", "260.65"],
    ["V2", "2024-01-09", "", "", "6210", "Transport", "202.44"],
    ["", "", "", "", "6400", "Software", "356.68"],
    ["V3", "2024-01-16", "Quarry", "", "6500", "Repairs", "114.33"],
    ["", "", "", "", "6500", "Repairs", "5"],
    ["V4", "2024-01-20", "", "reclass", "6400", "Software", "43.73"],
]
TRUTH = [
    ("V1", "Bank", "card fee"),
    ("V1", "Bank", "card fee"),
    ("V2", "", ""),
    ("V2", "", ""),
    ("V3", "Quarry", ""),
    ("V3", "Quarry", ""),
    ("V4", "", "reclass"),
]


def sources(filled: list[int], reasons: list[str], ends: tuple[int, ...] = ()) -> list[int]:
    ends = np.isin(np.arange(len(filled)), ends)
    return find_sources(np.array(filled, bool), np.array(reasons, object), ends).tolist()


def fill(cells: dict[str, list[str]], reasons: list[str] | None = None, **changes):
    """Return the filled columns, and what `fill_columns` counts."""
    count = len(next(iter(cells.values())))
    columns = {name: pa.array(cells.get(name, [""] * count)) for name in COLUMNS}
    params = ingest_params("raw", columns=COLUMNS, patterns={}, **changes)
    reasons = np.array(reasons or [""] * count, object)
    found = fill_columns(columns, reasons, np.zeros(count, bool), {}, params)
    return {name: found.columns[name].to_pylist() for name in cells}, dict(found.counts)


def vouchers(folder, rows: list[list[str]] = VOUCHERS, header: list[str] = HEADER, **changes):
    """Return what `TRUTH` has of the rows in a CSV file."""
    (folder / "a.csv").write_text(csv_text([header, *rows]))
    found = read(folder, **{"columns": COLUMNS, "fill_down": OF_VOUCHER, **changes})
    names = ("doc", "vendor", "memo")
    return list(zip(*(found.transactions[n].to_pylist() for n in names), strict=True)), found


def test_a_cell_is_taken_from_above_up_to_what_was_lost():
    filled = [1, 0, 1, 0, 0, 1, 0]
    reasons = ["", "", "subtotal", "", "no date", "too few cells", ""]
    # A total keeps its own cell, and what is above it; a refused row with a cell ends it.
    assert sources(filled, reasons) == [0, 0, 2, 0, 4, 5, -1]
    assert sources(filled, reasons, (3,)) == [0, 0, 2, -1, 4, 5, -1]
    assert sources([0, 1], ["", ""], (1,)) == [-1, 1]
    assert sources([], []) == []


def test_a_number_changes_where_it_differs_from_the_last_one():
    column = pa.array(["", "1", " 1 ", "", "1", "2", "Total", "2", "3", "2"])
    reasons = ["", "", "", "", "", "", "subtotal", "", "no date", ""]
    changes = find_changes(column, np.array(reasons, object))
    assert np.flatnonzero(changes).tolist() == [1, 5, 8, 9]


def test_filling_ends_where_the_voucher_changes(tmp_path):
    found, ledger = vouchers(tmp_path)
    assert found == TRUTH
    assert ledger.sheet["cells_filled_from_above"] == {"date": 3, "doc": 3, "memo": 1, "vendor": 2}
    assert ledger.sheet["cells_not_filled_from_above"] == {"memo": 4, "vendor": 3}
    assert ledger.remarks == []


@pytest.mark.parametrize("fill_down", [OF_VOUCHER, OF_VOUCHER[1:]])
def test_filling_ends_where_the_number_on_every_line_changes(tmp_path, fill_down):
    rows = [[doc, *row[1:]] for (doc, *_), row in zip(TRUTH, VOUCHERS, strict=True)]
    assert vouchers(tmp_path, rows, fill_down=fill_down)[0] == TRUTH


def test_numbers_of_a_workbook_end_filling_too(tmp_path):
    rows = [[float(row[0][1:]) if row[0] else "", *row[1:6], float(row[6])] for row in VOUCHERS]
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *rows]})
    found = read(tmp_path, columns=COLUMNS, fill_down=OF_VOUCHER).transactions
    assert found["vendor"].to_pylist() == [vendor for _, vendor, _ in TRUTH]
    assert found["doc"].to_pylist() == [doc[1:] for doc, *_ in TRUTH]


def test_blank_rows_and_totals_do_not_end_a_voucher(tmp_path):
    rows = [*VOUCHERS[:1], [""] * 7, ["", "", "", "Total", "", "", "9"], HEADER, *VOUCHERS[1:]]
    assert vouchers(tmp_path, rows)[0] == TRUTH


def test_the_first_line_of_a_voucher_may_be_refused(tmp_path):
    """What it said is lost. What the voucher before it said is not true of its other lines."""
    broken = ["V2", "2024-01-09", "Shop", "", "6210", "x", "2", "one cell more"]
    for later in ("", "V2"):
        rows = [*VOUCHERS[:2], broken, [later, "2024-01-09", *VOUCHERS[3][2:]]]
        found, ledger = vouchers(tmp_path, rows)
        assert [vendor for _, vendor, _ in found] == ["Bank", "Bank", ""]
        assert ledger.rejects == [(4, "too many cells")]


def test_a_voucher_may_be_named_by_a_row_of_its_own(tmp_path):
    rows = [
        ["V1", "2024-01-03", "Bank", "card fee", "", "", ""],
        ["", "", "", "", "6700", "Charges", "290.59"],
        ["", "", "", "", "6100", "Office", "260.65"],
        ["V2", "2024-01-09", "", "", "", "", ""],
        ["", "", "", "", "6210", "Transport", "202.44"],
        ["V3", "2024-01-10", "", "", "", "", ""],  # nothing takes from it
    ]
    found, ledger = vouchers(tmp_path, rows)
    assert found == [TRUTH[0], TRUTH[0], TRUTH[2]]
    assert ledger.rejects == [(2, HEADING), (5, HEADING), (7, "no amount")]


def test_null_fills_beyond_vouchers(tmp_path):
    found, ledger = vouchers(tmp_path, voucher=None)
    assert [vendor for _, vendor, _ in found] == ["Bank"] * 4 + ["Quarry"] * 3
    assert "cells_not_filled_from_above" not in ledger.sheet


def test_the_voucher_is_the_number_that_is_named(tmp_path):
    columns = {"line": {"role": "id", "names": ["line"]}, **COLUMNS}
    rows = [[str(i), *row] for i, row in enumerate(VOUCHERS)]
    changes = {"columns": columns, "header": ["Line", *HEADER]}
    assert vouchers(tmp_path, rows, voucher="doc", **changes)[0] == TRUTH
    assert vouchers(tmp_path, rows, **changes)[0] == TRUTH  # the one in fill_down


def test_a_report_by_account_is_filled_beyond_its_vouchers(tmp_path):
    rows = [
        ["", "", "", "", "6100", "Office", ""],
        ["V1", "2024-01-03", "Bank", "fee", "", "", "1"],
        ["V2", "2024-01-04", "", "paper", "", "", "2"],
        ["", "2024-01-04", "", "more", "", "", "3"],
        ["", "", "", "", "6200", "", ""],
        ["V3", "2024-01-05", "Rail", "", "", "", "4"],
        ["V4", "2024-01-06", "Rail", "", "", "", "4"],
    ]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]))
    changes = {"columns": COLUMNS, "fill_down": ["account", "name"], "max_reject_fraction": 0}
    found = read(tmp_path, **changes)
    assert found.transactions["account"].to_pylist() == ["6100"] * 3 + ["6200"] * 2
    # 6200 has no name, and that of 6100 is not its own.
    assert found.transactions["name"].to_pylist() == ["Office"] * 3 + ["", ""]
    assert found.rejects == [(2, HEADING), (6, HEADING)]
    inline = [[*rows[1][:4], "6100", "Office", "1"], *rows[2:4]]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *inline]))
    assert read(tmp_path, **changes).transactions["account"].to_pylist() == ["6100"] * 3


def test_an_account_is_filled_within_vouchers_where_nearly_each_begins_with_one():
    """As in a workbook whose cells are merged over the lines of a voucher."""
    cells = {"doc": [], "account": []}
    for number in range(12):
        lacks = number == 7
        cells["doc"] += [f"V{number}", "", ""]
        cells["account"] += ["" if lacks else f"61{number:02}", "", ""]
    found, counts = fill(cells, fill_down=["account"])
    assert found["account"][18:24] == ["6106"] * 3 + [""] * 3
    assert counts == {("account", "filled"): 22, ("account", "ended"): 3}
    # Numbers of single rows are no vouchers: what is filled is not within one of them.
    single = {"doc": [f"V{i}" for i in range(24)], "account": ["6100"] * 23 + [""]}
    assert fill(single, fill_down=["account"])[0]["account"] == ["6100"] * 24


def test_other_document_numbers_are_filled_beyond_a_voucher():
    cells = {"batch": ["B1", "", "", "B2"], "doc": ["V1", "", "V2", "V3"]}
    columns = {"batch": {"role": "id", "names": []}, **COLUMNS}
    params = ingest_params("raw", columns=columns, fill_down=["batch", "doc"], voucher="doc")
    table = {name: pa.array(cells.get(name, [""] * 4)) for name in columns}
    found = fill_columns(table, np.full(4, "", object), np.zeros(4, bool), {}, params)
    assert found.columns["batch"].to_pylist() == ["B1", "B1", "B1", "B2"]
    assert found.gives.tolist() == [True, False, False, False]


def test_a_ledger_without_document_numbers_is_filled_as_before(tmp_path):
    header, rows = HEADER[1:], [row[1:] for row in VOUCHERS]
    (tmp_path / "a.csv").write_text(csv_text([header, *rows]))
    changes = {"columns": without(), "fill_down": OF_VOUCHER[1:]}
    found = read(tmp_path, **changes)
    assert found.transactions["vendor"].to_pylist() == ["Bank"] * 4 + ["Quarry"] * 3
    # V2 and V4 have a date and no vendor, V2 and V3 no memo.
    assert found.remarks == []
    (tmp_path / "b.csv").write_text(csv_text([header, *rows]))
    (remark,) = read(tmp_path, **changes).remarks
    assert remark.startswith("4 ") and "memo" in remark and "role id" in remark
    assert read(tmp_path, voucher=None, **changes).remarks == []


def test_groups_within_groups_are_filled_without_a_remark(tmp_path):
    rows = [["2024-01-03" if i % 8 == 0 else "", f"Shop {i}" if i % 4 == 0 else "", "x", str(i),
             "6100", "Office"] for i in range(40)]  # fmt: skip
    (tmp_path / "a.csv").write_text(csv_text([[*HEADER[1:4], "Amount", *HEADER[4:6]], *rows]))
    found = read(tmp_path, fill_down=["date", "vendor"])
    assert found.remarks == []
    assert found.transactions["vendor"].to_pylist() == [f"Shop {i - i % 4}" for i in range(40)]


def test_a_report_by_vendor_is_filled_if_no_voucher_ends_it(tmp_path):
    rows = [[f"V{i}", "2024-01-03", "" if i % 6 else f"Shop {i}", "x", "6100", "", str(i)]
            for i in range(60)]  # fmt: skip
    changes = {"fill_down": ["vendor"], "header": HEADER}
    found, ledger = vouchers(tmp_path, rows, **changes)
    assert sum(vendor == "" for _, vendor, _ in found) == 50
    (remark,) = ledger.remarks
    assert "ingest.voucher: null" in remark and "vendor" in remark and "doc" in remark
    found, ledger = vouchers(tmp_path, rows, voucher=None, **changes)
    assert [vendor for _, vendor, _ in found] == [f"Shop {i - i % 6}" for i in range(60)]
    assert ledger.remarks == []
