"""The stage: the base table, and how its rows were made; or no file where a field leaks."""

from pathlib import Path

import ledger_files as ledger
import pytest
from ledger_files import HEADER, csv_text
from refusals import refused

from stages import feature
from stages.lib import tables
from stages.lib.contracts.feature import BASE, ROWS
from stages.lib.tables import read_json, read_table


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def rows(memo="thing {i}", vendor="shop {v}", count=40) -> list[list[str]]:
    return [
        ["2020-04-16", vendor.format(v=i % 5, a=i % 4), memo.format(i=i, a=i % 4), f"{i * 10}",
         f"010{i % 4}", f"Name of {i % 4}"]
        for i in range(count)
    ]  # fmt: skip


def run(book, table: list[list[str]]) -> dict:
    (book.raw / "a.csv").write_text(csv_text([HEADER, *table]))
    return book.run("ingest", "preprocess", "feature")


def test_it_writes_the_base_table_how_its_rows_were_made_and_a_report(book):
    report = run(book, rows())
    table = read_table(BASE)
    assert table["row_id"].to_pylist() == list(range(40))
    assert table["memo"][15].as_py() == "thing 15"
    assert (report["rows"], report["accounts"]) == (40, 4)
    assert report["fields"]["memo"] == {"leak_rate": 0.0, "copy_rate": 0.0}
    assert list(report["fields"]) == ["vendor", "memo", "amount_bucket"]
    made = read_json(ROWS)
    assert made["roles"] == {"vendor": "group", "memo": "text", "amount_bucket": "amount_bucket"}
    assert made["made_with"]["feature.fields"] == ["vendor", "memo", "amount_bucket"]
    assert made["made_with"]["ingest.mask"] == book.ingest["mask"]


def test_a_guard_changes_nothing_that_was_noted(book):
    run(book, rows())
    noted = ROWS.read_bytes()
    book.feature["max_leak_rate"] = 0.9
    book.preprocess["max_reject_fraction"] = 0.9
    book.run("feature")
    assert ROWS.read_bytes() == noted
    book.feature["amount_edges"] = [10.0]
    book.run("feature")
    assert ROWS.read_bytes() != noted


def test_row_groups_and_processes_make_no_difference(book, monkeypatch):
    run(book, rows(count=200))

    def outputs():
        return [Path(path).read_bytes() for path in (BASE, ROWS, feature.REPORT)]

    whole = outputs()
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 40)
    book.run("ingest", "preprocess")
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 100_000)
    monkeypatch.setattr(feature, "cores", lambda: 2)
    book.run("feature")
    assert outputs() == whole


def test_a_field_that_has_the_account_in_it_is_refused_and_leaves_no_file(book):
    with refused("leaking-field", "feature.fields: memo", "100.0%"):
        run(book, rows(memo="for 010{a}"))
    assert list((book.folder / "data/feature").iterdir()) == []
    book.feature["max_leak_rate"] = 1.0
    assert run(book, rows(memo="for 010{a}"))["fields"]["memo"]["leak_rate"] == 1.0


def test_a_copy_of_the_account_in_other_words_is_refused(book):
    book.feature["max_copy_rate"] = 0.95
    run(book, rows(vendor="kind {a} {v}"))
    BASE.unlink()
    with refused("copied-account", "feature.fields: vendor", "100.0%"):
        run(book, rows(vendor="kind {a}"))
    assert not BASE.exists()


def test_a_column_that_the_ledger_lacks_is_named(book):
    book.feature["fields"] = ["colour"]
    with refused("unsuitable-column", "feature.fields", "colour"):
        run(book, rows())
