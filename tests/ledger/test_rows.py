"""Transactions are told from all other rows, each of which has a reason."""

import pyarrow as pa
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
    write_xlsx,
)
from refusals import refused

from stages.lib.ledger.cells import Records
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.rows import (
    MOVED_HEADER,
    find_reasons,
    read_columns,
    whole_codes,
)

LAYOUT = Layout(1, HEADER, dict(zip(places(), range(6), strict=True)), 6)


def reasons(rows: list[list], reading: dict | None = None, is_text: bool = False, **changes):
    params = ingest_params("raw", reading, **changes)
    records = Records(rows, list(range(2, len(rows) + 2)), is_text=is_text)
    return find_reasons(records, LAYOUT, params.reading[0], params)[1].tolist()


def test_each_refused_row_is_kept_with_its_reason(tmp_path):
    rows = [
        HEADER,
        *many(20),
        ["", "", "", "210", "", ""],
        ["", "", "", "", "", ""],
        ["합계", "", "", "210", "", ""],
        ["", "Grand Total", "", "210", "", ""],
        HEADER,
        ["2020-04-16", "Total", "petrol", "50", "0101", "FUEL"],
        ["2020-04-16", "shop", "no account", "50", "", ""],
        ["2020-04-16", "shop", "no amount", " ", "0101", ""],
    ]
    write_xlsx(tmp_path / "a.xlsx", {"S": rows})
    found = read(tmp_path)
    assert found.rejects == [
        (22, "subtotal"),
        (23, "blank row"),
        (24, "subtotal"),
        (25, "subtotal"),
        (26, "repeated header"),
        (28, "no account"),
        (29, "no amount"),
    ]
    assert found.cells[-1] == rows[26]
    assert found.report["reasons"] == {
        "subtotal": 3, "blank row": 1, "no account": 1, "no amount": 1, "repeated header": 1
    }  # fmt: skip
    assert found.rejects_table["cells"].to_pylist()[2] == ["합계", "", "", "210", "", ""]


def test_a_line_drawn_with_dashes_is_blank():
    dashes = ["-----", "---", "", "=====", "", "----"]
    assert reasons([dashes, ["", " ", "\t", "", "", ""], ROWS[0]]) == ["blank row"] * 2 + [""]


def test_a_header_in_capitals_or_over_other_columns_is_no_transaction():
    again = [name.upper() for name in HEADER]
    assert reasons([again, ROWS[0]]) == ["repeated header", ""]
    for order in ([0, 2, 1, 3, 4, 5], [4, 1, 2, 3, 0, 5], [5, 0, 1, 2, 3, 4]):
        assert reasons([[again[i] for i in order]]) == [MOVED_HEADER]


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
@pytest.mark.parametrize("order", [[0, 2, 1, 3, 4, 5], [4, 1, 2, 3, 0, 5], [5, 0, 1, 2, 3, 4]])
def test_a_second_header_over_columns_in_another_order_is_refused(tmp_path, name, order):
    """It comes from joining the files of two months."""
    again = [name.upper() for name in HEADER]
    rows = [HEADER, *many(200), *([row[i] for i in order] for row in [again, *many(9)])]
    if name == "a.csv":
        (tmp_path / name).write_text(csv_text(rows), encoding="utf-8")
    else:
        write_xlsx(tmp_path / name, {"S": rows})
    with refused("header-moved", name, "row 202"):
        read(tmp_path)


def test_rows_of_another_width_are_refused_in_text_files_only():
    row = many(1)[0]
    wide, empty, narrow = [*row, "Y"], [*row, "", " "], row[:5]
    expected = ["too many cells", "", "too few cells"]
    assert reasons([wide, empty, narrow], is_text=True) == expected
    assert reasons([wide, empty, narrow]) == ["", "", ""]
    assert reasons([narrow], {"short_rows": "fill"}, is_text=True) == [""]


def test_lines_that_are_no_rows_are_refused_one_by_one(tmp_path):
    rows = [[*row[:2], f"thing, {i}", *row[3:]] for i, row in enumerate(many(20))]
    text = csv_text([HEADER, *rows])
    text += '2020-04-16,a,"5" pipe",1,0101,X\n'  # a stray quote
    text += "2020-04-16,a,b,1,0101\n"  # too few
    text += "2020-04-16,a,b,1,0101,X,Y\n"  # too many
    text += "2020-04-16,a,b,1,0101,X,,\n"  # too many, but empty
    text += '2020-04-16,a,"never closed,1,0101,X\n'
    text += "2020-04-17,a,b,1,0101,X\n"
    (tmp_path / "a.csv").write_text(text)
    found = read(tmp_path)
    assert found.rejects == [
        (22, "stray quote"), (23, "too few cells"), (24, "too many cells"), (26, "stray quote")
    ]  # fmt: skip
    assert found.report["rows_out"] == 22
    assert found.rejects_table["cells"][0].as_py() == ['2020-04-16,a,"5" pipe",1,0101,X']


def test_two_stray_quotes_do_not_swallow_the_rows_between_them(tmp_path):
    text = csv_text([HEADER, *many(40)])
    text = text.replace("thing 8,", '"thing 8,').replace("thing 30,", 'thing 30",')
    (tmp_path / "a.csv").write_text(text)
    found = read(tmp_path, {"quote": "double"})
    assert found.rejects == [(9, "stray quote")]
    assert [row[3] for row in found.cells] == [str(i) for i in range(1, 41) if i != 8]


def test_short_rows_are_filled_on_request(tmp_path):
    (tmp_path / "a.csv").write_text(
        csv_text([HEADER, *many(3), ["2020-04-16", "a", "b", "1", "0101"]])
    )
    found = read(tmp_path, {"short_rows": "fill"})
    assert found.cells[-1] == ["2020-04-16", "a", "b", "1", "0101", ""]


def test_lines_that_were_cut_off_are_no_subtotals(tmp_path):
    text = csv_text([["Journal", *HEADER], *(["J1", *row] for row in many(20))])
    lines = text.splitlines(keepends=True)
    lines[3] = "J1\n"
    (tmp_path / "a.csv").write_text("".join([*lines, "-------,---\n"]))
    assert read(tmp_path).rejects == [(4, "too few cells"), (22, "blank row")]


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path):
    lines = csv_text([HEADER, *many(20)]).replace("thing 5", "thé 5").encode().split(b"\n")
    lines[3] = lines[3].replace(b"thing", b"th\xffng")
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    found = read(tmp_path)
    assert found.rejects == [(4, "undecodable bytes")]
    assert found.rejects_table["cells"][0].as_py()[2] == "th\\udcffng 3"
    assert found.report["rows_out"] == 19
    assert "thé 5" in [row[2] for row in found.cells]


def test_bytes_that_are_no_text_in_a_header_cell_that_no_column_takes(tmp_path):
    content = csv_text([[*HEADER, "X"], *([*row, ""] for row in ROWS)]).encode()
    (tmp_path / "a.csv").write_bytes(content.replace(b",X\n", b",\xff\n"))
    assert read(tmp_path).cells == ROWS


def test_text_stays_text(tmp_path):
    odd = ["0101", "1e5", "NaN", "TRUE", "  12 ", "1/2", "=A1", "#N/A", "inf", "0x10", "①"]
    rows = [["2020-04-16", "NULL", cell, "1", "0007", cell] for cell in odd]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]))
    assert read(tmp_path).cells == rows


@pytest.mark.parametrize("cell", ['="0101"', ' ="0101" ', "'0101", " '0101'", "0101", "01\x0001"])
def test_codes_that_excel_must_not_take_for_numbers_are_codes(cell):
    columns = read_columns([["x", cell], ["y"]], LAYOUT._replace(places={"a": 1}), {"a": "label"})
    assert columns["a"].to_pylist() == ["0101", ""]


def test_columns_that_a_sheet_lacks_are_empty():
    layout = LAYOUT._replace(places={"b": 0})
    columns = read_columns([[1.5], [2.0]], layout, {"a": "text", "b": "amount", "c": "label"})
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "a": ["", ""], "b": ["1.5E0", "2"], "c": ["", ""]
    }  # fmt: skip
    assert read_columns([], layout, {"b": "text"})["b"].to_pylist() == []


def test_codes_written_as_decimal_fractions_are_whole_where_only_so_they_fit():
    codes = pa.array(["2401.0", "0101", "2401", "10.0", ".0", ""])
    whole = whole_codes(codes, "[0-9]{4}").to_pylist()
    assert whole == ["2401", "0101", "2401", "10.0", ".0", ""]
    assert whole_codes(codes, r"[0-9]{4}|[0-9]+\.0").equals(codes)
    assert whole_codes(codes, "[0-9]{2,4}")[3].as_py() == "10"


def test_cells_are_filled_from_above_on_request(tmp_path):
    rows = many(6)
    shown = [[*row[:4], *(row[4:] if i % 3 == 0 else ["", ""])] for i, row in enumerate(rows)]
    shown.insert(3, ["", "Subtotal", "", "6", "", ""])
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *shown]})
    found = read(tmp_path, fill_down=["account", "name"])
    assert found.cells == rows
    assert found.rejects == [(5, "subtotal")]


def test_a_refused_row_ends_what_is_filled_from_above(tmp_path):
    """It may have begun another section, whose rows must not fall to the one before."""
    plain = [[*row[:4], "", ""] for row in many(3)]
    lines = [
        csv_text([HEADER]),
        "6000,,,,6000,Office\n",
        csv_text(plain),
        ",,,,6100\n",  # too short: the section of 6100
        csv_text(plain),
        ",,,,6200,Meals\n",
        csv_text(plain),
    ]
    (tmp_path / "a.csv").write_text("".join(lines))
    found = read(tmp_path, fill_down=["account"], patterns={}, max_reject_fraction=1.0)
    assert [row[4] for row in found.cells] == ["6000"] * 3 + ["6200"] * 3
    reasons = [reason for _, reason in found.rejects]
    assert reasons.count("too few cells") == 1
    assert reasons.count("no account") == 3


def test_a_sheet_without_the_account_is_read_where_it_is_not_required(tmp_path):
    without = [row[:4] for row in [HEADER, *ROWS, HEADER]]
    write_xlsx(tmp_path / "a.xlsx", {"coded": [HEADER, *ROWS], "open": without})
    found = read(tmp_path, required=["date", "amount"])
    assert [row[4] for row in found.cells] == [*(row[4] for row in ROWS), "", "", "", ""]
    assert found.report["reasons"] == {"repeated header": 1}


def test_a_column_without_names_is_in_no_file(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    found = read(tmp_path, columns=names(account=[]), required=["date", "amount"])
    assert [row[4] for row in found.cells] == [""] * 4
