"""A header over other columns is noticed, by the cells below it or by other files."""

from collections import Counter

from ledger_files import (
    HEADER,
    INGEST,
    ROWS,
    Read,
    csv_text,
    ingest_params,
    many,
    names,
    read,
    without,
)
from refusals import refused

from stages.lib.ledger.moved_columns import known_cells


def write(folder, rows: list[list[str]], name: str = "a.csv", header: list[str] = HEADER) -> None:
    (folder / name).write_text(csv_text([header, *rows]), encoding="utf-8")


def test_a_header_over_other_columns_is_noticed_by_its_cells(tmp_path):
    write(tmp_path, [[row[0], row[4], row[2], row[3], row[1], row[5]] for row in many(20)])
    with refused("column-content", "a.csv", "0 of 20", "5 ('Account')", "'shop 1'", "positions"):
        read(tmp_path)


def test_a_header_over_dates_and_amounts_is_noticed(tmp_path):
    write(tmp_path, [[row[1], row[0], *row[2:]] for row in many(20)])
    with refused("column-content", "a.csv", "0 of 20", "1 ('Date')"):
        read(tmp_path)


def test_the_column_that_has_the_right_cells_is_named(tmp_path):
    write(tmp_path, [[row[0], row[4], row[2], row[3], row[1], row[5]] for row in many(20)])
    with refused("column-content", "row 2 has 'shop 1'", "2 ('Vendor')", "positions: {account: 2"):
        read(tmp_path)


def test_codes_in_another_form_show_what_the_pattern_should_fit(tmp_path):
    codes = ["6110-00", "6110-00", "6200-00", "010-1234-5678"]
    write(tmp_path, [[*row[:4], codes[i % 4], row[5]] for i, row in enumerate(many(20))])
    with refused("column-content", "'6110-00', '6200-00'", "ingest.patterns.account") as caught:
        read(tmp_path)
    assert "1234-5678" not in str(caught.value)


def test_texts_in_a_column_of_amounts_may_have_another_role(tmp_path):
    write(tmp_path, [[*row[:3], "see note", *row[4:]] for row in many(20)])
    with refused("column-content", "row 2 has 'see note'", "ingest.columns", "min_content_match"):
        read(tmp_path)


def test_a_few_wrong_cells_are_ignored(tmp_path):
    wrong = [["x", *row[1:]] for row in many(3)]
    write(tmp_path, [*many(1), *wrong[:2]])
    assert len(read(tmp_path).cells) == 3
    write(tmp_path, [*many(12), *wrong])
    assert len(read(tmp_path).cells) == 15
    with refused("column-content", "12 of 15"):
        read(tmp_path, min_content_match=0.81)


def test_codes_that_lost_their_zeros_are_named_as_such(tmp_path):
    codes = ["2401.0", "0101", "2401", "10.0"]
    write(tmp_path, [[*row[:4], codes[i % 4], row[5]] for i, row in enumerate(many(20))])
    found = read(tmp_path, patterns={"account": r"[0-9]{4}|[0-9]+\.0"})
    assert [row[4] for row in found.cells] == codes * 5
    found = read(tmp_path, min_content_match=0.7)
    assert [row[4] for row in found.cells] == ["2401", "0101", "2401", "10.0"] * 5
    with refused("column-content", "'10.0'", "preprocess.labels.pad_to"):
        read(tmp_path)
    found = read(tmp_path, patterns={"account": "[0-9]{2,4}"})
    assert [row[4] for row in found.cells] == ["2401", "0101", "2401", "10"] * 5


def test_a_header_over_other_columns_is_noticed_by_the_other_files(tmp_path):
    rows = many(20)
    write(tmp_path, rows, "a.csv")
    write(tmp_path, rows, "b.csv")
    broken_header = [cell.replace(" ", "\n") for cell in HEADER]
    swapped = [[*row[:1], row[5], row[2], row[3], row[4], row[1]] for row in rows]
    write(tmp_path, swapped, "c.csv", broken_header)
    with refused("column-moved", "c.csv", "vendor", "'NAME 0101'", "positions", "name: 2"):
        read(tmp_path)
    every = INGEST["reading"][0]
    entry = {**every, "match": "c.csv", "positions": {"vendor": 6, "name": 2}}
    params = ingest_params(tmp_path)
    params = params.model_validate({**params.model_dump(), "reading": [entry, every]})
    assert Read(params).cells == rows * 3


def test_files_of_different_departments_are_not_taken_for_swapped(tmp_path):
    for name in ("a", "b", "c"):
        rows = [[row[0], f"{name} {row[1]}", f"{name} {row[2]}", *row[3:]] for row in many(20)]
        write(tmp_path, rows, f"{name}.csv")
    assert read(tmp_path).report["rows_out"] == 60


def test_a_column_that_no_file_has_is_refused_and_the_nearest_cells_shown(tmp_path):
    write(tmp_path, ROWS)
    columns = {**without("vendor"), "memo": {"role": "text", "names": ["memmo", "적욕"]}}
    with refused("column-not-found", "params.yaml: ingest.columns.memo", "'memmo / 적욕'",
                 "Memo | Vendor"):  # fmt: skip
        read(tmp_path, columns=columns)
    # What one of the files has may be empty in the others.
    write(tmp_path, ROWS, "b.csv", [*HEADER[:2], "적욕", *HEADER[3:]])
    found = read(tmp_path, columns=columns)
    memo = found.transactions["memo"].to_pylist()
    assert memo == [""] * 4 + [row[2] for row in ROWS]
    assert ["memo" in sheet["columns"] for sheet in found.report["sheets"]] == [False, True]
    assert read(tmp_path, columns=names(memo=[])).transactions["memo"].to_pylist() == [""] * 8


def test_known_cells_are_those_of_other_sheets():
    spread = Counter(a=2, b=1)
    assert known_cells(Counter(a=5, b=7, c=9), spread, Counter("b")) == 5
    assert known_cells(Counter(a=5, b=7, c=9), spread, Counter()) == 12
