"""In 40124 a spreadsheet counts days (2009-11-07), or dropped the zero of April 1, 2024."""

from datetime import date, timedelta

import pyarrow as pa
from raw_tables import preprocess_params, raw_table, row

from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.date_doubts import dates_of_digits, doubtful_days, may_lack_zeros

REASON = "five digits: days, or a date without its zero?"


def clean(*days: str, **params: object):
    raw = raw_table(*(row(date=day) for day in days))
    return clean_rows(raw, preprocess_params(date_order="mdy", max_reject_fraction=1.0, **params))


def days(cleaned) -> list[str]:
    return list(map(str, cleaned.transactions["date"].to_pylist()))


def refused_rows(cleaned) -> list[int]:
    assert set(cleaned.rejects["reason"].to_pylist()) <= {REASON}
    return cleaned.rejects["source_row"].to_pylist()


def test_five_digits_are_days_where_no_lost_zero_explains_them():
    assert days(clean(" 40124", "43937", "2020-04-16")) == [
        "2009-11-07",
        "2020-04-16",
        "2020-04-16",
    ]


def test_five_digits_are_in_doubt_next_to_dates_of_six():
    cleaned = clean(" 40124", "120124", "99999", "2020-04-16")
    assert days(cleaned) == ["2024-12-01", "2020-04-16"]
    assert refused_rows(cleaned) == [2, 4]
    assert refused_rows(clean("40124", "2020-04-16")) == [2]


def test_the_reading_within_the_shorter_time_is_right():
    # Both readings read all: as days they are those of 2014, as dates Aprils of a century.
    cleaned = clean(*map(str, range(41640, 42005)))
    assert cleaned.transactions["date"].to_pylist() == [
        date(2014, 1, 1) + timedelta(days=i) for i in range(365)
    ]
    february = [f"2{day:02}24" for day in range(1, 30)]  # of 2024
    assert refused_rows(clean("2020-04-16", *february)) == list(range(3, 32))


def test_cells_in_doubt_are_emptied_by_rule():
    cleaned = clean("40124", "2020-04-16", unreadable_date="empty")
    assert days(cleaned) == ["None", "2020-04-16"]
    assert cleaned.report["cells_emptied"]["date"] == 1


def test_each_file_speaks_for_itself():
    files = [
        raw_table(row(date="40124"), row(date="2020-04-16"), file="a.csv"),
        raw_table(row(date="40124", memo="b"), row(date="43937"), file="b.csv"),
    ]
    cleaned = clean_rows(pa.concat_tables(files), preprocess_params(date_order="mdy"))
    assert cleaned.rejects["source_file"].to_pylist() == ["a.csv"]
    assert days(cleaned) == ["2020-04-16", "2009-11-07", "2020-04-16"]


def test_digits_are_found_by_file_and_column():
    raw = raw_table(row(date=" 40124 "), row(date="120124"), row(date="2020-04-16"), row(date="1"))
    assert dates_of_digits(raw, "date") == {("a.csv", "date"): {"40124", "120124"}}
    assert may_lack_zeros({"40124", "120124"}, "mdy")
    assert not may_lack_zeros({"40124", "43937"}, "mdy")
    assert doubtful_days(raw, "date", {("a.csv", "date")}).to_pylist() == [True, *[False] * 3]
    assert not any(doubtful_days(raw, "date", {("b.csv", "date")}).to_pylist())
