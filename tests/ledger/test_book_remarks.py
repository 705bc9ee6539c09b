"""What is hidden in a workbook is named, and left out on request; so are days since 1904."""

import shutil
from pathlib import Path

import pytest
from ledger_files import HEADER, ROWS, places, read, rewrite, typed, write_xlsx
from refusals import refused

from stages.lib.ledger.new_rows import is_no_transaction

ROW = [*ROWS[0][:3], 1.0, *ROWS[0][4:]]


def write_hidden(path: Path, state: str = "hidden", second: list[list] | None = None) -> None:
    """Write a workbook with rows 3 and 5 of its first sheet hidden, and with a hidden sheet."""
    write_xlsx(path, {"S": [HEADER, *ROWS, [" "]], "Old": second or [HEADER, ROW, ROW]})

    def hide(name: str, part: bytes) -> bytes:
        if name.endswith("s1.xml"):
            rows = part.split(b"<row>")
            part = b"".join(
                row if place == 0 else b'<row hidden="1">' + row
                if place in (3, 5, 6) else b"<row>" + row
                for place, row in enumerate(rows)
            )  # fmt: skip
        return part.replace(b'<sheet name="Old"', f'<sheet name="Old" state="{state}"'.encode())

    rewrite(path, hide)


@pytest.mark.parametrize(("state", "said"), [("hidden", "hidden"), ("veryHidden", "very hidden")])
def test_hidden_sheets_and_rows_are_read_and_named(tmp_path, state, said):
    write_hidden(tmp_path / "a.xlsx", state)
    found = read(tmp_path)
    assert (found.report["rows_read"], len(found.cells)) == (7, 6)
    rows, sheet = found.remarks
    assert rows.startswith("a.xlsx, sheet 'S': 2 of 5 ") and "leave_out" in rows
    assert sheet.startswith("a.xlsx, sheet 'Old': ") and f" {said} " in sheet and " 2 " in sheet
    seen = [(s.get("state"), s.get("rows_hidden")) for s in found.report["sheets"]]
    assert seen == [(None, 2), (said, None)]


def test_hidden_sheets_and_rows_are_left_out_on_request(tmp_path):
    write_hidden(tmp_path / "a.xlsx")
    found = read(tmp_path, {"hidden": "leave_out"}, max_reject_fraction=0.0)
    assert found.cells == [ROWS[0], ROWS[2]]
    # A blank row is a blank row, hidden or not.
    assert found.report["reasons"] == {"hidden row": 2, "hidden sheet": 2, "blank row": 1}
    assert found.rejects == [
        (3, "hidden row"), (5, "hidden row"), (6, "blank row"), (2, "hidden sheet"),
        (3, "hidden sheet"),
    ]  # fmt: skip
    assert len(found.remarks) == 2 and not any("leave_out" in line for line in found.remarks)


def test_a_hidden_sheet_of_something_else_is_no_obstacle_when_it_is_left_out(tmp_path):
    write_hidden(tmp_path / "a.xlsx", second=[["Lists"], ["x", "Total", "2"]])
    with refused("header-not-found", "'Old' (hidden)", "hidden: leave_out"):
        read(tmp_path)
    found = read(tmp_path, {"hidden": "leave_out"})
    assert found.cells == [ROWS[0], ROWS[2]]
    assert found.report["reasons"]["hidden sheet"] == 2


def test_hidden_rows_that_are_no_transactions_are_not_named(tmp_path):
    total = ["Total", "", "", "1234", "", ""]
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *ROWS, total]})
    hide = b"</row><row hidden='1'>"
    rewrite(tmp_path / "a.xlsx", lambda _, part: hide.join(part.rsplit(b"</row><row>", 1)))
    found = read(tmp_path)
    assert (found.rejects, found.remarks) == ([(6, "subtotal")], [])


def test_a_hidden_sheet_that_is_not_chosen_is_not_named(tmp_path):
    write_hidden(tmp_path / "a.xlsx")
    (remark,) = read(tmp_path, {"sheets": ["S"]}).remarks
    assert "'S'" in remark


def test_a_hidden_row_is_filled_down_from(tmp_path):
    rows = [[*ROWS[0][:4], "", ""], *([*row[:4], "", ""] for row in ROWS[1:])]
    rows[1][4] = "2010"  # the first row of a section, which a filter hides
    rows[0][4] = "0101"
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *rows]})
    hide = b"</row><row hidden='1'>"
    rewrite(tmp_path / "a.xlsx", lambda n, part: (
        hide.join(part.rsplit(b"</row><row>", 3)[:2]) + b"</row><row>"
        + b"</row><row>".join(part.rsplit(b"</row><row>", 3)[2:]) if n.endswith("s1.xml") else part
    ))  # fmt: skip
    found = read(tmp_path, {"hidden": "leave_out"}, fill_down=["account"])
    assert found.rejects == [(3, "hidden row")]
    assert [row[4] for row in found.cells] == ["0101", "2010", "2010"]


def test_rows_that_are_left_out_are_no_transactions_beside_coded_rows(tmp_path):
    write_hidden(tmp_path / "a.xlsx")
    found = read(tmp_path, {"hidden": "leave_out"})
    reasons = found.rejects_table["reason"].to_pylist()
    assert sorted(reasons) == ["blank row"] + ["hidden row"] * 2 + ["hidden sheet"] * 2
    assert all(map(is_no_transaction, reasons))


def test_of_many_workbooks_the_last_line_counts_the_rest(tmp_path):
    for number in range(13):
        write_hidden(tmp_path / f"{number}.xlsx")
    remarks = read(tmp_path).remarks
    assert len(remarks) == 11
    assert " 16 more" in remarks[-1]


def test_days_since_1904_are_named(tmp_path):
    rows = [[42475 + place, *row[1:]] for place, row in enumerate(map(typed, ROWS))]
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *rows]})
    shutil.copy(tmp_path / "a.xlsx", tmp_path / "b.xlsx")
    about = b'<workbookPr date1904="1"/><sheets>'
    rewrite(tmp_path / "a.xlsx", lambda _, part: part.replace(b"<sheets>", about))
    found = read(tmp_path)
    days = [row[0] for row in found.cells]
    assert days[:4] == ["2020-04-16", "2020-04-17", "2020-04-18", "2020-04-19"]
    assert days[4:] == ["42475", "42476", "42477", "42478"]
    (remark,) = found.remarks
    assert remark.startswith("a.xlsx, sheet 'S': 4 ") and "1904-01-01" in remark
    first, second = found.report["sheets"]
    assert (first["days_counted"], first["days_counted_from"]) == (4, "1904-01-01")
    assert "days_counted" not in second


def test_dates_that_are_typed_need_no_remark(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *map(typed, ROWS)]})
    assert read(tmp_path, {"header_row": 1, "positions": places()}).remarks == []
