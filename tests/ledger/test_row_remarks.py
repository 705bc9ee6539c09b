"""A doubt about which rows belong together names the parameter that settles it."""

from collections import Counter

from ledger_files import INGEST, ingest_params

from stages.lib.ledger.filling import CROSSED, ENDED, FILLED, NAMED
from stages.lib.ledger.headers import NO_LAYOUT
from stages.lib.ledger.row_remarks import cure_of, filling_report, remarks_on_rows
from stages.lib.ledger.sheets import Sheet
from stages.lib.ledger.wrapping import Wrapped

COLUMNS = {"doc": {"role": "id", "names": ["doc"]}, **INGEST["columns"]}
PARAMS = ingest_params("raw", columns=COLUMNS)
CROSSING, ENDING, NAMING = ("memo", CROSSED), ("vendor", ENDED), ("account", NAMED)


def sheet(filling: dict | None = None, wrapped: int = 0, **values) -> Sheet:
    rests = Wrapped(wrapped, ("memo",), 7, "a@b.org") if wrapped else Wrapped()
    return Sheet("a.csv", "", NO_LAYOUT, filling=Counter(filling or {}), wrapped=rests, **values)


def remarks(*sheets: Sheet) -> list[str]:
    return remarks_on_rows(list(sheets), 100, PARAMS)


def test_few_rows_are_no_pattern():
    assert remarks() == remarks(sheet()) == []
    assert remarks(sheet({CROSSING: 2, ENDING: 2, NAMING: 2}, 2)) == []


def test_sheets_are_added_up():
    twice = [sheet({NAMING: 2}, 2)] * 2
    named, wrapped = remarks(*twice)
    assert named.startswith("4 ") and "add account to ingest.fill_down" in named
    assert wrapped.startswith("4 ") and "a.csv row 7: '[email]'" in wrapped
    assert "ingest.wrapped: [memo]" in wrapped
    assert len(remarks(*[sheet({CROSSING: 2})] * 2)) == 1


def test_vouchers_that_are_filled_more_often_than_left_empty_need_no_remark():
    assert remarks(sheet({("date", FILLED): 50, ENDING: 40})) == []
    (remark,) = remarks(sheet({("date", FILLED): 30, ENDING: 40, ("memo", ENDED): 9}))
    assert remark.startswith("40 ") and "vendor" in remark and "ingest.voucher: null" in remark
    # Accounts are filled beyond vouchers.
    assert len(remarks(sheet({("account", FILLED): 50, ENDING: 40}))) == 1


def test_the_cure_of_what_was_refused():
    def cure(reason: str, *sheets: Sheet) -> str:
        return cure_of(reason, list(sheets), PARAMS)

    wrapped = sheet(wrapped=4, reasons=Counter({"no date": 5}))
    assert "ingest.wrapped: [memo]" in cure("no date", wrapped)
    few = sheet(wrapped=4, reasons=Counter({"no date": 50}))
    assert cure("no date", few) == cure("no date") == ""
    assert "ingest.voucher: null" in cure("no vendor", sheet({ENDING: 1}))
    assert "ingest.fill_down" in cure(
        "no date", sheet({NAMING: 9}, reasons=Counter({"no date": 9}))
    )
    assert "ingest.label_separator" in cure("separator in sub", wrapped)
    assert cure("stray quote", wrapped) == cure("", wrapped) == ""


def test_the_report_says_what_was_filled():
    assert filling_report(Counter()) == {}
    assert filling_report(Counter({("memo", FILLED): 3, ENDING: 2, NAMING: 1})) == {
        "cells_filled_from_above": {"memo": 3},
        "cells_not_filled_from_above": {"vendor": 2},
    }
