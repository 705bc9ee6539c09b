"""`ingest` as a stage: what it reads and writes, and what it leaves when it fails."""

import os
import resource

import ledger_files as ledger
import pyarrow.parquet as pq
import pytest
from ledger_files import HEADER, ROWS, csv_text, ingest_params, many
from project import run_stage
from refusals import refused

from stages import ingest
from stages.lib.contracts.ingest import REJECTS, REJECTS_SCHEMA, TRANSACTIONS, transactions_schema
from stages.lib.ledger import reading, text_files
from stages.lib.tables import read_json, read_table

OUTPUTS = (TRANSACTIONS, REJECTS, ingest.REPORT)


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def outputs() -> list[bytes]:
    return [path.read_bytes() for path in OUTPUTS]


def test_the_stage_writes_what_reading_returns(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS, ["", "", "", "9", "", ""]]))
    (book.raw / "b.csv").write_text(csv_text([HEADER, *many(3)]))
    (book.raw / "c.csv").write_text(csv_text([HEADER]))
    book.run("ingest")
    whole = reading.read_ledger(ingest_params("raw"))
    assert read_json(ingest.REPORT) == whole.report
    for path, table in ((TRANSACTIONS, whole.transactions), (REJECTS, whole.rejects)):
        assert read_table(path).to_pylist() == table.to_pylist()
    assert pq.read_schema(TRANSACTIONS) == transactions_schema(ingest_params("raw").roles)
    assert pq.read_schema(REJECTS) == REJECTS_SCHEMA
    assert pq.read_schema(TRANSACTIONS).field("account").metadata == {b"role": b"label"}


def test_outputs_are_the_same_bytes_for_any_blocks_and_processes(book, monkeypatch):
    rows = [[*row[:2], f"call 010-1234-{i:04}", *row[3:]] for i, row in enumerate(many(300))]
    text = csv_text([HEADER, *rows]) + '2020-04-16,a,"5" pipe",1,0101,X\n' * 30 + "\n"
    (book.raw / "a.csv").write_text(text + csv_text(rows))
    book.run("ingest")
    whole = outputs()
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 700)
    book.run("ingest")
    assert outputs() == whole
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(reading, "cores", lambda: 2)
    book.run("ingest")
    assert outputs() == whole


def test_remarks_are_printed(book, capsys):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    pq.write_table(
        reading.read_ledger(ingest_params("raw")).transactions.rename_columns(
            {"date": "Date", "amount": "Amount", "account": "Account", "name": "Account name"}
        ),
        book.raw / "b.parquet",
    )
    report = book.run("ingest")
    (remark,) = report["remarks"]
    assert remark.startswith("b.parquet: ")
    counts, *others, said = capsys.readouterr().err.splitlines()
    assert counts == f"ingest: {report['rows_out']} of {report['rows_read']} rows taken"
    assert len(others) == (report["rows_rejected"] > 0)
    assert said == f"ingest: {remark}"


def test_a_ledger_that_is_saved_while_ingest_reads_it_leaves_no_tables(book, monkeypatch):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    (book.raw / "b.csv").write_text(csv_text([HEADER, *ROWS]))

    def save_after_reading(*arguments, **options):
        yield from reading.read_parts(*arguments, **options)
        (book.raw / "a.csv").write_text(csv_text([HEADER, *many(2)]))

    book.run("ingest")
    monkeypatch.setattr(ingest, "read_parts", save_after_reading)
    with refused("file-changed", "a.csv"):
        book.run("ingest")
    assert not any(path.exists() for path in OUTPUTS)


def test_a_stage_that_fails_leaves_nothing_and_prints_one_line(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *many(2), ["", "a", "b", "1", "0101", ""]]))
    book.ingest["max_reject_fraction"] = 0.1
    with refused("too-many-rejects", "a.csv row 4"):
        book.run("ingest")
    assert not (book.folder / "metrics").exists()
    assert list((book.folder / "data/ingest").iterdir()) == []
    done = run_stage("ingest", book.folder, PYTHONPATH=os.path.dirname(os.path.dirname(__file__)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error[too-many-rejects]: params.yaml: ingest.")


def test_an_output_that_cannot_be_written_is_named_and_the_old_one_stays(book):
    (book.raw / "a.csv").write_text(csv_text([HEADER, *ROWS]))
    book.run("ingest")
    before = TRANSACTIONS.read_bytes()
    rows = [[*r[:2], os.urandom(40).hex(), *r[3:]] for r in many(20_000)]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with refused("cannot-write", str(TRANSACTIONS)):
            book.run("ingest")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert TRANSACTIONS.read_bytes() == before
    names = sorted(path.name for path in TRANSACTIONS.parent.iterdir())
    assert names == ["rejects.parquet", "transactions.parquet"]
