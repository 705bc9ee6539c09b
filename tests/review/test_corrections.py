"""The file of corrections: kept whole, the same bytes for the same sheets, nothing guessed."""

import datetime
from pathlib import Path

import pytest
from project import ROOT
from refusals import refused
from reviewed_sheets import labels

from stages.lib.review.corrections import (
    NAMED,
    NOT_SEEN,
    PATH,
    Correction,
    corrections_text,
    first_of,
    join_corrections,
    read_corrections,
    usable_corrections,
    write_corrections,
)

DAY = datetime.date(2024, 3, 25)


def row(key: str, account="0102", proposed="0101", day=DAY, amount=1.5, **fields) -> Correction:
    return Correction(key, account, proposed, day, amount, {"vendor": "acme", **fields})


ROWS = [
    row("b", memo="=1+1"),
    row("a", "0101", day=None, amount=None, memo='\'quoted, "text"'),
    row("c", memo=NOT_SEEN),
    row("d", memo="한글", vendor=""),
]


def test_the_file_that_ships_has_no_row_and_is_read():
    assert read_corrections(ROOT / PATH) == []
    assert len((ROOT / PATH).read_text().splitlines()) == 1


def test_what_is_written_is_read_again_and_written_the_same(tmp_path):
    path = tmp_path / "data/corrections.csv"
    write_corrections(ROWS, ["vendor", "memo"], path)
    assert read_corrections(path) == sorted(ROWS)
    before = path.read_bytes()
    write_corrections(reversed(read_corrections(path)), ["vendor", "memo"], path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["corrections.csv"]


def test_the_file_is_plain():
    assert corrections_text(ROWS, ["vendor", "memo"]) == (
        "key,account,proposed,kind,seen_date,seen_amount,seen_vendor,seen_memo\n"
        'a,0101,0101,confirmed,,,acme,"\'\'quoted, ""text"""\n'
        "b,0102,0101,corrected,2024-03-25,1.5,acme,'=1+1\n"
        "c,0102,0101,corrected,2024-03-25,1.5,acme,'\\N\n"
        "d,0102,0101,corrected,2024-03-25,1.5,,한글\n"
    )


def test_fields_that_the_model_did_not_see_then_are_not_empty(tmp_path):
    path = tmp_path / "corrections.csv"
    rows = [row("a", old="x"), row("b", memo="")]
    write_corrections(rows, ["vendor", "memo"], path)
    assert path.read_text().splitlines()[0].endswith("seen_vendor,seen_memo,seen_old")
    assert read_corrections(path) == rows
    write_corrections(rows[1:], ["vendor", "memo"], path)
    assert path.read_text().splitlines()[0].endswith("seen_vendor,seen_memo")


def test_without_a_file_there_are_no_corrections(tmp_path):
    assert read_corrections(tmp_path / "none.csv") == []


HEADER = "key,account,proposed,kind,seen_date,seen_amount,seen_vendor\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "key,account\n",
        HEADER.replace("vendor", "date"),
        HEADER + "a,0101,0101,confirmed,,\n",
        HEADER + "a,0101,0101,confirmed,25.3.2024,,x\n",
        HEADER + "a,0101,0101,confirmed,,1;5,x\n",
        HEADER + "a,0101,0101,other,,,x\n",
        HEADER + ",0101,0101,confirmed,,,x\n",
        HEADER + "a,,0101,confirmed,,,x\n",
        HEADER + "a,0101,0101,confirmed,,,x\na,0102,0101,corrected,,,x\n",
        HEADER + "<<<<<<< HEAD\na,0101,0101,confirmed,,,x\n",
        HEADER + 'a,0101,0101,confirmed,,,"x\n',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "corrections.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused("damaged-corrections", "corrections.csv", "git checkout"):
        read_corrections(path)


def placed(*rows: Correction) -> list[tuple[str, Correction]]:
    return [(f"sheet, row {number}", one) for number, one in enumerate(rows, start=2)]


def test_the_same_sheet_twice_counts_once():
    rows = placed(row("a"), row("b", "0101", vendor="esso"))
    once = join_corrections([], rows)
    assert once.counts == {"corrected": 1, "confirmed": 1, "known": 0}
    twice = join_corrections(once.corrections.values(), rows + rows)
    assert twice.counts == {"corrected": 0, "confirmed": 0, "known": 4}
    assert twice.corrections == once.corrections
    assert twice.remarks == []


def test_a_later_answer_replaces_the_earlier_one_and_says_so():
    old = [row("a", "0102"), row("z", "0102", vendor="other")]
    joined = join_corrections(old, placed(row("a", "0103"), row("a", "0104")))
    assert joined.corrections["a"].account == "0104"
    assert joined.corrections["z"] == old[1]
    assert joined.remarks == [
        "sheet, row 2: 0103 replaces 0102 of an earlier sheet",
        "sheet, row 3: 0104 replaces 0103 of sheet, row 2",
    ]


def test_equal_rows_with_different_accounts_are_both_kept_and_named():
    old = [row("a", "0102"), row("y", "0105", vendor="x"), row("z", "0106", vendor="x")]
    joined = join_corrections(old, placed(row("b", "0103", vendor="ACME")))
    assert sorted(joined.corrections) == ["a", "b", "y", "z"]
    # What was said before about other rows is not said again.
    assert joined.remarks == [
        "sheet, row 2: equal rows have the accounts 0102, 0103; rows like them go to review"
    ]


def test_merged_accounts_are_others_and_closed_ones_do_not_count():
    rows = [row("a", "0777"), row("b", "0900"), row("c", "0900"), row("d", "0101")]
    table, remarks = usable_corrections(rows, ["vendor"], labels())
    assert table.to_pylist() == [
        {"key": key, "date": DAY, "amount": 1.5, "vendor": "acme", "acct_code": code}
        for key, code in (("a", "0102"), ("d", "0101"))
    ]
    assert remarks == [
        "data/corrections.csv: 2 corrections to the closed account 0900 do not count"
    ]


def test_rows_of_other_fields_are_named_and_left_out():
    table, remarks = usable_corrections(
        [row("a", memo="x"), row("b", old="y")], ["vendor", "memo"], labels()
    )
    assert table["key"].to_pylist() == ["a"]
    assert len(remarks) == 1
    assert (
        "1 corrections do not count: when they were made, the model did not see memo" in remarks[0]
    )
    table, remarks = usable_corrections([row("b", old="y")], ["vendor"], labels())
    assert (table.num_rows, remarks) == (1, [])
    empty, _ = usable_corrections([], ["vendor"], labels())
    assert empty.schema == table.schema


def test_many_lines_are_counted():
    lines = [str(number) for number in range(NAMED + 3)]
    assert first_of(lines) == [*lines[:NAMED], "and 3 more"]
    assert first_of(lines[:NAMED]) == lines[:NAMED]


def test_git_and_not_dvc_keeps_the_file():
    assert not any("corrections" in line for line in (ROOT / "data/.gitignore").open())
    assert Path("data/corrections.csv") == PATH
