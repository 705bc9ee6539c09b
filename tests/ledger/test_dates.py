"""Dates are read in the styles of many countries, and only where they can mean one day."""

from datetime import date

import pytest

from stages.lib.ledger.dates import parse_date

APRIL = "2020-04-16"


@pytest.mark.parametrize(
    ("text", "ymd", "dmy", "mdy"),
    [
        ("2020-04-16", APRIL, APRIL, APRIL),
        ("2020/4/16", APRIL, APRIL, APRIL),
        ("2020. 4. 16.", APRIL, APRIL, APRIL),
        ("20200416", APRIL, APRIL, APRIL),
        ("2020년 4월 16일", APRIL, APRIL, APRIL),
        ("2020년04월16일 오전 10:11", APRIL, APRIL, APRIL),
        ("2020/4/16(목)", APRIL, APRIL, APRIL),
        ("２０２０－０４－１６", APRIL, APRIL, APRIL),
        ("2020-04-16 13:45:00", APRIL, APRIL, APRIL),
        ("2020-04-16T13:45:00Z", APRIL, APRIL, APRIL),
        ("43937", APRIL, APRIL, APRIL),
        ("43937.5", APRIL, APRIL, APRIL),
        ("16-Apr-2020", APRIL, APRIL, APRIL),
        ("16 avr. 2020", APRIL, APRIL, APRIL),
        ("16. April 2020", APRIL, APRIL, APRIL),
        ("Apr 16, 2020", APRIL, APRIL, APRIL),
        ("16/04/2020", None, APRIL, None),
        ("04/16/2020", None, None, APRIL),
        ("16/04/2020 1:45 PM", None, APRIL, None),
        ("16.04.20", "2016-04-20", APRIL, None),
        ("20.04.16", APRIL, "2016-04-20", None),
        ("200416", APRIL, "2016-04-20", None),
        ("16042020", None, APRIL, None),
        ("05/06/2020", None, "2020-06-05", "2020-05-06"),
        ("20200416101112", APRIL, APRIL, APRIL),
        ("20200416T1011", APRIL, APRIL, APRIL),
        ("20200416 251112", None, None, None),
        ("2020–04–16", APRIL, APRIL, APRIL),
        ("'2020-04-16", APRIL, APRIL, APRIL),
        ("'20.4.16", APRIL, "2016-04-20", None),
        ("Thu, 16 Apr 2020", APRIL, APRIL, APRIL),
        ("Thursday, April 16, 2020", APRIL, APRIL, APRIL),
        ("Do., 16.04.2020", None, APRIL, None),
        ("2020년 4월 16일 목요일", APRIL, APRIL, APRIL),
        ("2020年4月16日（木）", APRIL, APRIL, APRIL),
        ("2020年4月16日 木曜日", APRIL, APRIL, APRIL),
        ("20년 4월 16일", APRIL, APRIL, APRIL),
        ("'20年4月16日", APRIL, APRIL, APRIL),
        ("2020-04-16 10:11 (목)", APRIL, APRIL, APRIL),
        ("2020-04-16 13:45:00.123+09:00", APRIL, APRIL, APRIL),
        ("2020-04-16 10:00 - 2020-04-17", None, None, None),
        ("16APR20", APRIL, APRIL, APRIL),
        ("16-Sept-2020", "2020-09-16", "2020-09-16", "2020-09-16"),
        ("16 März 2020", "2020-03-16", "2020-03-16", "2020-03-16"),
        ("16 jui 2020", None, None, None),
        ("16 marble 2020", None, None, None),
        ("3 sets 2020", None, None, None),
        ("Apr 2020", None, None, None),
        ("73100", None, None, None),
        ("#VALUE!", None, None, None),
        ("2020-02-30", None, None, None),
        ("0020-04-16", None, None, None),
        ("16/04/0020", None, None, None),
        ("00200416", None, None, None),
        ("16 Apr 0020", None, None, None),
        ("99999", None, None, None),
        ("1-1-1", None, None, None),
        ("令和2年4月16日", APRIL, APRIL, APRIL),
        ("㋿２年４月１６日", APRIL, APRIL, APRIL),
        ("令和 2年 4月 16日", APRIL, APRIL, APRIL),
        ("R2.4.16", APRIL, APRIL, APRIL),
        ("R02/04/16", APRIL, APRIL, APRIL),
        ("令和元年5月1日", "2019-05-01", "2019-05-01", "2019-05-01"),
        ("平成31年4月30日", "2019-04-30", "2019-04-30", "2019-04-30"),
        ("昭和64年1月7日", "1989-01-07", "1989-01-07", "1989-01-07"),
        ("民國109年4月16日", APRIL, APRIL, APRIL),
        ("平成31年", None, None, None),
        ("R2", None, None, None),
        ("S 4/6/20", None, None, None),
        ("yesterday", None, None, None),
        ("", None, None, None),
    ],
)
def test_dates(text, ymd, dmy, mdy):
    found = [parse_date(text, order) for order in ("ymd", "dmy", "mdy")]
    assert [day and day.isoformat() for day in found] == [ymd, dmy, mdy]


def test_every_english_month_is_read_in_full_and_by_three_letters():
    for number in range(1, 13):
        day = date(2020, number, 9)
        for form in ("%d %B %Y", "%d-%b-%y", "%b %d, %Y", "%Y %b %d"):
            assert parse_date(day.strftime(form), "ymd") == day


def test_two_digit_years_turn_at_69():
    assert parse_date("1/2/68", "dmy").year == 2068
    assert parse_date("1/2/69", "dmy").year == 1969
