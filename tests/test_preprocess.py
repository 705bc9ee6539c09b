"""The stage: files in, files out, whatever the groups of rows and the number of processes."""

import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import ledger_files as ledger
import pytest
from ledger_files import HEADER, csv_text
from raw_tables import row
from refusals import refused
from ruamel.yaml import YAML

from stages import preprocess
from stages.lib import tables
from stages.lib.tables import read_json, read_table


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def run(book, *rows: list[str]) -> dict:
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.ingest["min_content_match"] = 0.0
    return book.run("ingest", "preprocess")


def clean(book, column: str) -> list:
    return [value for (value,) in book.rows("preprocess/transactions", [column])]


def rejects(book) -> list[tuple]:
    return book.rows("preprocess/rejects", ["source_row", "reason", "column"])


def test_it_writes_clean_rows_rejects_accounts_and_a_report(book, capsys):
    book.preprocess["duplicates"] = "reject_all"
    report = run(
        book, row(vendor=" ＳＨＯＰ "), row(memo="x", amount="?"), row(vendor=" ＳＨＯＰ ")
    )
    table = read_table("data/preprocess/transactions.parquet")
    assert table.schema.field("amount").metadata == {b"role": b"amount"}
    assert table["vendor"].to_pylist() == ["shop"]
    assert rejects(book) == [(3, "unreadable amount", "amount"), (4, "duplicate", "")]
    assert read_table("data/preprocess/accounts.parquet").to_pylist() == [
        {"acct_code": "0101", "acct_name": "MEALS", "rows": 1, "also_written": []}
    ]
    (remark,) = report.pop("remarks")
    assert f"preprocess: {remark}\n" in capsys.readouterr().err
    assert report == {
        "rows_in": 3,
        "rows_out": 1,
        "rows_rejected": 2,
        "reasons": {"duplicate": 1, "unreadable amount in amount": 1},
        "accounts": 1,
        "cells_emptied": {},
    }


def test_decimal_comma_and_typed_numbers_of_a_workbook(book):
    book.preprocess["decimal"] = "comma"
    amounts = [1.234, "1.234,50", 7, "1.234"]
    rows = [row(amount=amount) for amount in amounts]
    ledger.write_xlsx(book.raw / "a.xlsx", {"S": [HEADER, *rows]})
    book.run("ingest", "preprocess")
    assert clean(book, "amount") == [1.234, 1234.5, 7.0, 1234.0]


def test_the_lines_that_it_prints_merge_the_spellings_of_an_account(book, capsys):
    codes = ["NO", "no", "여비: 교통비", "여비 교통비", "NO", "여비: 교통비", "0101"]
    rows = [row(account=code, memo=str(i)) for i, code in enumerate(codes)]
    book.ingest["patterns"], book.preprocess["labels"]["pattern"] = {}, ".+"
    assert run(book, *rows)["accounts"] == 5
    printed = capsys.readouterr().err
    lines = printed[printed.index("    merge:\n") :]
    book.preprocess["labels"]["merge"] = YAML(typ="safe").load(lines)["merge"]
    report = run(book, *rows)
    assert report["accounts"] == 3 and "merge" not in report
    assert set(clean(book, "account")) == {"NO", "여비: 교통비", "0101"}


def test_codes_that_are_texts_in_one_file_and_numbers_in_another_get_the_lines_to_merge(book):
    codes = ["6110.10", "6110.25", "6200.00", "6300.50"]
    rows = [row(account=code, memo=f"{i} {code}") for i in range(3) for code in codes]
    typed = [row(account=float(code), memo=f"x {code}", amount=1) for code in codes]
    ledger.write_xlsx(book.raw / "b.xlsx", {"S": [HEADER, *typed]})
    book.ingest["patterns"], book.preprocess["labels"]["pattern"] = {}, r"[0-9.]+"
    report = run(book, *rows)
    assert report["accounts"] == 7
    assert report["merge"] == {"6110.1": "6110.10", "6200": "6200.00", "6300.5": "6300.50"}
    book.preprocess["labels"]["merge"] = report["merge"]
    assert book.run("preprocess")["accounts"] == 4


def test_one_account_with_and_without_the_marks_of_a_text(book):
    codes = ["0100", "'0100", '="0100"', " 0100", "０１００", "0200"]
    rows = [row(account=code, memo=str(i)) for i, code in enumerate(codes)]
    book.ingest["patterns"] = {"account": "[0-9]{4}"}
    report = run(book, *rows)
    assert set(clean(book, "account")) == {"0100", "0200"}
    assert (report["accounts"], "remarks" in report) == (2, False)


@pytest.mark.parametrize("kind", ["xlsx", "ods", "csv"])
@pytest.mark.parametrize("column", ["date", "posted"])
def test_days_that_a_spreadsheet_swapped_are_refused_and_come_right(book, kind, column):
    days = [date(2024, 1, 1) + timedelta(days=5 * i) for i in range(60)]
    cells = [date(d.year, d.day, d.month) if d.day <= 12 else f"{d:%d/%m/%Y}" for d in days]
    rows = [[*row(date=f"{d:%d/%m/%Y}"), c] for d, c in zip(days, cells, strict=True)]
    if column == "date":
        rows = [[line[-1], *line[1:-1], line[0]] for line in rows]
    table = [[*HEADER, "Posted"], *rows]
    if kind == "xlsx":
        ledger.write_xlsx(book.raw / "a.xlsx", {"S": table})
    elif kind == "ods":
        ledger.write_ods(book.raw / "a.ods", table)
    else:
        (book.raw / "a.csv").write_text(csv_text([[str(cell) for cell in line] for line in table]))
    book.ingest["columns"]["posted"] = {"role": "date", "names": ["posted"]}
    book.preprocess["date_order"] = "dmy"
    book.run("ingest")
    entry = f'{{match: "a.{kind}", columns: [{column}], typed_dates: swapped}}'
    with refused("swapped-dates", f"a.{kind} row 2", entry):
        book.run("preprocess")
    assert list((book.folder / "data/preprocess").iterdir()) == []
    entry = {"match": f"*.{kind}", "columns": [column], "typed_dates": "swapped"}
    book.preprocess["other_formats"] = [entry]
    book.run("preprocess")
    assert clean(book, "date") == clean(book, "posted") == days


def test_remarks_are_printed_and_reported(book, capsys):
    book.preprocess["other_formats"] = [{"match": "us/*", "date_order": "mdy"}]
    report = run(book, row(date="0000-00-00", vendor="x"), row())
    assert report["cells_emptied"] == {} and len(report["remarks"]) == 1  # ingest refused the row
    assert f"preprocess: {report['remarks'][0]}\n" in capsys.readouterr().err


def test_a_refused_ledger_leaves_no_file(book):
    book.preprocess.update(max_reject_fraction=0.1, date_order="mdy")
    days = [row(date=f"{day}/04/2020", memo=str(day)) for day in range(1, 31)]
    with refused("too-many-rejects", "18 of 30"):
        run(book, *days)
    assert list((book.folder / "data/preprocess").iterdir()) == []


def test_nothing_personal_is_written(book):
    secrets = [
        "4111 1111 1111 1111",
        "800101-1234567",
        "kim@corp.kr",
        "010-1234-5678",
        "110-123-456789",
    ]
    rows = [row(memo=f"x {s} y", vendor=s, name=s, account="bad" if i % 2 else "0101")
            for i, s in enumerate(secrets)]  # fmt: skip
    rows += [row(**{column: s}) for s in secrets[1:] for column in ("date", "amount", "account")]
    rows += [row(date="", amount="", account="", memo=s) for s in secrets]
    book.ingest["max_reject_fraction"] = book.preprocess["max_reject_fraction"] = 0.9
    run(book, *rows)
    assert clean(book, "memo") == ["x [card] y", "x [email] y", "x [bank_account] y"]
    written = b"".join(
        str(read_table(path).to_pylist()).encode()
        if path.suffix == ".parquet"
        else path.read_bytes()
        for folder in ("data/ingest", "data/preprocess", "metrics")
        for path in sorted(Path(folder).rglob("*.*"))
    ).decode()
    assert [secret for secret in secrets if secret in written] == []
    kinds = ("bank_account", "card", "email", "phone", "resident_number")
    assert read_json("metrics/ingest/report.json")["cells_masked"] == {
        f"{kind} in {name}": 1
        for name in ("account", "amount", "date", "memo", "name", "vendor")
        for kind in kinds
        if kind != "card" or name in ("memo", "name", "vendor")
    }
    book.ingest["columns"]["memo"]["role"] = "category"
    run(book, *rows)
    assert clean(book, "memo") == ["x [card] y", "x [email] y", "x [bank_account] y"]
    book.ingest["columns"]["memo"]["role"] = "text"
    book.ingest["mask"] = []
    run(book, *rows)
    assert clean(book, "memo")[0] == f"x {secrets[0]} y"


def test_rows_that_differ_only_in_what_is_masked_are_no_duplicates(book):
    rows = [row(memo=f"call {n}") for n in ("010-1234-5678", "010-1234-5679", "010-1234-5678")]
    book.preprocess["duplicates"] = "reject_all"
    run(book, *rows)
    assert clean(book, "memo") == ["call [phone]"] * 2
    assert rejects(book) == [(4, "duplicate", "")]


def test_what_was_masked_cannot_be_found_by_trying_without_the_ledger(book):
    """The same masked number leaves another digest in another ledger."""
    digests = set()
    for other in ("a", "b"):
        run(book, row(memo="010-1234-5678"), row(memo=other))
        masked = read_table("data/ingest/transactions.parquet")["masked"].to_pylist()
        assert masked[1] == ""
        digests.add(masked[0])
    assert len(digests) == 2 and "" not in digests


def test_row_groups_and_processes_make_no_difference(book, monkeypatch):
    rows = [row(memo=f"m{i % 90}", vendor=f"v{i % 7}", account=f"{i % 3:04}") for i in range(200)]
    run(book, *rows)

    def outputs():
        paths = sorted(Path("data/preprocess").iterdir())
        return [path.read_bytes() for path in paths] + [Path(preprocess.REPORT).read_bytes()]

    whole = outputs()
    assert re.search(rb'"duplicate": 200', whole[-1]) is None
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 40)
    book.run("ingest")
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 100_000)
    monkeypatch.setattr(preprocess, "cores", lambda: 2)
    book.run("preprocess")
    assert outputs() == whole


def test_a_corrupt_input_is_named(book):
    run(book, row())
    path = Path("data/ingest/transactions.parquet")
    path.write_bytes(path.read_bytes()[:-50])
    with refused("damaged-file", "data/ingest/transactions.parquet"):
        book.run("preprocess")


@pytest.mark.parametrize("code", ["damaged-file", "cannot-write"])
def test_the_progress_line_leaves_its_place_to_the_error(book, capsys, monkeypatch, code):
    run(book, row())
    if code == "damaged-file":
        path = Path("data/ingest/transactions.parquet")
        content = bytearray(path.read_bytes())
        content[20] ^= 1
        path.write_bytes(content)
    else:
        shutil.rmtree("data/preprocess")
        Path("data/preprocess").touch()
    capsys.readouterr()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("stages.lib.progress._REWRITE", 0.0)
    with refused(code, "transactions.parquet"):
        book.run("preprocess")
    err = capsys.readouterr().err
    assert err == "" or err.endswith("\r\x1b[K")


def test_a_bad_pattern_is_one_line(book):
    book.preprocess["labels"]["pattern"] = "("
    with refused("invalid-parameter", "params.yaml: preprocess.labels.pattern"):
        run(book, row())
