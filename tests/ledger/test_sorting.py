"""The rows of a sheet become transactions and rejects; only the header itself is left out."""

from collections import Counter

from ledger_files import HEADER, ROWS, ingest_params, places

from stages.lib.contracts.ingest import REJECTS_SCHEMA, transactions_schema
from stages.lib.ledger.cells import Records
from stages.lib.ledger.headers import NO_LAYOUT, Layout
from stages.lib.ledger.sheets import Sheet
from stages.lib.ledger.sorting import sort_rows

LAYOUT = Layout(2, HEADER, dict(zip(places(), range(6), strict=True)), 6)
PARAMS = ingest_params("raw")


def sort(records: Records, layout: Layout = LAYOUT):
    sheet = Sheet("a.xlsx", "S", layout)
    return sort_rows(records, sheet, PARAMS.reading[0], PARAMS, b"key")


def test_every_row_but_the_header_is_in_one_of_two_tables():
    phone = [*ROWS[1][:2], "call 010-1234-5678", *ROWS[1][3:]]
    rows = [["title"], HEADER, ROWS[0], phone, [*ROWS[2][:4], "", "a@b.org"]]
    part = sort(Records(rows, [1, 2, 3, 4, 6], [(5, "stray a@b.org")]))
    assert part.transactions.schema == transactions_schema(PARAMS.roles)
    assert part.rejects.schema == REJECTS_SCHEMA
    assert part.transactions.drop_columns("masked").to_pylist() == [
        {"source_file": "a.xlsx", "source_sheet": "S", "source_row": number,
         **dict(zip(places(), row, strict=True))}
        for number, row in ((3, ROWS[0]), (4, [*phone[:2], "call [phone]", *phone[3:]]))
    ]  # fmt: skip
    digests = part.transactions["masked"].to_pylist()
    assert digests[0] == "" and len(digests[1]) == 32
    assert [tuple(row.values())[2:] for row in part.rejects.to_pylist()] == [
        (1, "above the header", ["title"]),
        (5, "stray quote", ["stray [email]"]),
        (6, "no account", [*ROWS[2][:4], "", "[email]"]),
    ]


def test_what_was_seen_is_counted():
    rows = [HEADER, *ROWS, ["", "", "", "9", "", ""]]
    part = sort(Records(rows, [2, 3, 4, 5, 6, 7]))
    seen = part.sheet
    assert (seen.rows_read, seen.reasons) == (5, Counter(subtotal=1))
    assert seen.content["account"] == (4, 4, "", 0)
    assert seen.vocabulary["name"] == Counter(SUPPLIES=2, MEALS=1, TRAVEL=1)
    later = sort(Records(ROWS, [8, 9, 10, 11])).sheet
    assert later.vocabulary == {}
    seen.add(later)
    assert (seen.rows_read, seen.content["account"]) == (9, (8, 8, "", 0))


def test_a_sheet_without_rows_has_empty_tables():
    part = sort(Records([], []), NO_LAYOUT)
    assert (len(part.transactions), len(part.rejects), part.sheet.rows_read) == (0, 0, 0)
    assert part.transactions.schema == transactions_schema(PARAMS.roles)
