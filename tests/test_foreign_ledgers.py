"""Ledgers that are not the sample, from the file to the split, by parameters alone."""

from datetime import date
from pathlib import Path

import ledger_files as ledger
import pytest

from stages.lib.tables import read_table

KOREAN = Path(__file__).parent / "data/kr_political_funds/2016_slice.csv"
STAGES = ("ingest", "preprocess", "feature", "split")


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def test_political_funds_of_the_korean_assembly(book):
    """A slice of github.com/OhmyNews/KA-money (MIT, see LICENSE beside it), in CP949."""
    book.ingest.update(
        source=str(KOREAN),
        columns={
            "no": {"role": "id", "names": ["총연번"]},
            "party": {"role": "category", "names": ["당"]},
            "date": {"role": "date", "names": ["연월일"]},
            "description": {"role": "text", "names": ["내역"]},
            "amount": {"role": "amount", "names": ["지출액"]},
            "payee": {"role": "group", "names": ["사용처"]},
            "account": {"role": "label", "names": ["분류"]},
        },
        required=["date", "description", "amount", "account"],
        patterns={"account": "[^_]+_.+"},
    )
    book.preprocess["labels"].update(pattern="[^_]+_.+", masked="")
    book.feature.update(
        fields=["description", "payee", "amount_bucket"],
        group_column="payee",
        amount_edges=[0, 10_000, 100_000],
    )
    report = book.run("ingest")
    (sheet,) = report["sheets"]
    assert (sheet["encoding"], sheet["delimiter"], sheet["header_row"]) == ("cp949", "comma", 1)
    assert sheet["columns_not_used"] == ["의원번호", "의원명", "당ID", "지역명"]
    assert (report["rows_read"], report["rows_out"]) == (307, 307)
    report = book.run("preprocess")
    assert report["reasons"] == {"duplicate": 2}
    assert (report["rows_out"], report["accounts"]) == (305, 29)
    chart = {row["acct_code"]: row["rows"] for row in
             read_table("data/preprocess/accounts.parquet").to_pylist()}  # fmt: skip
    assert chart["사무실_유지비용"] == 72
    report = book.run("feature", "split")
    assert sum(side["rows"] for side in report["sides"].values()) == 305
    assert report["border"]["test_rows_identical_to_train"] == 0
    base = read_table("data/feature/base.parquet").to_pylist()
    negative = [row for row in base if row["amount"] < 0]
    assert {row["amount_bucket"] for row in negative} == {"<0"}
    assert negative[0]["description"] == "환불(1.11매출취소건)"


def test_a_japanese_journal_without_header(book):
    """Shift JIS, dates of the Reiwa era, telephone numbers between full-width spaces."""
    accounts = ["旅費交通費", "消耗品費", "会議費"]
    lines = [
        f"2000,{i},,R06/{i % 12 + 1:02}/{i % 28 + 1:02},{accounts[i % 3]},,課対仕入10%,"
        f'"{i},000",現金,文具 第{i}回　03-1234-{i:04}　㈱コクヨ'
        for i in range(1, 61)
    ]
    (book.raw / "仕訳日記帳.txt").write_bytes("\r\n".join(lines).encode("cp932"))
    columns = ("date", 4), ("account", 5), ("amount", 8), ("memo", 10)
    book.ingest["columns"] = {name: book.ingest["columns"][name] for name, _ in columns}
    book.ingest["reading"][0].update(header_row=0, positions=dict(columns))
    book.ingest["patterns"] = {}
    book.preprocess["labels"].update(pattern=".+費", masked="")
    book.feature.update(fields=["memo", "amount_bucket"], group_column=None)
    report = book.run("ingest")
    assert report["sheets"][0]["encoding"] == "cp932"
    assert report["cells_masked"] == {"phone in memo": 60}
    report = book.run("preprocess", "feature", "split")
    assert sum(side["rows"] for side in report["sides"].values()) == 60
    rows = book.rows("preprocess/transactions", ["date", "memo", "amount", "account"])
    assert rows == [
        (date(2024, i % 12 + 1, i % 28 + 1), f"文具 第{i}回 [phone] (株)コクヨ", i * 1000.0,
         accounts[i % 3])
        for i in range(1, 61)
    ]  # fmt: skip


def test_a_german_ledger_with_commas_and_two_columns_for_text(book):
    header = (
        "Buchungsdatum;Belegnr.;Lieferant;Buchungstext;Zusatz;Betrag;Währung;Konto;Kontobezeichnung"
    )
    lines = ["Kontoauszug Müller GmbH;;;;;;;;", header]
    lines += [
        f"{1 + i % 28:02}.03.2021;RE-{i};Groß & Söhne {i % 9};Büromaterial {i};;1.{100 + i},50;EUR;"
        f"{['04930', '06300', '06815'][i % 3]};Konto {i % 3}"
        for i in range(60)
    ]
    lines += [
        "31.03.2021;;Summe;;;81.234,00;EUR;;",
        "31.03.2021;RE-99;Gutschrift;Rückgabe;;12,50-;EUR;06815;",
    ]
    (book.raw / "buch.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    book.ingest.update(
        columns={
            "document": {"role": "id", "names": ["belegnr."]},
            "date": {"role": "date", "names": ["buchungsdatum"]},
            "vendor": {"role": "group", "names": ["lieferant"]},
            "text": {"role": "text", "names": ["buchungstext"]},
            "more": {"role": "text", "names": ["zusatz"]},
            "amount": {"role": "amount", "names": ["betrag"]},
            "account": {"role": "label", "names": ["konto"]},
            "name": {"role": "label_name", "names": ["kontobezeichnung"]},
        },
        patterns={"account": "[0-9]{5}"},
        total_words=["summe", "saldo"],
    )
    book.preprocess.update(decimal="comma", date_order="dmy")
    book.preprocess["labels"]["pattern"] = "[0-9]{5}"
    book.feature["fields"] = ["vendor", "text", "more", "amount_bucket"]
    report = book.run("ingest")
    assert report["sheets"][0]["encoding"] == "cp1252"
    assert book.rejects() == [(1, "above the header"), (63, "subtotal")]
    book.run("preprocess")
    rows = book.rows("preprocess/transactions", ["date", "vendor", "amount", "account"])
    assert (str(rows[0][0]), *rows[0][1:]) == ("2021-03-01", "gross & söhne 0", 1100.5, "04930")
    assert rows[-1][2] == -12.5
    assert book.run("feature", "split")["rows"] == 61


def test_a_ledger_of_two_columns_only(book):
    lines = ["text\taccount"] + [f"word{i % 50} of {i}\t{i % 4:04}" for i in range(200)]
    (book.raw / "a.txt").write_text("\n".join(lines), encoding="utf-16")
    book.ingest.update(
        columns={
            "text": {"role": "text", "names": ["text"]},
            "account": {"role": "label", "names": ["account"]},
        },
        required=["text", "account"],
    )
    book.feature.update(fields=["text"], date_column=None, amount_column=None, group_column=None)
    report = book.run(*STAGES)
    assert report["rows"] == 200
    assert report["sides"]["test"]["first_date"] is None


def test_codes_that_a_spreadsheet_made_numbers(book):
    rows = [["2020-04-16", f"shop {i % 5}", f"thing {i}", i + 0.5, float(100 + i % 3), "X"]
            for i in range(30)]  # fmt: skip
    ledger.write_xlsx(book.raw / "a.xlsx", {"S": [ledger.HEADER, *rows]})
    book.ingest["patterns"] = {"account": "[0-9]{3,4}"}
    book.preprocess["labels"]["pad_to"] = 4
    book.run(*STAGES)
    chart = read_table("data/preprocess/accounts.parquet")
    assert chart["acct_code"].to_pylist() == ["0100", "0101", "0102"]


def test_vouchers_with_texts_that_go_on_and_sub_accounts(book):
    rows = []
    for i in range(40):
        sub = ["", "01", "02"][i % 3]
        rows += [
            [f"V{i}", f"2024-03-{i % 28 + 1:02}", f"Shop {i % 5}", f"thing {i}", "5", "4100", sub],
            ["", "", "", "and what belongs to it", "", "", ""],
            ["", "", "", "", f"{i}.50", "4200", sub],
        ]
        if i % 4 == 0:
            rows[-3][2] = ""
    header = ["Voucher", "Date", "Vendor", "Memo", "Amount", "Account", "Sub"]
    (book.raw / "a.csv").write_text(ledger.csv_text([header, *rows]))
    columns = book.ingest["columns"]
    del columns["name"]
    columns["doc"] = {"role": "id", "names": ["voucher"]}
    columns["sub"] = {"role": "label_part", "names": ["sub"]}
    pattern = "[0-9]{4}(/[0-9]{2})?"
    book.ingest.update(
        fill_down=["doc", "date", "vendor", "memo"],
        wrapped=["memo"],
        label_separator="/",
        patterns={"account": pattern},
        max_reject_fraction=0.0,
    )
    book.preprocess["labels"].update(pattern=pattern, masked="")
    report = book.run("ingest")
    assert (report["rows_read"], report["rows_out"]) == (120, 80)
    assert report["reasons"] == {"joined to the row above": 40}
    book.run("preprocess")
    rows = book.rows("preprocess/transactions", ["vendor", "memo", "account"])
    assert rows[:4] == [
        ("", "thing 0 and what belongs to it", "4100"),
        ("", "thing 0 and what belongs to it", "4200"),
        ("shop 1", "thing 1 and what belongs to it", "4100/01"),
        ("shop 1", "thing 1 and what belongs to it", "4200/01"),
    ]
    assert {vendor for vendor, _, _ in rows[8:10]} == {""}
    chart = read_table("data/preprocess/accounts.parquet")
    assert chart["acct_code"].to_pylist() == [
        "4100", "4100/01", "4100/02", "4200", "4200/01", "4200/02"
    ]  # fmt: skip
    assert book.run("feature", "split")["rows"] == 80
