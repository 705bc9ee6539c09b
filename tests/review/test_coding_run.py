"""Files are coded into one sheet: every row once, with its decision, whatever the files are."""

import itertools
import random
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from coded_files import PLACE, code, coded, read_coded, rules, sections, with_cells
from ledger_files import csv_text, write_ods, write_xlsx
from project import ROOT
from python_calamine import CalamineWorkbook
from refusals import refused
from small_ledger import HEADER, ledger_rows, write_ledger, write_new_rows
from trained_project import change_calibration, change_json, write_light_models

from stages.lib.checksums import digests_of
from stages.lib.review import audit
from stages.lib.review.words import load_words
from stages.lib.tables import read_json

BLANK = [""] * len(HEADER)


@pytest.fixture(autouse=True)
def project(light_project, monkeypatch):
    """Run each test in a project whose language model has no weight."""
    monkeypatch.chdir(light_project)


@pytest.fixture
def own_project(light_project, tmp_path, monkeypatch) -> Path:
    """Run the test in a copy of the project, which it may change."""
    monkeypatch.chdir(shutil.copytree(light_project, tmp_path / "project"))
    return tmp_path / "project"


def save(path: Path, rows: list[list[str]], header: list[str] = HEADER, delimiter=",") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(csv_text([header, *rows], delimiter), encoding="utf-8")
    return path


def own_cells(row: dict[str, str] | list[str]) -> list[str]:
    """Return the cells under the ledger's titles; an amount as the number that it is."""
    cells = list(row.values() if isinstance(row, dict) else row)[: len(HEADER)]
    with suppress(ValueError):
        cells[PLACE["Transaction Amt."]] = str(float(cells[PLACE["Transaction Amt."]]))
    return cells


def decisions(rows: list[dict]) -> list[tuple[str, str]]:
    return [(row["decision"], row["reason"]) for row in rows]


def certain(**predict: object):
    """Return parameters without a random check."""
    return sections(review=rules(share=0.0, **predict.pop("rules", {})), **predict)


def test_rows_of_several_formats_are_there_once_and_in_their_order(tmp_path):
    rows = ledger_rows(12)
    total = ["" if name != "Transaction Amt." else "99.00" for name in HEADER]
    lot = [["Statement", *BLANK[1:]], HEADER, *rows[:3], BLANK, total, HEADER, rows[3]]
    folder = tmp_path / "new"
    save(folder / "a.csv", lot[2:])
    write_xlsx(folder / "b.xlsx", {"one": lot, "none": [], "two": [HEADER, *rows[4:6]]})
    write_ods(folder / "c.ods", lot)
    columns = list(map(pa.array, zip(*rows[6:9], strict=True)))
    pq.write_table(pa.table(columns, HEADER), folder / "d.parquet")
    found = coded([folder], tmp_path / "out.csv", certain())
    places = [(row["source_file"], row["source_sheet"], int(row["source_row"])) for row in found]
    book = [1, 3, 4, 5, 6, 7, 8, 9]
    assert places == [
        *(("a.csv", "", line) for line in range(2, 9)),
        *(("b.xlsx", "one", line) for line in book),
        *(("b.xlsx", "two", line) for line in (2, 3)),
        *(("c.ods", "S", line) for line in book),
        *(("d.parquet", "", line) for line in (1, 2, 3)),
    ]
    said = decisions(found)
    assert [reason for decision, reason in said[:7] if decision == "none"] == [
        "blank row",
        "subtotal",
        "repeated header",
    ]
    assert said[7] == ("none", "above the header")
    # The cells of the file come first, under its titles, as they are there.
    assert list(found[0])[: len(HEADER)] == HEADER
    assert list(map(own_cells, found[:3])) == list(map(own_cells, rows[:3]))
    # The same row is coded in the same way in any format.
    ours = ("decision", "acct_code", "probability", "why_1", "seen_merchant", "seen_amount")
    same = [[row[key] for key in ours] for row in found if row["source_row"] and row["key"]]
    assert same[:4] == same[4:8] == same[10:14]


def test_a_bank_s_file_is_coded_as_the_ledger_s_own_form_is(tmp_path):
    rows = ledger_rows(8)
    own = coded([save(tmp_path / "own.csv", rows)], tmp_path / "own_out.csv", certain())
    titles = ["Buchungstag", "Betrag", "Zweck", "Payee", "Unit", "Kind", "Centre", "Ref"]
    names = ["Transaction Date", "Transaction Amt.", "Purpose", "Merchant Name", "Division"]
    names += ["Merchant Type Description", "Cost Centre / WBS Element Description"]
    bank = []
    for number, row in enumerate(rows):
        cells = [row[PLACE[name]] for name in names]
        year, month, day = cells[0].split("-")
        cells[:2] = [f"{day}.{month}.{year}", cells[1].replace(".", ",")]
        bank.append([*cells, f"R{number}"])
    save(tmp_path / "bank.csv", bank, titles, ";")
    keys = ["date", "amount", "purpose", "merchant", "division", "merchant_category", "cost_centre"]
    columns = "".join(
        f"    {key}: {{names: [{title}]}}\n" for key, title in zip(keys, titles, strict=False)
    )
    reading = tmp_path / "bank.yaml"
    reading.write_text(
        f"ingest:\n  columns:\n{columns}preprocess: {{decimal: comma, date_order: dmy}}\n"
    )
    params = sections(reading)
    params.predict = certain().predict
    found = coded([tmp_path / "bank.csv"], tmp_path / "bank_out.csv", params)
    seen = [key for key in own[0] if key.startswith("seen_")]
    for key in ("acct_code", "probability", "choice_2", "choice_3", "why_1", *seen):
        assert [row[key] for row in found] == [row[key] for row in own], key
    assert [row["Ref"] for row in found] == [f"R{number}" for number in range(8)]
    amounts = [float(row["Betrag"].replace(",", ".")) for row in found]
    assert amounts == [float(row["seen_amount"]) for row in found]


def test_an_account_that_is_filled_is_carried_along_and_compared(tmp_path):
    rows = ledger_rows(6)
    plain = coded([save(tmp_path / "a.csv", rows)], tmp_path / "a_out.csv", certain())
    for row, found in zip(rows, plain, strict=True):
        row[PLACE["G/L Account"]] = found["acct_code"]
    rows[1][PLACE["G/L Account"]] = "1234"
    rows[2][PLACE["G/L Account"]] = ""
    found = coded([save(tmp_path / "b.csv", rows)], tmp_path / "b_out.csv", certain())
    assert [row["G/L Account"] for row in found] == [row[PLACE["G/L Account"]] for row in rows]
    differs = ["the file has the account" in row["reason"] for row in found]
    assert differs == [False, True, False, False, False, False]
    assert "1234" in found[1]["reason"] and found[1]["decision"] == "review"
    assert [row["acct_code"] for row in found] == [row["acct_code"] for row in plain]


def test_rows_that_cannot_be_read_are_refused_and_the_others_coded(tmp_path):
    rows = ledger_rows(6)
    rows[1] = with_cells(rows[1], transaction_amt="unknown")
    rows[2] = with_cells(rows[2], transaction_date="someday")
    rows[3] = with_cells(rows[3], merchant_name="")
    found = coded([save(tmp_path / "a.csv", rows)], tmp_path / "out.csv", certain())
    assert [row["reason"] for row in found if row["decision"] == "refused"] == [
        "unreadable amount in amount",
        "unreadable date in date",
        "no merchant",
    ]
    assert [row["decision"] in ("post", "review") for row in found] == [
        True, False, False, False, True, True
    ]  # fmt: skip
    assert all(not row["key"] and not row["acct_code"] for row in found[1:4])
    assert found[1]["Transaction Amt."] == "unknown"


def test_no_text_of_the_input_is_masked_in_the_sheet_or_found_in_the_audit_file(tmp_path):
    rows = [with_cells(ledger_rows(1)[0], purpose="jane@example.com")]
    rows[0][0] = "doc-4711"
    (found,) = coded([save(tmp_path / "a.csv", rows)], tmp_path / "out.csv")
    assert found["Purpose"] == "jane@example.com" and found["seen_purpose"] == "[email]"
    assert found[HEADER[0]] == "doc-4711"
    said = (tmp_path / "out.csv.audit.json").read_text()
    assert not any(text in said for text in ("jane", "doc-4711", rows[0][2], "[email]"))


@pytest.mark.parametrize("ending", [".xlsx", ".csv", ".parquet"])
def test_the_same_input_makes_the_same_bytes(tmp_path, ending):
    path = save(tmp_path / "a.csv", ledger_rows(20))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        code([path], tmp_path / folder / f"out{ending}")
    one, two = (sorted((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    assert [file.name for file in one] == [f"out{ending}", f"out{ending}.audit.json"]
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_a_row_coded_alone_is_coded_as_among_others(tmp_path):
    rows = ledger_rows(30)
    together = coded([save(tmp_path / "all/a.csv", rows)], tmp_path / "all.csv")
    for number in (0, 7, 29):
        # At its own place, as the place is part of the key.
        lone = [*[BLANK] * number, rows[number]]
        path = save(tmp_path / f"lone{number}/a.csv", lone)
        assert coded([path], tmp_path / f"{number}.csv")[-1] == together[number]


def test_the_random_check_draws_the_same_rows_whatever_else_is_coded(tmp_path):
    rows = ledger_rows(60)
    params = sections(review=rules(share=0.5))

    def drawn(found: list[dict]) -> set[str]:
        return {row["source_row"] for row in found if "random check" in row["reason"]}

    path = save(tmp_path / "a.csv", rows)
    first = drawn(coded([path], tmp_path / "1.csv", params))
    assert 5 < len(first) < 50
    other = save(tmp_path / "b.csv", rows[::-1])
    both = coded([path, other], tmp_path / "2.csv", params)
    assert drawn(row for row in both if row["source_file"] == "a.csv") == first
    assert drawn(row for row in both if row["source_file"] == "b.csv") != first


def test_what_is_never_posted_unseen(tmp_path):
    path = save(tmp_path / "a.csv", ledger_rows(20))
    posted = [
        row for row in coded([path], tmp_path / "0.csv", certain()) if row["decision"] == "post"
    ]
    account, vendor = posted[0]["acct_code"], posted[0]["Merchant Name"]
    amount = max(float(row["Transaction Amt."]) for row in posted)
    listed = {"accounts": [account], "amount_above": amount - 0.01, "vendors": [f"{vendor[:4]}*"]}
    listed |= {"fewer_rows_than": 1000}
    for number, (key, value) in enumerate(listed.items(), 1):
        found = coded([path], tmp_path / f"{number}.csv", certain(rules={key: value}))
        still = {row["source_row"] for row in found if row["decision"] == "post"}
        is_named = {
            "accounts": lambda row: row["acct_code"] == account,
            "amount_above": lambda row: float(row["Transaction Amt."]) > amount - 0.01,
            "vendors": lambda row, start=vendor[:4]: row["Merchant Name"].startswith(start),
            "fewer_rows_than": lambda row: True,
        }[key]
        assert still == {row["source_row"] for row in posted if not is_named(row)}, key
    assert coded([path], tmp_path / "9.csv", certain(rules={"accounts": ["4711"]})) == (
        read_coded(tmp_path / "0.csv")
    )


def test_a_list_of_accounts_that_the_model_does_not_have_is_told(tmp_path):
    path = save(tmp_path / "a.csv", ledger_rows(2))
    done = code([path], tmp_path / "o.csv", certain(rules={"accounts": ["4711", "0101"]}))
    assert "predict.review.accounts: the model has no account 4711" in done.remarks


@pytest.mark.parametrize("certificate", [[], [[0.9, 20.0, 0.0]], [[0.9, 500.0, 60.0]]])
def test_without_a_certified_threshold_no_row_is_posted_and_it_says_so(
    own_project, tmp_path, certificate
):
    change_calibration(certificate=certificate)
    done = code([save(tmp_path / "a.csv", ledger_rows(9))], tmp_path / "out.csv")
    assert done.threshold is None and done.counts["post"] == 0 and done.counts["review"] == 9
    assert any("no row is posted" in line and "95.0%" in line for line in done.remarks)
    assert all("probability" in row["reason"] for row in read_coded(tmp_path / "out.csv"))


def test_a_precision_that_is_not_certain_posts_nothing(tmp_path):
    path = save(tmp_path / "a.csv", ledger_rows(9))
    assert code([path], tmp_path / "1.csv").threshold == 0.4
    assert code([path], tmp_path / "2.csv", sections(precision=0.99)).threshold is None


def test_a_block_that_is_posted_elsewhere_in_one_of_ten_cases_is_reviewed(own_project, tmp_path):
    from stages import feature, ingest, preprocess

    block, fee = ledger_rows(60), ["BLOCK INC", "monthly fee"]
    for number, row in enumerate(block[:40]):
        row[PLACE["Merchant Name"]], row[PLACE["Purpose"]] = fee
        row[PLACE["Transaction Amt."]] = "25.00"
        row[6:8] = ["WATER", "SERVICE"]
        row[9] = "PARKS"
        code_, name = ("0101", "PARKING") if number % 10 else ("2010", "OFFICE SUPPLIES")
        row[4:6] = [code_, name]
    write_ledger(Path("data/raw/ledger.csv"), block)
    for stage in (ingest, preprocess, feature):
        stage.main()
    write_light_models()
    (row,) = coded([save(tmp_path / "a.csv", [block[1]])], tmp_path / "out.csv", certain())
    assert row["acct_code"] == "0101" and float(row["probability"]) > 0.4
    assert row["reason"] == "only 36 of 40 equal past postings have this account"
    assert row["decision"] == "review"


def test_a_sheet_that_was_coded_is_no_input(tmp_path):
    path = save(tmp_path / "a.csv", ledger_rows(3))
    for ending in (".csv", ".xlsx", ".parquet"):
        out = tmp_path / f"out{ending}"
        code([path], out)
        with refused("coded-sheet", out.name, "stages.learn"):
            code([out], tmp_path / "again.csv")
    assert not (tmp_path / "again.csv").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_files_of_other_columns_are_under_one_header(tmp_path):
    rows = ledger_rows(2)
    save(tmp_path / "n/a.csv", [[*rows[0], "x", "1"]], [*HEADER, "Note", ""])
    save(tmp_path / "n/b.csv", [["y", *rows[1], "z"]], ["Note", *HEADER, "Note"])
    found = coded([tmp_path / "n"], tmp_path / "out.csv")
    titles = list(found[0])[: len(HEADER) + 3]
    assert titles == [*HEADER, "Note", "column 12", "Note (2)"]
    assert [[row[name] for name in titles[-3:]] for row in found] == [
        ["x", "1", ""],
        ["y", "", "z"],
    ]


def test_a_header_alone_and_an_empty_file_are_refused_by_name(tmp_path):
    with refused("no-transactions", str(tmp_path / "a.csv")):
        code([save(tmp_path / "a.csv", [])], tmp_path / "out.csv")
    (tmp_path / "b.csv").touch()
    with refused("file-empty", str(tmp_path / "b.csv")):
        code([tmp_path / "b.csv"], tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_the_sheet_is_in_the_language_that_is_asked_for(tmp_path):
    path = save(tmp_path / "a.csv", [*ledger_rows(2), BLANK])
    found = coded([path], tmp_path / "out.csv", certain(language="ko"))
    words = load_words("ko")
    assert list(found[0])[len(HEADER)] == words["titles"]["decision"]
    assert list(found[2].values())[len(HEADER) :][:2] == [
        words["decisions"]["none"],
        words["rejects"]["blank row"],
    ]
    code([path], tmp_path / "out.xlsx", certain(language="ko"))
    names = CalamineWorkbook.from_path(tmp_path / "out.xlsx").sheet_names
    assert len(names) == 4 and not any(name.isascii() for name in names)


def test_the_audit_file_and_the_counts_are_of_the_rows(tmp_path):
    path = save(
        tmp_path / "a.csv",
        [*ledger_rows(7), BLANK, with_cells(ledger_rows(1)[0], merchant_name="")],
    )
    done, out = code([path], tmp_path / "out.xlsx"), tmp_path / "out.xlsx"
    said = read_json(tmp_path / "out.xlsx.audit.json")
    assert said["counts"] == dict(done.counts)
    assert list(said["counts"]) == ["post", "review", "refused", "none"]
    assert (done.rows, done.counts["refused"], done.counts["none"]) == (9, 1, 1)
    assert sum(done.counts.values()) == 9
    assert said["inputs"] == digests_of([path])
    assert said["thresholds"]["posted"] == done.threshold == 0.4
    assert said["parameters"]["predict"]["precision"] == 0.95
    assert audit.verify(out, Path("models"), [path]) == []


def test_a_result_that_is_too_long_for_a_sheet_is_refused_before_a_row_is_coded(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("stages.lib.review.writing.MOST_ROWS", 3)
    monkeypatch.setattr("stages.lib.review.coding_run.code_base", None)
    with refused("too-large-for-a-sheet", "out.xlsx", ".parquet"):
        code([save(tmp_path / "a.csv", ledger_rows(4))], tmp_path / "out.xlsx")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_an_audit_file_that_cannot_be_written_leaves_no_sheet(tmp_path):
    (tmp_path / "out.csv.audit.json").write_text("mine")
    with refused("output-exists", "out.csv.audit.json"):
        code([save(tmp_path / "a.csv", ledger_rows(4))], tmp_path / "out.csv")
    assert (tmp_path / "out.csv.audit.json").read_text() == "mine"
    assert not (tmp_path / "out.csv").exists()


def test_odd_texts_of_columns_that_nobody_uses_come_through(tmp_path):
    odd = [
        "=1+1",
        "+cmd",
        "a\x07b",
        "2024-05-01T12:00:00+09:00",
        "1789-07-14",
        "x" * 40_000,
        "\ud7a4",
    ]
    rows = [[*row, text] for row, text in zip(ledger_rows(len(odd)), odd, strict=True)]
    path = save(tmp_path / "a.csv", rows, [*HEADER, "Other"])
    found = coded([path], tmp_path / "out.csv")
    assert [row["Other"].removeprefix("'") for row in found] == odd
    done = code([path], tmp_path / "out.xlsx")
    assert any("1 texts are longer than a cell can be" in line for line in done.remarks)
    sheet = CalamineWorkbook.from_path(tmp_path / "out.xlsx").get_sheet_by_index(0).to_python()
    cells = [row[len(HEADER)] for row in sheet[1:]]
    assert cells[0] == "=1+1" and len(cells[5]) == 32_767
    code([path], tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["Other"].to_pylist() == odd


def test_dates_before_1900_and_of_any_zone_are_read_or_refused_never_lost(tmp_path):
    days = ["1789-07-14", "2018-05-01T23:30:00+09:00", "0001-01-01", "9999-12-31", "2018-02-30"]
    rows = [with_cells(ledger_rows(1)[0], transaction_date=day) for day in days]
    rows += ledger_rows(30)
    for ending in (".csv", ".xlsx"):
        code([save(tmp_path / "a.csv", rows)], tmp_path / f"out{ending}", certain())
    found = read_coded(tmp_path / "out.csv")
    assert [row["source_row"] for row in found] == [str(i) for i in range(2, 37)]
    # Dates are from 1900 to 2099. The model sees no time of day; 0001-01-01 means no date.
    assert [row["decision"] == "refused" for row in found[:5]] == [True, False, False, True, True]
    assert [row["seen_date"] for row in found[1:3]] == ["2018-05-01", ""]
    assert [row["Transaction Date"] for row in found[:5]] == days
    sheet = CalamineWorkbook.from_path(tmp_path / "out.xlsx").get_sheet_by_index(0).to_python()
    cells = [row[PLACE["Transaction Date"]] for row in sheet[1:6]]
    assert cells == days


def test_any_lot_of_rows_comes_back_row_by_row(tmp_path):
    choose = random.Random(5)
    good = ledger_rows(40)
    kinds = [
        *[lambda: choose.choice(good)] * 6,
        lambda: BLANK,
        lambda: HEADER,
        lambda: with_cells(choose.choice(good), transaction_amt="?"),
        lambda: with_cells(choose.choice(good), purpose='two\nlines; "quoted"'),
    ]
    lots = [[choose.choice(kinds)() for _ in range(choose.randrange(1, 30))] for _ in range(3)]
    lots = [[*good[:4], *lot] for lot in lots]
    for number, lot in enumerate(lots):
        save(tmp_path / f"n/{number}.csv", lot)
    found = coded([tmp_path / "n"], tmp_path / "out.csv")
    assert list(map(own_cells, found)) == list(map(own_cells, itertools.chain(*lots)))
    expected = {True: ("none",), False: ("post", "review", "refused")}
    for row, cells in zip(found, itertools.chain(*lots), strict=True):
        assert row["decision"] in expected[cells in (BLANK, HEADER)]
        assert (row["decision"] == "refused") == (cells[PLACE["Transaction Amt."]] == "?")


def test_what_the_documentation_shows_for_a_notebook_and_a_bank_runs(own_project, capsys):
    page = (ROOT / "docs/predict.md").read_text("utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    (bank,) = re.findall(r"^```yaml\n(.*?)^```", page, re.S | re.M)
    save(Path("april.csv"), ledger_rows(3))
    exec(lines, {})
    assert capsys.readouterr().out.startswith("Counter({") and Path("coded.parquet").is_file()
    Path("bank.yaml").write_text(bank)
    params = sections(Path("bank.yaml"))
    merchant = params.ingest.columns["merchant"]
    assert (merchant.role, merchant.names) == ("group", ["payee"])
    assert (params.preprocess.decimal, params.preprocess.date_order) == ("comma", "dmy")


def test_a_model_that_changes_is_found_by_verifying(own_project, tmp_path):
    path, out = save(tmp_path / "a.csv", ledger_rows(3)), tmp_path / "out.csv"
    code([path], out)
    assert audit.verify(out, Path("models"), [path]) == []
    change_json(Path("models/train/label_map.json"), more=1)
    write_new_rows(path, ledger_rows(4))
    assert [line.partition(":")[0] for line in audit.verify(out, Path("models"), [path])] == [
        "models/train/label_map.json",
        str(path),
    ]
