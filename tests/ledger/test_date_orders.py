"""The order of dates belongs to a file and column, and all its cells together tell which it is."""

from datetime import date, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_tables import preprocess_params, raw_table, row
from refusals import refused

from stages.lib.errors import UserErrors
from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.date_orders import seen_dates, swap_day

UK, US, DE, KR = "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%y.%m.%d"
CODES = ("other-date-order", "two-date-orders", "dates-in-doubt", "swapped-dates")


def every(step: int, count: int, start: date = date(2024, 1, 2)) -> list[date]:
    return [start + timedelta(days=step * i) for i in range(count)]


def early(days: list[date]) -> list[date]:
    return [day for day in days if day.day <= 12]


def written(days: list[date], form: str) -> list[str]:
    return [day.strftime(form) for day in days]


def ledger(files: dict[str, list[str]], **roles: str) -> pa.Table:
    """Return rows with these dates, each with a memo of its own."""
    return pa.concat_tables(
        raw_table(
            *(row(date=t, memo=f"{name} {i}") for i, t in enumerate(cells)), file=name, **roles
        )
        for name, cells in files.items()
    ).unify_dictionaries()


def clean(files: dict[str, list[str]], order: str = "dmy", entries: list | None = None, **params):
    given = {"max_reject_fraction": 0.02} | params
    has_labels = given.pop("has_labels", True)
    changes = preprocess_params(date_order=order, other_formats=entries or [], **given)
    return clean_rows(ledger(files), changes, has_labels=has_labels, is_ledger=has_labels)


def days_of(cleaned, file: str) -> list[date]:
    rows = cleaned.transactions.select(["source_file", "date"]).to_pylist()
    return [one["date"] for one in rows if one["source_file"] == file]


def test_a_file_is_read_in_the_order_of_the_first_entry_that_fits_it():
    days = every(3, 40)
    files = {"uk.csv": written(days, UK), "us/a.CSV": written(days, US)}
    entries = [
        {"match": "us/*.csv", "columns": ["date"], "date_order": "mdy"},
        {"match": "*", "date_order": "dmy"},
        {"match": "us/*.csv", "date_order": "ymd"},
    ]
    cleaned = clean(files, "ymd", entries)
    assert days_of(cleaned, "uk.csv") == days_of(cleaned, "us/a.CSV") == days
    assert cleaned.remarks[:1] == cleaned.remarks  # the last entry is never used, but fits a file


def test_an_entry_for_another_column_does_not_count():
    days = every(3, 10)
    entries = [{"match": "*", "columns": ["amount"], "decimal": "comma"}]
    cleaned = clean({"a.csv": written(days, UK)}, entries=entries)
    assert days_of(cleaned, "a.csv") == days


def test_rows_beyond_the_limit_name_file_cell_and_entry():
    days = every(3, 60)
    files = {"uk.csv": written(days, UK), "us.csv": written(days, US)}
    entry = '{match: "us.csv", date_order: mdy}'
    with refused("too-many-rejects", "us.csv row 6", "'01/14/2024'", entry) as caught:
        clean(files)
    assert [error.code for error in caught.value.errors] == ["too-many-rejects", CODES[0]]


def test_a_small_file_in_another_order_is_refused_below_the_limit():
    days = every(3, 8)
    files = {"uk.csv": written(every(1, 700), UK), "us.csv": written(days, US)}
    with refused("other-date-order", "us.csv row 6", '{match: "us.csv", date_order: mdy}'):
        clean(files)
    assert len(clean(files, entries=[{"match": "us.csv", "date_order": "mdy"}]).rejects) == 0


def test_new_rows_in_another_order_get_a_line():
    cleaned = clean({"us.csv": written(every(3, 20), US)}, has_labels=False)
    (remark,) = cleaned.remarks
    assert "us.csv row 6" in remark and '{match: "us.csv", date_order: mdy}' in remark


def test_if_all_files_need_another_order_the_general_key_is_named():
    days = every(3, 40)
    files = {"a.csv": written(days, UK), "b.csv": written(days, UK)}
    with refused("too-many-rejects", "preprocess.date_order: dmy"):
        clean(files, "ymd")


def test_a_file_with_dates_in_two_orders_gets_a_line():
    days = every(3, 200)
    cells = [*written(days, UK), "05/13/2024"]
    (remark,) = clean({"a.csv": cells}).remarks
    assert "a.csv row 202" in remark and "'05/13/2024'" in remark and "mdy" in remark


def test_a_day_that_is_none_in_any_order_is_a_typing_error_and_says_nothing():
    assert clean({"a.csv": [*written(every(3, 200), UK), "31/02/2024"]}).remarks == []


def test_a_year_whose_days_all_end_at_12_gets_a_line():
    days = early(every(2, 300))
    files = {"uk.csv": written(every(3, 60), UK), "us.csv": written(days[::-1], US)}
    (remark,) = clean(files).remarks
    assert "us.csv row 2" in remark and '{match: "us.csv", date_order: mdy}' in remark
    entry = {"match": "us.csv", "date_order": "mdy"}
    cleaned = clean(files, entries=[entry])
    assert days_of(cleaned, "us.csv") == days[::-1] and cleaned.remarks == []
    assert clean(files, entries=[entry | {"date_order": "dmy"}]).remarks == []


def test_rows_in_order_of_time_in_the_other_order_alone_get_a_line():
    days = early(every(5, 60))
    assert len(days) < 26
    (remark,) = clean({"us.csv": written(days, US)}).remarks
    assert "us.csv row 2" in remark
    assert clean({"uk.csv": written(days, UK)}).remarks == []


def test_a_quarter_read_in_the_wrong_order_gets_a_line():
    days = early(every(1, 90))
    assert {day.month for day in days} == {1, 2, 3}
    mixed = days[::2] + days[1::2]
    (remark,) = clean({"us.csv": written(mixed, US)}).remarks
    assert "us.csv row 2" in remark


def test_twelve_days_of_one_month_get_a_line():
    march = early(every(1, 12, date(2024, 3, 1)))
    (remark,) = clean({"new.csv": written(march, US)}, has_labels=False).remarks
    assert "new.csv row 2" in remark
    january = early(every(1, 12, date(2024, 1, 1)))
    assert clean({"new.csv": written(january, US)}, has_labels=False).remarks == []
    other = {"uk.csv": written(every(3, 60), UK)}
    (remark,) = clean(other | {"new.csv": written(january, US)}).remarks
    assert "new.csv row 2" in remark


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(every(1, 12, date(2024, 7, 1)), id="a month that was exported on the 12th"),
        pytest.param([date(2024, m, 1) for m in range(1, 13)], id="the first of each month"),
        pytest.param(
            [date(2024, m, d) for m in range(1, 13) for d in (1, 10)], id="two days of each month"
        ),
        pytest.param([date(2024, m, 1 + m % 3) for m in range(1, 13)], id="the first working day"),
        pytest.param([date(2024, 7, d) for d in (3, 5, 9)], id="three days"),
        pytest.param([date(2024, 6, 28), *every(1, 10, date(2024, 7, 1))], id="a month and a bit"),
        pytest.param(early(every(1, 300)), id="closing entries in order of time"),
    ],
)
@pytest.mark.parametrize(("form", "order"), [(UK, "dmy"), (US, "mdy")])
def test_ordinary_days_get_no_line(days, form, order):
    assert clean({"a.csv": written(days, form)}, order).remarks == []


def test_years_of_two_digits_in_another_order_lie_decades_apart():
    days = every(3, 40)
    files = {"de.csv": written(days, DE), "kr.csv": written(days, KR)}
    (remark,) = clean(files, "ymd").remarks
    assert "de.csv row 2" in remark and '{match: "de.csv", date_order: dmy}' in remark
    (remark,) = clean(files, "dmy").remarks
    assert "kr.csv row 2" in remark and '{match: "kr.csv", date_order: ymd}' in remark
    entries = [{"match": "kr.csv", "date_order": "ymd"}]
    cleaned = clean(files, "dmy", entries)
    assert days_of(cleaned, "kr.csv") == days and cleaned.remarks == []


def test_a_few_days_in_other_years_than_those_of_other_files_get_a_line():
    files = {"uk.csv": written(every(3, 60), UK), "kr.csv": ["24.01.05", "24.01.09", "24.01.05"]}
    (remark,) = clean(files).remarks
    assert "kr.csv row 2" in remark and '{match: "kr.csv", date_order: ymd}' in remark
    files["kr.csv"] = ["24.01.05", "25.01.05"]  # also two days of 2005 in a file of its own
    assert clean(files).remarks == []


def test_times_of_day_do_not_hide_the_order():
    days = every(3, 40)
    cells = [f"{text} 1{i % 10}:{i:02}:09" for i, text in enumerate(written(days, US))]
    entries = [{"match": "*", "date_order": "mdy"}]
    with refused("too-many-rejects", "'01/14/2024"):
        clean({"us.csv": cells})
    assert days_of(clean({"us.csv": cells}, entries=entries), "us.csv") == days


def test_two_columns_of_a_file_may_have_different_orders():
    days = every(3, 40)
    rows = [
        row(date=a, memo=b, vendor=str(i))
        for i, (a, b) in enumerate(zip(written(days, UK), written(days, US), strict=True))
    ]
    raw = raw_table(*rows, memo="date")
    entry = '{match: "a.csv", columns: [memo], date_order: mdy}'
    with refused("too-many-rejects", "a.csv row 6", entry):
        clean_rows(raw, preprocess_params(date_order="dmy", max_reject_fraction=0.02))
    entries = [{"match": "a.csv", "columns": ["memo"], "date_order": "mdy"}]
    cleaned = clean_rows(raw, preprocess_params(date_order="dmy", other_formats=entries))
    assert cleaned.transactions["memo"].to_pylist() == days
    assert cleaned.transactions["date"].to_pylist() == days and cleaned.remarks == []


# Typed days that a spreadsheet swapped


def through_another_locale(days: list[date]) -> list[str]:
    """Return texts in order dmy after a spreadsheet has read them as mdy."""
    return [swap_day(day).isoformat() if day.day <= 12 else day.strftime(UK) for day in days]


def test_typed_days_up_to_12_beside_written_ones_from_13_are_refused_until_told():
    days = every(1, 60)
    files = {"book.xlsx": through_another_locale(days)}
    entry = '{match: "book.xlsx", typed_dates: swapped}'
    with refused("swapped-dates", "book.xlsx row 2", "'2024-02-01'", "'13/01/2024'", entry):
        clean(files)
    cleaned = clean(files, entries=[{"match": "*", "typed_dates": "swapped"}])
    assert days_of(cleaned, "book.xlsx") == days and cleaned.remarks == []
    cleaned = clean(files, entries=[{"match": "*", "typed_dates": "as_is"}])
    assert days_of(cleaned, "book.xlsx")[0] == date(2024, 2, 1) and cleaned.remarks == []
    (remark,) = clean(files, has_labels=False).remarks
    assert entry in remark


@pytest.mark.parametrize("typed", ["%Y-%m-%d", "%d-%b-%y", "%d %B %Y"])
@pytest.mark.parametrize(("form", "order"), [(UK, "dmy"), (US, "mdy")])
@pytest.mark.parametrize("step", [2, 3, 5, 9])
def test_swapped_days_are_found_in_a_year_of_few_days(typed, form, order, step):
    days = every(step, 360 // step)
    cells = [(swap_day(d) or d).strftime(typed if d.day <= 12 else form) for d in days]
    with refused("swapped-dates"):
        clean({"a.csv": cells}, order)
    entries = [{"match": "a.csv", "typed_dates": "swapped"}]
    assert days_of(clean({"a.csv": cells}, order, entries), "a.csv") == days


def test_swapped_days_are_found_whatever_the_general_order_is():
    files = {"book.xlsx": through_another_locale(every(1, 60))}
    with refused("too-many-rejects", "date_order: dmy, typed_dates: swapped") as caught:
        clean(files, "ymd")
    assert isinstance(caught.value, UserErrors)


def test_days_with_a_time_are_swapped_too():
    days = every(1, 60)
    cells = [c + " 13:45:00" if c.startswith("2") else c for c in through_another_locale(days)]
    cleaned = clean({"a": cells}, entries=[{"match": "*", "typed_dates": "swapped"}])
    assert days_of(cleaned, "a") == days


def test_a_typed_day_after_the_12th_was_not_swapped_and_is_refused():
    cells = [*through_another_locale(every(1, 60)), "2024-02-13"]
    entries = [{"match": "*", "typed_dates": "swapped"}]
    cleaned = clean({"a": cells}, entries=entries)
    assert cleaned.rejects["source_row"].to_pylist() == [62]
    assert clean({"a": cells}).remarks == []  # not all end at 12


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(
            [*(f"2024-07-{i:02}" for i in range(1, 13)), *(f"{i}/07/2024" for i in range(13, 32))],
            id="the program changed within a month",
        ),
        pytest.param(["2024-02-01", "13/01/2024", "14/01/2024"], id="few"),
        pytest.param(
            [*(f"2024-{i:02}-05" for i in range(1, 13)), *written(every(3, 40), UK)],
            id="written ones on all days",
        ),
    ],
)
def test_typed_and_written_days_side_by_side_get_no_line(cells):
    assert clean({"a": cells}).remarks == []


# Most of a column unread


def test_emptied_dates_are_counted_with_the_first():
    days = every(3, 200)
    cleaned = clean({"a.csv": [*written(days, UK), "31/02/2024", "soon"]}, unreadable_date="empty")
    (remark,) = cleaned.remarks
    assert "2 cells of date" in remark and "a.csv row 202: '31/02/2024'" in remark
    assert cleaned.report["cells_emptied"] == {"date": 2}
    assert cleaned.report["remarks"] == cleaned.remarks


def test_a_file_whose_dates_would_mostly_be_emptied_is_refused():
    files = {"a.csv": written(every(3, 200), UK), "b.csv": ["1/2/24"] + ["99/99/24"] * 9}
    with refused("mostly-unread", "9 of 10", "b.csv row 3", "preprocess.unreadable_date"):
        clean(files, unreadable_date="empty")
    files["b.csv"][1:] = ["pending"] * 9
    assert len(clean(files, unreadable_date="empty").remarks) == 1
    assert clean(files | {"b.csv": ["1/2/24", "99/99/24"]}, unreadable_date="empty").remarks


def test_a_wrong_order_is_refused_where_it_would_empty_most_dates():
    with refused("other-date-order", "us.csv row 6", "preprocess.date_order: mdy"):
        clean({"us.csv": written(every(3, 100), US)}, unreadable_date="empty")


# What is looked at


def test_new_files_without_rows_say_nothing():
    with refused("too-many-rejects", "there are no rows"):
        clean_rows(ledger({"a": []}), preprocess_params())


def test_the_other_order_that_is_named_is_one_of_the_same_years():
    mixed = sorted(early(every(1, 300)), key=lambda day: day.day * 100 + day.month * 37 % 100)
    (remark,) = clean({"a": written(mixed, "%d.%m.%y")}).remarks
    assert "date_order: mdy" in remark


CELL = st.from_regex(r"\A[0-3]?\d[./-][0-3]?\d[./-](20)?(24|31|04)\Z|\A20(24|31)-0\d-[0-3]\d\Z")


@settings(deadline=None, max_examples=100)
@given(st.lists(CELL, min_size=1, max_size=9), st.sampled_from(["ymd", "dmy", "mdy"]))
def test_any_dates_are_judged(cells, order):
    cleaned = clean({"a": [*cells, "2024-01-01"]}, order, has_labels=False)
    assert len(cleaned.transactions) + len(cleaned.rejects) == len(cells) + 1


def test_dates_are_seen_by_file_in_the_order_of_rows_without_their_times():
    cells = ["02/01/2024 10:00", " 02/01/2024", "0000-00-00", "", "01/01/2024", "02012024101112"]
    seen = seen_dates(ledger({"a": cells, "b": ["x"]}), "date")
    assert seen == {
        ("a", "date"): {"02/01/2024": (2, 2), "01/01/2024": (1, 6), "02012024": (1, 7)},
        ("b", "date"): {"x": (1, 2)},
    }
    assert list(seen["a", "date"]) == ["02/01/2024", "01/01/2024", "02012024"]
