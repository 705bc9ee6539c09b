"""Texts that go on in the next rows are joined; what only looks so is not, and says why."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_files import INGEST, csv_text, many, read, write_xlsx
from refusals import refused

from stages.lib.ledger import text_files
from stages.lib.ledger.reasons import JOINED, LONE_TEXT
from stages.lib.ledger.wrapping import Wrapped

HEADER = ["Doc", "Date", "Vendor", "Memo", "Amount", "Account", "Name", "Balance"]
COLUMNS = {"doc": {"role": "id", "names": ["doc"]}, **INGEST["columns"]}
COLUMNS["name"] = {"role": "label_name", "names": ["name"]}


def line(number: int, vendor: str = "Shop", memo: str = "paper") -> list[str]:
    return [f"J{number}", "2024-01-03", vendor, memo, "5", "6100", "Office", "9"]


def rest(memo: str = "", vendor: str = "", doc: str = "", balance: str = "") -> list[str]:
    return [doc, "", vendor, memo, "", "", "", balance]


def write(folder, rows: list[list[str]]) -> None:
    (folder / "a.csv").write_text(csv_text([HEADER, *rows]), encoding="utf-8")


def wrapped(folder, rows: list[list[str]], **changes):
    """Return vendor and memo of each transaction in `rows`, and all that was read."""
    write(folder, rows)
    changes = {"columns": COLUMNS, "wrapped": ["memo", "vendor"], **changes}
    found = read(folder, **changes)
    assert found.report["rows_read"] == len(rows)
    assert found.report["rows_out"] + len(found.rejects) == len(rows)
    texts = (found.transactions[name].to_pylist() for name in ("vendor", "memo"))
    return list(zip(*texts, strict=True)), found


def test_texts_are_joined_to_the_row_above_over_several_rows(tmp_path):
    rows = [
        line(1, "Maple", "poster"),
        rest("for the", "Print"),
        rest(" fair, hall 3 "),
        rest("", "Works"),
        line(2),
        line(3, "Rail", ""),
        rest("return ticket"),
    ]
    found, ledger = wrapped(tmp_path, rows, max_reject_fraction=0.0)
    assert found == [
        ("Maple Print Works", "poster for the fair, hall 3"),
        ("Shop", "paper"),
        ("Rail", "return ticket"),
    ]
    assert ledger.rejects == [(3, JOINED), (4, JOINED), (5, JOINED), (8, JOINED)]
    assert ledger.rejects_table["cells"][0].as_py() == rows[1]
    assert ledger.report["reasons"] == {JOINED: 4} and ledger.remarks == []


def test_the_document_number_may_be_repeated(tmp_path):
    rows = [line(1), rest("more", doc="J1"), rest("and more", doc=" J1"), line(2)]
    found, ledger = wrapped(tmp_path, rows)
    assert found == [("Shop", "paper more and more"), ("Shop", "paper")]
    found, ledger = wrapped(tmp_path, [line(1), rest("no amount yet", doc="J2")])
    assert ledger.rejects == [(3, "no date")]


def test_lines_may_end_after_the_text(tmp_path):
    rows = [line(1), rest("more")[:4], ["", "", "GmbH"]]
    assert wrapped(tmp_path, rows)[0] == [("Shop GmbH", "paper more")]


@pytest.mark.parametrize(
    ("between", "is_joined"),
    [
        ([HEADER], True),
        ([[""] * 8, HEADER, [""] * 8], True),
        ([["", "", "", "Total", "5", "", "", ""], HEADER], True),
        ([[""] * 8], False),
        ([["", "", "", "Total", "5", "", "", ""]], False),
        ([["", "", "Shop", "no account", "5", "", "", ""]], False),
    ],
)
def test_a_page_break_may_be_in_between(tmp_path, between, is_joined):
    found, ledger = wrapped(
        tmp_path,
        [line(1), *between, rest("more"), rest("and more"), line(2)],
        max_reject_fraction=0.9,
    )
    assert found[0] == ("Shop", "paper more and more" if is_joined else "paper")
    last = len(between) + 3
    reason = JOINED if is_joined else LONE_TEXT
    assert ledger.rejects[-2:] == [(last, reason), (last + 1, reason)]


def test_a_text_that_belongs_to_no_transaction_is_refused(tmp_path):
    lost = line(2)
    lost[5] = ""
    rows = [rest("of last year"), line(1), lost, rest("of the lost row"), line(3)]
    found, ledger = wrapped(tmp_path, rows, max_reject_fraction=0.9)
    assert found == [("Shop", "paper"), ("Shop", "paper")]
    assert ledger.rejects == [(2, LONE_TEXT), (4, "no account"), (5, LONE_TEXT)]
    with refused("too-many-rejects", LONE_TEXT):
        wrapped(tmp_path, rows, max_reject_fraction=0.1)


def test_a_text_after_a_line_that_cannot_be_read_is_refused(tmp_path):
    text = csv_text([HEADER, line(1)]) + 'J2,2024-01-03,a,"5" pipe",1,6100,X,9\n'
    (tmp_path / "a.csv").write_text(text + csv_text([rest("more"), *map(line, range(3, 9))]))
    found = read(tmp_path, columns=COLUMNS, wrapped=["memo"])
    assert found.rejects == [(3, "stray quote"), (4, LONE_TEXT)]
    assert set(found.transactions["memo"].to_pylist()) == {"paper"}


def test_totals_are_not_joined_but_texts_that_begin_with_their_name_are(tmp_path):
    rows = [
        line(1),
        rest("total price with tax"),
        rest("Total:"),
        line(2),
        rest("Total", balance="9"),
    ]
    found, ledger = wrapped(tmp_path, rows)
    assert found == [("Shop", "paper total price with tax"), ("Shop", "paper")]
    assert ledger.rejects == [(3, JOINED), (4, "subtotal"), (6, "subtotal")]


def test_a_row_with_anything_else_is_not_joined(tmp_path):
    rows = [line(1), rest("carried forward", balance="9"), line(2), rest("x")]
    rows[3][4] = "7"
    found, ledger = wrapped(tmp_path, rows)
    assert found == [("Shop", "paper"), ("Shop", "paper")]
    assert ledger.rejects == [(3, "no date"), (5, "no date")]
    only_memo = wrapped(tmp_path, [line(1), rest("more", "Ltd")], wrapped=["memo"])
    assert only_memo[1].rejects == [(3, "no date")]


def test_joined_texts_are_filled_down_within_their_voucher(tmp_path):
    second = ["", "", "", "", "7", "6200", "Travel", ""]
    rows = [line(1), rest("more"), second, line(2, "", ""), second]
    fill_down = ["doc", "date", "vendor", "memo"]
    found, ledger = wrapped(tmp_path, rows, fill_down=fill_down)
    assert found == [("Shop", "paper more")] * 2 + [("", "")] * 2
    assert ledger.rejects == [(3, JOINED)]


def test_formats_and_blocks_make_no_difference(tmp_path, monkeypatch):
    rows = [row for i in range(60) for row in (line(i), rest(f"part {i}"), rest("end", "Ltd"))]
    expected = [("Shop Ltd", f"paper part {i} end") for i in range(60)]
    monkeypatch.setattr(text_files, "BLOCK_CHARS", 100)
    assert wrapped(tmp_path, rows)[0] == expected
    (tmp_path / "a.csv").unlink()
    write_xlsx(tmp_path / "a.xlsx", {"S": [HEADER, *rows]})
    table = pa.table([[row[i] for row in rows] for i in range(8)], HEADER)
    pq.write_table(table, tmp_path / "b.parquet")
    found = read(tmp_path, columns=COLUMNS, wrapped=["memo", "vendor"]).transactions
    texts = (found[name].to_pylist() for name in ("vendor", "memo"))
    assert list(zip(*texts, strict=True)) == expected * 2


def test_a_ledger_whose_texts_seem_to_go_on_is_refused_with_the_cure(tmp_path):
    rows = [row for i in range(9) for row in (line(i), rest(f"part {i}", "Ltd" if i == 4 else ""))]
    changes = {"columns": COLUMNS, "wrapped": []}
    with refused("too-many-rejects", "ingest.wrapped: [memo, vendor]", "row 3", "'part 0'"):
        wrapped(tmp_path, rows, **changes, max_reject_fraction=0.01)
    with refused("too-many-rejects", "ingest.wrapped: [memo, vendor]", "row 11"):
        wrapped(tmp_path, rows, **changes | {"wrapped": ["memo"]}, max_reject_fraction=0.01)
    (remark,) = wrapped(tmp_path, rows, **changes)[1].remarks
    assert remark.startswith("9 ") and "ingest.wrapped: [memo, vendor]" in remark
    assert wrapped(tmp_path, rows, wrapped=["memo", "vendor"])[1].remarks == []


def test_what_seems_to_go_on_is_masked_in_messages(tmp_path):
    rows = [row for i in range(9) for row in (line(i), rest("call 010-1234-5678"))]
    with refused("too-many-rejects", "'call [phone]'") as caught:
        wrapped(tmp_path, rows, wrapped=[], max_reject_fraction=0.01)
    assert "1234" not in str(caught.value)


def test_lines_cut_off_after_a_text_seem_to_go_on(tmp_path):
    rows = [row for i in range(9) for row in (line(i), rest("more")[:4])]
    with refused("too-many-rejects", "too few cells", "ingest.wrapped: [memo]"):
        wrapped(tmp_path, rows, wrapped=[], max_reject_fraction=0.01)


def test_other_incomplete_rows_do_not_seem_to_go_on(tmp_path):
    notes = [rest("Printed on page 1"), *map(line, range(9)), rest("a"), rest("b"), [""] * 8]
    lacking = [[*line(i)[:5], "", "", ""] for i in range(9)]
    assert (
        wrapped(tmp_path, [*notes, rest("c"), *lacking], wrapped=[], max_reject_fraction=0.9)[
            1
        ].remarks
        == []
    )
    with refused("too-many-rejects", "no account") as caught:
        wrapped(tmp_path, [*notes, *lacking], wrapped=[], max_reject_fraction=0.1)
    assert "wrapped" not in str(caught.value)


def test_a_ledger_without_such_rows_is_what_it_is_without_the_parameter(tmp_path):
    rows = many(40)
    (tmp_path / "a.csv").write_text(csv_text([["Date", "Vendor", "Memo", "Amount", "Account",
                                               "Account name"], *rows]))  # fmt: skip
    assert read(tmp_path, wrapped=["memo"]).cells == read(tmp_path).cells == rows


def test_parts_of_a_sheet_add_up():
    first, later = Wrapped(2, ("memo",), 7, "x"), Wrapped(1, ("vendor",), 90, "y")
    assert first.plus(later) == Wrapped(3, ("memo", "vendor"), 7, "x")
    assert Wrapped().plus(later) == later.plus(Wrapped()) == later
