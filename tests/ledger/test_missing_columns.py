"""A column that one of several files has under a header that no name fits is named."""

from collections import Counter

from ledger_files import HEADER, Read, csv_text, ingest_params, many, names, read

from stages.lib.ledger.headers import Layout
from stages.lib.ledger.missing_columns import missing_columns, unused_columns


def write(folder, name: str, rows: list[list[str]], header: list[str] = HEADER) -> None:
    (folder / name).write_text(csv_text([header, *rows]), encoding="utf-8")


def renamed(**headers: str) -> list[str]:
    return [headers.get(cell.split()[-1], cell) for cell in HEADER]


def own(rows: list[list[str]], place: int, cell: str) -> list[list[str]]:
    """Return `rows` with other cells in a column, none of which another file has."""
    return [
        [*row[:place], f"{cell} {i}", *row[place + 1 :]] for i, row in enumerate(rows, start=500)
    ]


def only_remark(folder) -> str:
    (remark,) = read(folder).remarks
    return remark


def test_another_spelling_is_named(tmp_path):
    write(tmp_path, "a.csv", many(9))
    write(tmp_path, "b.csv", own(many(9), 2, "other"), renamed(Memo="Memos"))
    remark = only_remark(tmp_path)
    assert remark.startswith("b.csv: ")
    for part in ("memo", "9 rows", "'Memos'", "ingest.columns.memo.names"):
        assert part in remark
    assert read(tmp_path, columns=names(memo=["memo", "memos"])).remarks == []


def test_another_header_over_the_same_values_is_named(tmp_path):
    header = [*renamed(name="Bezeichnung"), "Kostenstelle"]
    write(tmp_path, "a.csv", many(9))
    write(tmp_path, "b.csv", [[*row, "400"] for row in many(9)], header)
    write(tmp_path, "c.csv", [[*row, "400"] for row in many(9)], header)
    remark = only_remark(tmp_path)
    for part in ("b.csv and 1 other", "name", "18 rows", "'Bezeichnung'"):
        assert part in remark


def test_a_new_header_over_texts_or_amounts_of_its_own_is_named(tmp_path):
    columns = {**names(), "credit": {"role": "amount", "names": ["credit"]}}
    write(tmp_path, "a.csv", [[*row, "5"] for row in many(9)], [*HEADER, "Credit"])
    rows = [[*row, "7.25", "7700"] for row in own(many(9), 2, "andere Texte")]
    write(tmp_path, "b.csv", rows, [*renamed(Memo="Verwendungszweck"), "Haben", ""])
    remarks = read(tmp_path, columns=columns).remarks
    assert [("'Verwendungszweck'" in r, "'Haben'" in r) for r in remarks] == [
        (True, False), (False, True)
    ]  # fmt: skip


def test_a_column_without_header_is_named_by_its_number(tmp_path):
    write(tmp_path, "a.csv", many(9))
    write(tmp_path, "b.csv", many(9), renamed(Memo=""))
    assert "'column 3'" in only_remark(tmp_path)


def test_a_file_that_lacks_a_column_gets_no_remark(tmp_path):
    write(tmp_path, "a.csv", [[*row, "x"] for row in many(9)], [*HEADER, "Clerk"])
    write(tmp_path, "b.csv", [[*row[:2], *row[3:]] for row in many(9)], [*HEADER[:2], *HEADER[3:]])
    # A header that files with the column have, too, is another column.
    write(tmp_path, "c.csv", many(9), renamed(Memo="Clerk"))
    # Nor is it one with other values: names, numbers, or nothing.
    for i, cell in enumerate(["", "7", "2020-01-01", "a" * 90]):
        rows = [[*row[:2], cell, *row[3:]] for row in many(9)]
        write(tmp_path, f"d{i}.csv", rows, renamed(Memo=f"Other {i}"))
    for i, cell in enumerate(["x", "2020-01-01"]):
        rows = [[*row[:5], cell] for row in many(9)]
        write(tmp_path, f"e{i}.csv", rows, renamed(name=f"Other {i}"))
    assert read(tmp_path).remarks == []


def test_the_header_is_masked(tmp_path):
    write(tmp_path, "a.csv", many(9))
    write(tmp_path, "b.csv", many(9), renamed(Memo="to a@b.org"))
    assert "'to [email]'" in only_remark(tmp_path)


def test_new_rows_get_the_remark_too(tmp_path):
    write(tmp_path, "a.csv", many(9))
    write(tmp_path, "b.csv", many(9), renamed(Memo="Verwendungszweck"))
    assert len(Read(ingest_params(tmp_path), has_labels=False).remarks) == 1


def test_unused_columns_are_read_only_where_one_is_lacking():
    params = ingest_params("raw")
    layout = Layout(1, ["Date", "Text", ""], {"date": 0}, 3)
    rows = [["2020-04-16", "a", "b"], ["2020-04-16", "c"], ["x", "no", "no"]]
    found = unused_columns(rows, [True, True, False], layout, params)
    assert found == {"Text": Counter(a=1, c=1), "column 3": Counter(b=1)}
    whole = layout._replace(places=dict(zip(params.columns, range(6), strict=True)))
    assert unused_columns(rows, [True] * 3, whole, params) == {}
    assert missing_columns([], params) == []
