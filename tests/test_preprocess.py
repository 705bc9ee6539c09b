"""Raw rows in, clean rows and counted refusals out."""

import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import ledger_files as ledger
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_files import HEADER, csv_text

from stages import ingest, preprocess
from stages.lib import tables
from stages.lib.errors import UserError
from stages.lib.tables import read_json, read_table

COLUMNS = ["date", "vendor", "memo", "amount", "account", "name"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def row(date="2020-04-16", vendor="Shop", memo="paper", amount="1", account="0101", name="MEALS"):
    return [date, vendor, memo, amount, account, name]


def run(book, *rows: list[str]) -> dict:
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.ingest["min_content_match"] = 0.0
    return book.run("ingest", "preprocess")


def clean(book, column: str) -> list:
    return [value for (value,) in book.rows("preprocess/transactions", [column])]


def rejects(book) -> list[tuple]:
    return book.rows("preprocess/rejects", ["source_row", "reason", "column"])


def test_types_and_origin(book):
    run(
        book,
        row(
            vendor=" ㈜한빛\n문구 ",
            memo="ＡＢＣ",
            amount="(1,234.50)",
            date="43937",
            name="  Meals ",
        ),
    )
    table = read_table("data/preprocess/transactions.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "source_file": "dictionary<values=string, indices=int32, ordered=0>",
        "source_sheet": "dictionary<values=string, indices=int32, ordered=0>",
        "source_row": "int32",
        "date": "date32[day]",
        "vendor": "string",
        "memo": "string",
        "amount": "double",
        "account": "string",
        "name": "string",
    }
    values = list(table.to_pylist()[0].values())
    assert [values[0], values[2]] == ["a.csv", 2]
    assert [str(v) for v in values[3:]] == [
        "2020-04-16",
        "(주)한빛 문구",
        "abc",
        "-1234.5",
        "0101",
        "Meals",
    ]


def test_five_digits_are_days_only_where_no_lost_zero_explains_them(book):
    """In 40124 a spreadsheet counts days (2009-11-07), or dropped the zero of April 1, 2024."""
    reason, book.preprocess["date_order"] = "five digits: days, or a date without its zero?", "mdy"
    run(book, row(date=" 40124"), row(date="43937"), row(date="2020-04-16"))
    assert list(map(str, clean(book, "date"))) == ["2009-11-07", "2020-04-16", "2020-04-16"]
    run(book, row(date=" 40124"), row(date="120124"), row(date="99999"), row(date="2020-04-16"))
    assert list(map(str, clean(book, "date"))) == ["2024-12-01", "2020-04-16"]
    assert rejects(book) == [(2, reason, "date"), (4, reason, "date")]
    run(book, row(date="40124"), row(date="2020-04-16"))
    assert rejects(book) == [(2, reason, "date")]
    # Both readings read all: as days they are those of 2014, as dates Aprils of a century.
    run(book, *(row(date=str(day)) for day in range(41640, 42005)))
    assert clean(book, "date") == [date(2014, 1, 1) + timedelta(days=i) for i in range(365)]
    book.preprocess["max_reject_fraction"] = 1.0
    run(book, row(), *(row(date=f"2{day:02}24") for day in range(1, 30)))  # of February 2024
    assert rejects(book) == [(3 + i, reason, "date") for i in range(29)]
    run(book, row(date="40124"), row(date="2020-04-16"))
    # Each file speaks for itself.
    (book.raw / "b.csv").write_text(
        csv_text([HEADER, row(date="40124", memo="b"), row(date="43937")])
    )
    book.run("ingest", "preprocess")
    assert book.rows("preprocess/rejects", ["source_file", "reason"]) == [("a.csv", reason)]
    book.preprocess["unreadable_date"] = "empty"
    report = book.run("preprocess")
    assert list(map(str, clean(book, "date"))) == ["None", "2020-04-16", "2009-11-07", "2020-04-16"]
    assert report["cells_emptied"]["date"] == 1


def test_hundreds_of_digits_are_no_amount(book):
    run(book, row(), row(amount="9" * 400), row(amount="1,000" + ",000" * 200), row(memo="x"))
    assert [reason for _, reason, _ in rejects(book)] == ["unreadable amount"] * 2


CELL = st.text(st.sampled_from("0129.,-/ '()년월일#*xN/A!가원$₩△½²١\u00a0\u200b"), max_size=9)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.one_of(CELL, st.sampled_from(["2020-04-16", "7", "0101", "***"])),
                         min_size=6, max_size=6), min_size=1, max_size=12))  # fmt: skip
def test_every_row_comes_out_or_is_refused_whatever_its_cells_hold(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("dirt")
    with pytest.MonkeyPatch.context() as patch:
        book = ledger.Ledger(folder, patch)
        book.preprocess["max_reject_fraction"] = 1.0
        columns = dict(zip(COLUMNS, zip(*[row(), *table], strict=True), strict=True))
        count = len(table) + 1
        raw = {"source_file": ["a.csv"] * count, "source_sheet": [""] * count,
               "source_row": pa.array(range(count), pa.int32()), **columns,
               "masked": [""] * count}  # fmt: skip
        roles = {name: book.ingest["columns"][name]["role"] for name in COLUMNS}
        kinds = [pa.field(name, pa.string(), metadata={"role": roles[name]}) for name in COLUMNS]
        origin = [pa.field("source_file", pa.string()), pa.field("source_sheet", pa.string()),
                  pa.field("source_row", pa.int32())]  # fmt: skip
        tables.write_table(
            pa.table(raw, schema=pa.schema([*origin, *kinds, ingest.MASKED])), preprocess.IN
        )
        report = book.run("preprocess")
        places = book.rows("preprocess/transactions", ["source_row"])
        places += book.rows("preprocess/rejects", ["source_row"])
    assert sorted(places) == [(number,) for number in range(count)]
    assert report["rows_out"] + report["rows_rejected"] == count == report["rows_in"]


def test_ids_are_left_behind(book):
    book.ingest["columns"]["memo"]["role"] = "id"
    run(book, row(memo="INV-1"))
    assert "memo" not in read_table("data/preprocess/transactions.parquet").column_names


def test_decimal_comma_and_typed_numbers_of_a_workbook(book):
    book.preprocess["decimal"] = "comma"
    ledger.write_xlsx(
        book.raw / "a.xlsx",
        {
            "S": [
                HEADER,
                row(amount=1.234),
                row(amount="1.234,50"),
                row(amount=7),
                row(amount="1.234"),
            ]
        },
    )
    book.run("ingest", "preprocess")
    assert clean(book, "amount") == [1.234, 1234.5, 7.0, 1234.0]


def test_what_cannot_be_read_is_refused_by_rule(book):
    rows = [row(memo=str(i)) for i in range(8)] + [row(amount="12,5 m"), row(date="31.02.2020")]
    report = run(book, *rows)
    assert rejects(book) == [(10, "unreadable amount", "amount"), (11, "unreadable date", "date")]
    assert report["reasons"] == {"unreadable amount in amount": 1, "unreadable date in date": 1}
    book.preprocess.update(unreadable_amount="empty", unreadable_date="empty")
    report = run(book, *rows)
    assert (clean(book, "amount")[8:], clean(book, "date")[9]) == ([None, 1.0], None)
    assert report["cells_emptied"] == {"amount": 1, "date": 1}
    assert report["rows_rejected"] == 0


ERRORS = ["#N/A", "#REF!", "#VALUE!", "#DIV/0!"]


@pytest.mark.parametrize("error", ERRORS)
def test_a_spreadsheet_error_is_no_amount_date_or_account(book, error):
    book.ingest["patterns"] = {}
    book.preprocess["labels"]["pattern"] = ".+"
    good = [row(memo=str(i)) for i in range(5)]
    report = run(book, *good, row(amount=error), row(date=error), row(account=f" {error} "))
    assert rejects(book) == [
        (7, "unreadable amount", "amount"),
        (8, "unreadable date", "date"),
        (9, "spreadsheet error", "account"),
    ]
    assert report["rows_out"] == 5
    book.preprocess.update(unreadable_amount="empty", unreadable_date="empty")
    report = run(book, *good, row(amount=error), row(date=error))
    assert report["cells_emptied"] == {"amount": 1, "date": 1}
    assert [clean(book, "amount")[5], clean(book, "date")[6]] == [None, None]


def test_a_spreadsheet_error_says_nothing_as_text_and_is_counted(book):
    rows = [row(memo=error, vendor=error, name=error) for error in ERRORS]
    rows += [row(memo="#N/A order", vendor="NA", name="N/A")]
    report = run(book, *rows)
    assert clean(book, "memo") == ["", "", "", "", "#n/a order"]
    assert clean(book, "vendor") == ["", "", "", "", "na"]
    assert report["cells_emptied"] == {"memo": 4, "name": 4, "vendor": 4}
    assert read_table("data/preprocess/accounts.parquet")["acct_name"].to_pylist() == ["N/A"]


def test_a_wrong_date_order_fails_the_stage(book):
    book.preprocess["max_reject_fraction"] = 0.1
    book.preprocess["date_order"] = "mdy"
    days = [row(date=f"{day}/04/2020", memo=str(day)) for day in range(1, 31)]
    with pytest.raises(
        UserError,
        match=r"18 of 30 rows were refused .*; unreadable date in date: 18 rows, such as a.csv row",
    ):
        run(book, *days)
    assert list((book.folder / "data/preprocess").iterdir()) == []
    book.preprocess["date_order"] = "dmy"
    assert run(book, *days)["rows_out"] == 30


def test_accounts_are_padded_merged_retired_and_checked(book):
    book.preprocess["labels"].update(pad_to=4, merge={"2010": "2020"}, retire=["9999"])
    codes = ["101", " 0101", "２０１０", "2020", "9999", "***", "12345", "x"]
    report = run(book, *(row(account=code, memo=code) for code in codes))
    assert clean(book, "account") == ["0101", "0101", "2020", "2020"]
    assert rejects(book) == [
        (6, "retired account", "account"),
        (7, "masked account", "account"),
        (8, "no valid account", "account"),
        (9, "no valid account", "account"),
    ]
    assert report["accounts"] == 2


def test_no_code_is_masked_by_an_empty_pattern(book):
    book.ingest.update(required=["date"], patterns={})
    book.preprocess["labels"].update(masked="", masked_rule="from_name")
    run(book, row(), row(memo="2"), row(account="", memo="x"), row(account="***", memo="y"))
    assert [reason for _, reason, _ in rejects(book)] == ["no valid account"] * 2


def test_masked_accounts_are_recovered_by_a_name_that_has_one_code(book):
    book.preprocess["labels"]["masked_rule"] = "from_name"
    rows = [
        row(account="0101", name="Meals"),
        row(account="2010", name="Rebate"),
        row(account="2020", name="Rebate"),
        row(account="***", name=" Meals "),
        row(account="***", name="Rebate"),
        row(account="***", name="Unknown"),
    ]
    run(book, *rows)
    assert clean(book, "account") == ["0101", "2010", "2020", "0101"]
    assert [r[:2] for r in rejects(book)] == [(6, "masked account"), (7, "masked account")]


def test_a_spreadsheet_error_is_no_name_to_recover_an_account_by(book):
    book.preprocess["labels"]["masked_rule"] = "from_name"
    run(book, row(account="0101", name="#N/A"), row(account="***", name="#N/A"))
    assert rejects(book) == [(3, "masked account", "account")]


def test_chart_of_accounts_has_the_most_frequent_name(book):
    rows = [
        row(name=name, memo=str(i)) for i, name in enumerate(["B", "A", "A", "B", "", "C", "A"])
    ]
    run(book, *rows, row(account="2010", name=""))
    accounts = read_table("data/preprocess/accounts.parquet").to_pylist()
    assert accounts == [
        {"acct_code": "0101", "acct_name": "A", "rows": 7, "also_written": ["B", "C"]},
        {"acct_code": "2010", "acct_name": "2010", "rows": 1, "also_written": []},
    ]


def test_chart_of_accounts_has_the_other_forms_of_code_and_name(book):
    book.preprocess["labels"].update(pad_to=4, merge={"2011": "2010"}, masked_rule="from_name")
    rows = [("101", "Meals"), ("0101", "Meals"), ("0101", "Food"), ("2010", "Rent"),
            ("2011", "Meals"), ("2010", "Rent"), ("***", "Food")]  # fmt: skip
    run(book, *(row(account=code, name=name, memo=str(i)) for i, (code, name) in enumerate(rows)))
    accounts = read_table("data/preprocess/accounts.parquet").to_pylist()
    assert {a["acct_code"]: a["also_written"] for a in accounts} == {
        "0101": ["101", "Food"],
        "2010": ["2011"],
    }


def test_merges_are_followed_to_their_end(book):
    book.preprocess["labels"].update(pad_to=4, merge={"1": "2", "0002": "0003"}, retire=["9"])
    run(book, *(row(account=code, memo=str(i)) for i, code in enumerate(["1", "0001", "2", "9"])))
    assert clean(book, "account") == ["0003"] * 3
    assert rejects(book) == [(5, "retired account", "account")]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"merge": {"0001": "0002", "0002": "0001"}}, "0001 becomes 0002 becomes 0001, which has"),
        ({"merge": {"0001": "0001"}}, "0001 becomes 0001, which has no end"),
        ({"merge": {"1": "0002", "0001": "0003"}}, "0001 stands there twice, with two new"),
        ({"merge": {"1": "2"}, "retire": ["2"]}, "0001 becomes 0002, and retire closes 0002"),
        ({"merge": {"1": "2"}, "retire": ["0001"]}, "0001 becomes 0002, and retire closes 0001"),
        ({"merge": {"1": "rent"}}, "merge: rent does not fit labels.pattern"),
    ],
)
def test_merges_that_cannot_be_are_one_line(book, labels, message):
    book.preprocess["labels"].update(pad_to=4, **labels)
    with pytest.raises(UserError, match=message) as error:
        run(book, row())
    assert str(error.value).startswith("params.yaml: preprocess.labels: merge: ")


def test_names_that_differ_in_case_are_one_name_for_masked_codes(book):
    book.preprocess["labels"]["masked_rule"] = "from_name"
    rows = [("0101", "Meals"), ("***", "MEALS"), ("2010", "RENT"), ("2020", "rent"), ("*", "Rent")]
    run(book, *(row(account=code, name=name) for code, name in rows))
    assert clean(book, "account") == ["0101", "0101", "2010", "2020"]
    assert rejects(book) == [(6, "masked account", "account")]


def test_duplicates_are_rows_equal_in_every_column(book):
    rows = [row(), row(memo="other"), row(), row(amount="1.0"), row(), row(account="")]
    report = run(book, *rows)
    assert rejects(book) == [(4, "duplicate", ""), (6, "duplicate", "")]
    assert report["rows_out"] == 3
    book.preprocess["duplicates"] = "keep"
    assert run(book, *rows)["rows_out"] == 5


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


def test_a_failing_stage_prints_nothing_personal(book):
    secret = "홍길동 800101-1234567"
    book.preprocess["max_reject_fraction"] = 0.0
    rows = [row(memo=secret, amount=secret), row(date=secret), row(account=secret), row()]
    with pytest.raises(UserError, match="3 of 4 rows were refused") as error:
        run(book, *rows)
    assert "800101" not in str(error.value)


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
    with pytest.raises(UserError, match=r"data/ingest/transactions.parquet: cannot be read"):
        book.run("preprocess")


@pytest.mark.parametrize("fault", ["cannot be read", "cannot be written"])
def test_the_progress_bar_leaves_the_line_to_the_error(book, capsys, fault):
    run(book, row())
    if fault == "cannot be read":
        path = Path("data/ingest/transactions.parquet")
        content = bytearray(path.read_bytes())
        content[20] ^= 1
        path.write_bytes(content)
    else:
        shutil.rmtree("data/preprocess")
        Path("data/preprocess").touch()
    capsys.readouterr()
    # The traceback that `found` holds would keep a bar open that nobody closes.
    with pytest.raises(UserError, match=rf"transactions.parquet.*: {fault}") as found:
        book.run("preprocess")
    err = capsys.readouterr().err
    assert found and "preprocess:" in err and err.endswith("\n")


def test_a_bad_pattern_is_one_line(book):
    book.preprocess["labels"]["pattern"] = "("
    with pytest.raises(UserError, match=r"params.yaml: preprocess.labels.pattern: .*regular"):
        run(book, row())
