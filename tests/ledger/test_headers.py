"""The header of a sheet is found, and what could be two headers or none is refused."""

import pytest
from ledger_files import (
    HEADER,
    ROWS,
    csv_text,
    ingest_params,
    many,
    names,
    places,
    read,
    typed,
    without,
    write_xlsx,
)
from refusals import refused

from stages.lib.ledger.headers import find_layout

IN_ORDER = dict(zip(places(), range(6), strict=True))


def find(rows: list[list], reading: dict | None = None, **changes):
    params = ingest_params("raw", reading, **changes)
    return find_layout("a.csv", rows, params.reading[0], params)


def test_a_header_in_any_spelling_is_found(tmp_path):
    header = ["ＤＡＴＥ", " vendor\n", "M e m o", "AMOUNT ", "Account", "account\nname"]
    write_xlsx(tmp_path / "a.xlsx", {"S": [header, *ROWS]})
    assert read(tmp_path).cells == ROWS


def test_the_header_need_not_be_the_first_row(tmp_path):
    above = [["City ledger 2020"], [], ["printed", "2020-05-01"]]
    layout = find([*above, HEADER, *ROWS])
    assert (layout.header_row, layout.header, layout.width) == (4, HEADER, 6)
    assert layout.places == IN_ORDER
    write_xlsx(tmp_path / "a.xlsx", {"S": [*above, HEADER, *ROWS]})
    found = read(tmp_path)
    assert found.rejects == [(i, "above the header") for i in (1, 2, 3)]
    assert found.report["rows_read"] == 7


def test_places_are_in_the_order_of_the_parameters():
    layout = find([HEADER[::-1], *ROWS])
    assert list(layout.places.items()) == [(name, 5 - i) for name, i in IN_ORDER.items()]


def test_a_column_is_told_from_another_of_the_same_name(tmp_path):
    header = ["Date", "Text", "TEXT", "Amount", "Account", "Account name"]
    write_xlsx(tmp_path / "a.xlsx", {"S": [header, *ROWS]})
    columns = without("vendor")
    columns["memo"] = {"role": "text", "names": ["text"]}
    with refused("column-not-found", "ingest.columns.memo", "Text (1 of 2) | TEXT (2 of 2)"):
        read(tmp_path, columns=columns)
    columns["memo"] = {"role": "text", "names": ["text (2 of 2)"]}
    found = read(tmp_path, columns=columns)
    assert [row[1] for row in found.cells] == [row[2] for row in ROWS]
    assert found.sheet["columns_not_used"] == ["Text"]


def test_a_name_does_not_choose_between_two_cells():
    with refused("header-not-found", "a.csv", "amount", "Amount (1 of 2)"):
        find([["Date", "Vendor", "Amount", "Amount", "Account", "Account name"], *ROWS])


def test_one_cell_for_two_columns_is_refused():
    with refused("column-twice", "a.csv", "column 3", "vendor and memo"):
        find([HEADER], columns=names(vendor=["memo"]))


def test_a_missing_header_is_refused_until_positions_are_given(tmp_path):
    with refused("header-not-found", "a.csv", "date (date / 일자)", "header_row", "positions"):
        find(ROWS)
    layout = find(ROWS, {"header_row": 0, "positions": places()})
    assert layout == (0, [], IN_ORDER, 0)
    (tmp_path / "a.csv").write_text(csv_text(ROWS))
    assert read(tmp_path, {"header_row": 0, "positions": places()}).cells == ROWS


def test_a_row_that_no_name_matches_is_no_header(tmp_path):
    """With positions alone, the first transaction must not be taken for a header, nor reported."""
    row = ["2020-04-16", "a@b.org", "rent", "1.50", "0101", "4111 1111 1111 1111"]
    (tmp_path / "a.csv").write_text(csv_text([row] * 5))
    found = read(tmp_path, {"positions": places()}, mask=[])
    assert found.cells == [row] * 5
    assert found.report["rows_read"] == 5
    assert "4111" not in str(found.report) and "a@b.org" not in str(found.report)


def test_two_tables_in_one_file_are_refused_until_the_header_is_named():
    columns = {**names(), "more": {"role": "text", "names": ["more"]}}
    rows = [[*HEADER, ""], *many(20), [*HEADER, "More"], *([*row, "x"] for row in many(20))]
    with refused("two-tables", "a.csv", "rows 1 and 22"):
        find(rows, columns=columns)
    assert find(rows, {"header_row": 1}, columns=columns).header_row == 1


def test_a_position_beyond_the_last_column_is_refused():
    with refused("position", "a.csv", "account", "column 9", "6"):
        find([HEADER, *ROWS], {"positions": {"account": 9}})


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_position_beyond_the_last_column_is_refused_without_header_too(tmp_path, name):
    if name == "a.csv":
        (tmp_path / name).write_text(csv_text(ROWS, ";"))
    else:
        write_xlsx(tmp_path / name, {"S": ROWS})
    with refused("position", name, "memo", "column 99", "6"):
        read(tmp_path, {"header_row": 0, "positions": places(1, 2, 99, 4, 5, 6)})


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_header_far_below_is_found_where_the_parameter_says(tmp_path, name):
    rows = [[f"line {i}"] for i in range(120)] + [HEADER, *map(typed, ROWS)]
    if name == "a.csv":
        (tmp_path / name).write_text(csv_text([list(map(str, row)) for row in rows]))
    else:
        write_xlsx(tmp_path / name, {"S": rows})
    found = read(tmp_path, {"header_row": 121})
    assert found.sheet["header_row"] == 121
    assert [row[:3] for row in found.cells] == [row[:3] for row in ROWS]
    with refused("header-row", name, "900"):
        read(tmp_path, {"header_row": 900})


def test_the_cells_of_what_may_be_no_header_are_masked():
    row = ["2020-04-16", "kim@corp.com", *ROWS[0][2:]]
    with refused("header-not-found", "| [email] |") as error:
        find([row])
    assert "kim@corp.com" not in str(error.value)
