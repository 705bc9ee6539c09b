"""Every row of new files comes back once and in its order, as the base table would have it."""

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import ledger_files as ledger
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_files import HEADER, csv_text, write_ods, write_xlsx
from raw_tables import feature_params, preprocess_params, row
from refusals import refused

from stages.lib.checksums import digests_of
from stages.lib.ledger import new_rows, text_files
from stages.lib.ledger.base_table import make_base_table
from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.cleaning_report import Tally
from stages.lib.ledger.new_rows import (
    find_new_files,
    params_of_new_rows,
    read_new_parts,
    read_posted_rows,
    spool_new_rows,
)
from stages.lib.ledger.reading import read_ledger
from stages.lib.ledger.reasons import JOINED
from stages.lib.params.ingest import IngestParams

DATA = Path(__file__).parents[1] / "data"
BLANK = [""] * len(HEADER)
ACCOUNT, NAME = HEADER.index("Account"), HEADER.index("Account name")
ROWS = [row(memo=f"thing {i}", vendor=f"Shop {i % 3}", amount=str(i), account=f"010{i % 4}")
        for i in range(12)]  # fmt: skip


def sections(ingest: dict | None = None, preprocess: dict | None = None, **feature: object):
    return SimpleNamespace(
        ingest=IngestParams.model_validate({**ledger.INGEST, **(ingest or {})}),
        preprocess=preprocess_params(**(preprocess or {})),
        feature=feature_params(**feature),
    )


def read(folder: Path, sources: list, params: SimpleNamespace):
    """Return what was spooled, its parts and the tally."""
    spool = folder / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    spooled, tally = spool_new_rows([str(source) for source in sources], params, spool), Tally()
    return spooled, list(read_new_parts(spooled, params, tally)), tally


@pytest.fixture
def new(tmp_path):
    """Return a function that reads rows of a file without the columns `left_out`."""

    def read_rows(rows: list[list[str]], params: SimpleNamespace, *left_out: str):
        kept = [i for i, name in enumerate(HEADER) if name not in left_out]
        (tmp_path / "new.csv").write_text(csv_text([[r[i] for i in kept] for r in [HEADER, *rows]]))
        return read(tmp_path, [tmp_path / "new.csv"], params)[1]

    return read_rows


def base_of(parts: list) -> dict[str, list]:
    return pa.concat_tables(part.base for part in parts).to_pydict()


def lines(parts: list) -> list[tuple[int, str]]:
    return [pair for part in parts for pair in zip(part.lines, part.reasons, strict=True)]


@pytest.mark.parametrize("late", [False, True])
def test_a_file_that_is_saved_while_it_is_read_is_refused(tmp_path, monkeypatch, late):
    path, found = tmp_path / "new.csv", new_rows.read_parts
    path.write_text(csv_text([HEADER, *ROWS]))

    def read_slowly(*given, **named):
        if not late:
            path.write_text(csv_text([HEADER, *ROWS[:5]]))
        yield from found(*given, **named)
        path.write_text(csv_text([HEADER, *ROWS[:3]]))

    monkeypatch.setattr(new_rows, "read_parts", read_slowly)
    params = sections()
    with refused("file-changed", str(path)):
        read(tmp_path, [path], params)
    monkeypatch.setattr(new_rows, "read_parts", found)
    spooled = read(tmp_path, [path], params)[0]
    assert (spooled.rows, spooled.digests) == (3, digests_of([path]))


def test_new_rows_are_made_as_those_of_the_ledger_were(new, tmp_path):
    params = sections({"source": str(tmp_path), "files": ["new.csv"]})
    (tmp_path / "new.csv").write_text(csv_text([HEADER, *ROWS]))
    cleaned = clean_rows(read_ledger(params.ingest).transactions, params.preprocess)
    known = make_base_table(cleaned.transactions, params.feature).to_pydict()
    found = base_of(new(ROWS, params, "Account", "Account name"))
    assert set(found.pop("acct_code")) == {""} and known.pop("acct_code")
    assert found == known


def test_accounts_that_the_file_has_are_not_read(new):
    rows = [row(account="no code"), row(account="***"), row(account="#N/A"), row(account="0101")]
    (part,) = new(rows, sections())
    assert part.base["acct_code"].to_pylist() == [""] * 4 and part.reasons == [""] * 4


MIXED = [
    ["Bank of Examples", "", "", "", "", ""],
    HEADER,
    row(memo="jane@example.com"),
    row(memo="jane@example.com"),  # no duplicate: both want an account
    row(amount="unknown"),
    BLANK,
    row(date="", vendor="", memo="", amount="12.50", account="", name=""),
    HEADER,
    row(date="someday"),
    row(memo="last"),
]
REASONS = [
    (1, "above the header"),
    (3, ""),
    (4, ""),
    (5, "unreadable amount in amount"),
    (6, "blank row"),
    (7, "subtotal"),
    (8, "repeated header"),
    (9, "unreadable date in date"),
    (10, ""),
]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", lambda path: path.write_text(csv_text(MIXED))),
        ("a.txt", lambda path: path.write_text(csv_text(MIXED, ";"))),
        ("a.xlsx", lambda path: write_xlsx(path, {"S": MIXED})),
        ("a.ods", lambda path: write_ods(path, MIXED)),
    ],
)
def test_every_row_of_a_file_is_there_once_in_its_order_with_its_cells(tmp_path, name, write):
    write(tmp_path / name)
    _, parts, _ = read(tmp_path, [tmp_path / name], sections())
    assert lines(parts) == REASONS
    (part,) = parts
    # Nothing is masked here: the cells are for the user's own file.
    assert [cells + [""] * (6 - len(cells)) for cells in part.cells] == [MIXED[0], *MIXED[2:]]
    assert part.base["memo"].to_pylist() == ["[email]", "[email]", "last"]
    assert part.base["source_row"].to_pylist() == [part.lines[place] for place in part.places]


def test_a_parquet_and_an_old_workbook_are_read_too(tmp_path):
    titles = [*HEADER[:4], "Extra"]
    columns = [*zip(*(r[:4] for r in ROWS), strict=True), range(12)]
    pq.write_table(pa.table(list(map(pa.array, columns)), titles), tmp_path / "a.parquet")
    shutil.copy(DATA / "ledger.xls", tmp_path / "b.xls")
    spooled, parts, _ = read(
        tmp_path, [tmp_path / "a.parquet", tmp_path / "b.xls"], sections({"min_content_match": 0.1})
    )
    assert [part.file for part in parts[:1]] == ["a.parquet"]
    assert lines(parts[:1]) == [(i, "") for i in range(1, 13)]
    assert [cells[4] for cells in parts[0].cells] == [str(i) for i in range(12)]
    assert {part.file for part in parts} == {"a.parquet", "b.xls"}
    assert spooled.rows == sum(len(part.lines) for part in parts)


def test_rows_of_any_kind_are_all_there_however_the_file_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 300)
    choose = random.Random(3)
    kinds = [ROWS[0], MIXED[4], BLANK, MIXED[6], HEADER, row(memo="two\nlines"), row(vendor="")]
    rows = [choose.choice(kinds) for _ in range(150)]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]))
    spooled, parts, tally = read(tmp_path, [tmp_path / "a.csv"], sections())
    assert len(parts) > 5 and spooled.rows == 150
    expected, line = [], 2  # lines as an editor counts them
    for cells in rows:
        expected.append(line)
        line += 1 + sum(cell.count("\n") for cell in cells)
    assert [line for line, _ in lines(parts)] == expected
    assert [cells for part in parts for cells in part.cells] == rows
    assert (
        sum(len(part.base) for part in parts)
        == tally.rows_out
        == rows.count(ROWS[0]) + rows.count(kinds[5]) + rows.count(kinds[6])
    )


def test_columns_of_several_files_are_put_under_one_header(tmp_path):
    first = [*HEADER[:4], "Note", "Note", ""]
    second = ["Doc. No.", *HEADER[3::-1], "NOTE", "", "more"]
    (tmp_path / "a.csv").write_text(csv_text([first, [*ROWS[0][:4], "n1", "n2", "x"]]))
    (tmp_path / "b.csv").write_text(csv_text([second, ["D1", *ROWS[1][3::-1], "n3", "y", "z"]]))
    spooled, parts, _ = read(tmp_path, [tmp_path], sections({"files": ["*.csv"]}))
    # A column without a title is known by its place, so these are one: the seventh.
    assert spooled.titles == [*HEADER[:4], "Note", "Note", "", "Doc. No.", "more"]
    assert spooled.places == [[0, 1, 2, 3, 4, 5, 6], [7, 3, 2, 1, 0, 4, 6, 8]]
    assert [part.cells for part in parts] == [
        [[*ROWS[0][:4], "n1", "n2", "x"]],
        [["D1", *ROWS[1][3::-1], "n3", "y", "z"]],
    ]


def test_cells_beyond_the_header_have_a_column(new, tmp_path):
    text = csv_text([HEADER[:4], ROWS[0][:4], [*ROWS[1][:4], "", "stray"]])
    (tmp_path / "a.csv").write_text(text)
    spooled, parts, _ = read(tmp_path, [tmp_path / "a.csv"], sections())
    assert spooled.titles == [*HEADER[:4], "", ""]
    assert lines(parts) == [(2, ""), (3, "too many cells")]


def test_a_row_that_is_joined_to_the_one_above_says_so(new):
    rest = ["", "", "and pens", "", "", ""]
    (part,) = new([row(memo="paper"), rest, row(memo="ink")], sections({"wrapped": ["memo"]}))
    assert part.reasons == ["", "joined to the row above", ""]
    assert part.base["memo"].to_pylist() == ["paper and pens", "ink"]
    assert part.places == [0, 2]


def test_columns_that_shape_no_visible_field_may_be_missing(new):
    params = sections(
        {"required": ["account"]}, fields=["memo"], date_column=None, amount_column=None
    )
    left_out = ("Date", "Vendor", "Amount", "Account", "Account name")
    assert [len(part.base) for part in new(ROWS, params, *left_out)] == [12]
    with refused("column-not-found", "ingest.columns.vendor"):
        new(ROWS, sections({"required": ["memo"]}), "Vendor", "Account", "Account name")


def test_a_date_and_an_amount_that_the_model_does_not_see_may_be_missing(new):
    params = sections({"required": ["memo"]}, fields=["vendor", "memo"])
    (part,) = new(ROWS, params, "Date", "Amount", "Account", "Account name")
    assert part.reasons == [""] * 12
    assert part.base["date"].to_pylist() == part.base["amount"].to_pylist() == [None] * 12


def test_a_visible_group_is_the_vendor(new):
    (part,) = new(ROWS[:2], sections(fields=["memo", "group"]), "Account", "Account name")
    assert part.base["group"].to_pylist() == ["shop 0", "shop 1"]


def test_a_ledger_that_requires_little_loses_no_new_row(new):
    columns = {**ledger.INGEST["columns"], "memo": {"role": "category", "names": ["memo"]}}
    params = sections({"required": ["account"], "columns": columns}, date_column=None)
    rows = ROWS[:6]
    rows[0], rows[1] = row(vendor="TOTAL 4512"), row(vendor="Total Wine")
    rows[2] = row(vendor="")  # without labels, its category makes it a transaction
    (part,) = new(rows, params, "Date", "Account", "Account name")
    assert part.reasons == ["", "", "no vendor", "", "", ""]


def test_new_rows_in_another_form_get_a_line_and_are_cured_by_an_entry(tmp_path):
    rows = [
        row(date=f"03/{day:02}/2024", amount=f"{day},50", memo=str(day)) for day in range(1, 29)
    ]
    rows.append(row())
    path = tmp_path / "new.csv"
    path.write_text(csv_text([HEADER, *rows]))
    _, (part,), tally = read(tmp_path, [path], sections(preprocess={"date_order": "dmy"}))
    assert part.base.num_rows == 1
    remarks = tally.report()["remarks"]
    date, amount = sorted(remarks, key=lambda line: "comma" in line)
    entry = '{match: "new.csv", date_order: mdy, decimal: comma}'
    assert "new.csv row 14" in date and "new.csv row 2" in amount
    assert entry in date and entry in amount
    keys = {"match": "new.csv", "date_order": "mdy", "decimal": "comma"}
    params = sections(preprocess={"date_order": "dmy", "other_formats": [keys]})
    _, (part,), tally = read(tmp_path, [path], params)
    assert str(part.base["date"][27]) == "2024-03-28" and part.base["amount"][27].as_py() == 28.5
    assert not tally.report().get("remarks")


def test_the_parameters_of_new_rows():
    params = sections(
        {
            "required": ["date", "memo", "account"],
            "fill_down": ["vendor", "account"],
            "patterns": {"account": "[0-9]{4}", "memo": ".*"},
        },
        fields=["memo", "amount_bucket"],
    )
    ingest, feature = params_of_new_rows(params.ingest, params.feature)
    assert ingest.max_reject_fraction == 1.0
    assert list(ingest.columns) == ["date", "memo", "amount", "account"]
    assert ingest.required == ["memo"]
    assert ingest.fill_down == ["account"] and sorted(ingest.patterns) == ["account", "memo"]
    assert feature.group_column is None and feature.amount_column == "amount"


def test_a_file_of_rows_that_all_cannot_be_read_is_listed_row_by_row(new):
    (part,) = new([row(amount="5 5"), row(amount="1-1")], sections(), "Account", "Account name")
    assert part.reasons == ["unreadable amount in amount"] * 2
    assert part.base.num_rows == 0 and part.places == []


def test_a_file_without_a_transaction_is_refused_by_its_name(new, tmp_path):
    with refused("no-transactions", str(tmp_path / "new.csv")):
        new([], sections(), "Account", "Account name")
    with refused("no-transactions", str(tmp_path / "new.csv"), "blank row"):
        new([BLANK, BLANK], sections())
    (tmp_path / "empty.csv").write_text("")
    with refused("file-empty", str(tmp_path / "empty.csv")):
        read(tmp_path, [tmp_path / "empty.csv"], sections())


def test_a_file_without_a_transaction_beside_another_keeps_its_rows(tmp_path):
    for name, rows in (("a.csv", [BLANK]), ("b.csv", ROWS[:1])):
        (tmp_path / name).write_text(csv_text([HEADER, *rows]))
    _, parts, _ = read(tmp_path, [tmp_path / "a.csv", tmp_path / "b.csv"], sections())
    assert [(part.file, part.reasons) for part in parts] == [
        ("a.csv", ["blank row"]),
        ("b.csv", [""]),
    ]


def test_files_and_folders_come_in_the_order_of_the_command_and_no_file_twice(tmp_path):
    for name in ("a/1.csv", "a/2.csv", "b/3.csv", "b/note.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find_new_files([str(tmp_path / "b"), str(tmp_path / "a")], ["*.csv"])
    assert [name for _, name in found.files] == ["3.csv", "1.csv", "2.csv"]
    assert found.left_out == ["note.md"]
    shutil.copy(tmp_path / "a/1.csv", tmp_path / "b/1.csv")
    with refused("file-twice", "b/1.csv", "a/1.csv"):
        find_new_files([str(tmp_path / "a"), str(tmp_path / "b/1.csv")], ["*.csv"])


# Rows that need those above them

DOC = {"doc": {"role": "id", "names": ["doc"]}}


def read_docs(tmp_path, rows: list[list[str]], header: list[str], **changes):
    params = sections({"columns": {**DOC, **ledger.INGEST["columns"]}, **changes})
    (tmp_path / "new.csv").write_text(csv_text([header, *rows]))
    _, (part,), _ = read(tmp_path, [tmp_path / "new.csv"], params)
    assert len(part.lines) == len(rows)
    return part


def test_the_vouchers_of_new_rows_end_filling_too(tmp_path):
    rows = [
        ["V1", "2024-01-03", "Bank", "fee", "1"],
        ["", "", "", "", "2"],
        ["V2", "2024-01-09", "", "", "3"],
        ["", "", "Total", "", "6"],
    ]
    header = ["Doc", *HEADER[:4]]
    fill_down = ["doc", "date", "vendor", "memo"]
    part = read_docs(tmp_path, rows, header, fill_down=fill_down)
    assert part.base["vendor"].to_pylist() == ["bank", "bank", ""]
    assert part.base["memo"].to_pylist() == ["fee", "fee", ""]
    assert part.reasons == ["", "", "", "subtotal"]
    # Without numbers, nothing ends it, and what has only an amount may be a total.
    part = read_docs(tmp_path, [row[1:] for row in rows], header[1:], fill_down=fill_down)
    assert part.base["vendor"].to_pylist() == ["bank", "bank"]
    assert part.reasons == ["", "subtotal", "", "subtotal"]


def test_a_new_row_that_was_joined_to_the_one_above_it_says_so(tmp_path):
    rows = [
        ["V1", "2024-01-03", "Maple", "poster", "1"],
        ["V1", "", "Print Ltd", "for the fair", ""],
        ["", "", "", "", ""],
    ]
    part = read_docs(tmp_path, rows, ["Doc", *HEADER[:4]], wrapped=["memo", "vendor"])
    assert part.base["vendor"].to_pylist() == ["maple print ltd"]
    assert part.base["memo"].to_pylist() == ["poster for the fair"]
    assert part.reasons == ["", JOINED, "blank row"]


def test_posted_rows_have_the_account_of_all_its_columns(tmp_path):
    columns = {**ledger.INGEST["columns"], "sub": {"role": "label_part", "names": ["sub"]}}
    rows = [[*row(account="4100"), "02"], [*row(account=""), "03"], [*row(account="4200"), ""]]
    (tmp_path / "new.csv").write_text(csv_text([[*HEADER, "Sub"], *rows]))
    params = sections(
        {"columns": columns, "patterns": {}, "label_separator": "-", "fill_down": ["account"]},
        {"labels": {"pattern": "[0-9-]+"}},
    )
    base, reasons, _ = read_posted_rows(str(tmp_path / "new.csv"), params)
    assert base["acct_code"].to_pylist() == ["4100-02", "4100-03", "4200"] and not reasons


def test_posted_rows_need_the_account_and_not_its_name(tmp_path):
    kept = [place for place, name in enumerate(HEADER) if name != HEADER[NAME]]
    rows = [[line[place] for place in kept] for line in [HEADER, *ROWS]]
    (tmp_path / "new.csv").write_text(csv_text(rows))
    base, reasons, _ = read_posted_rows(str(tmp_path / "new.csv"), sections())
    assert base["acct_code"].to_pylist() == [line[ACCOUNT] for line in ROWS] and not reasons
    kept.remove(ACCOUNT)
    (tmp_path / "new.csv").write_text(
        csv_text([[line[p] for p in kept] for line in [HEADER, *ROWS]])
    )
    with refused("header-not-found", "account"):
        read_posted_rows(str(tmp_path / "new.csv"), sections())
