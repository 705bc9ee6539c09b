"""Every value becomes something that a cell can have, and what is cut is counted."""

from datetime import date

import pyarrow as pa
import pytest

from stages.lib.review.columns import with_text
from stages.lib.review.sheet_cells import CellWidths, display_width, sheet_cells, sheet_text


def cells(values: list, type_: pa.DataType) -> tuple[list, int]:
    return sheet_cells(pa.chunked_array([pa.array(values, type_)], type_))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("x" * 32_767, 32_767),
        ("x" * 32_768, 32_767),
        ("😀" * 16_383 + "x", 16_384),
        ("😀" * 16_384, 16_383),  # 32,768 units, and no half of a sign stays
        ("x" + "😀" * 16_383, 16_384),
        ("", 0),
    ],
)
def test_a_text_is_cut_at_what_a_cell_can_have(text, length):
    assert len(sheet_text(text)) == length
    assert sheet_text(text) == text[:length]
    assert cells([text, None, "a"], pa.string()) == ([text[:length], None, "a"], length < len(text))


def test_a_text_that_xlsxwriter_takes_for_its_own_gets_a_space():
    assert sheet_text("<r>a</r>") == " <r>a</r>"
    assert cells(["<r>", "<r></r>"], pa.string()) == (["<r>", " <r></r>"], 0)
    assert sheet_text("<r>" + "x" * 32_760 + "</r>") == " <r>" + "x" * 32_760 + "</r"


def test_days_that_a_spreadsheet_does_not_have_are_texts():
    days = [date(2024, 2, 29), date(1900, 3, 1), date(1900, 2, 28), date(1899, 1, 1), None]
    found = cells([*days, date(9999, 12, 31)], pa.date32())[0]
    assert found == [45_351, 61, "1900-02-28", "1899-01-01", None, 2_958_465]
    late = pa.chunked_array([pa.array([5_000_000], pa.int32()).cast(pa.date32())])
    assert sheet_cells(late)[0] == ["15659-07-15"]
    assert cells([date(2024, 2, 29), None], pa.date32())[0] == [45_351, None]
    assert cells([None], pa.date32())[0] == [None]


def test_numbers_that_a_spreadsheet_does_not_have_are_texts():
    infinite = float("inf")
    assert cells([1.5, infinite, -infinite, None], pa.float64())[0] == [1.5, "inf", "-inf", None]
    assert cells([float("nan"), 2.0], pa.float64())[0] == [None, 2.0]
    assert cells([3, None], pa.int64())[0] == [3, None]


def test_a_time_of_day_is_kept():
    day = date(2024, 2, 29)
    texts = {
        "2024-02-29 00:00": 45_351,
        "2024-02-29 12:00:00": 45_351.5,
        "2024-02-29T06:00": 45_351.25,
        "29.02.2024": 45_351,
        "2024-02-29T06:00+09:00": "2024-02-29T06:00+09:00",
        "29/02/2024 6:00 PM": "29/02/2024 6:00 PM",
    }
    values = [{"value": day, "text": text} for text in texts]
    assert cells(values, with_text(pa.date32()))[0] == list(texts.values())
    early = [{"value": date(1850, 1, 2), "text": "1850-01-02 12:00"}]
    assert cells(early, with_text(pa.date32()))[0] == ["1850-01-02 12:00"]


def test_a_day_that_could_not_be_read_is_its_text():
    values = [{"value": date(2024, 2, 29), "text": "x"}, {"value": None, "text": "31/02"}, None]
    assert cells(values, with_text(pa.date32())) == ([45_351, "31/02", None], 0)


def test_widths_come_from_the_first_rows_however_they_are_cut():
    rows = pa.table(
        {"a": ["x" * n for n in range(2_000)], "사무용품비": ["가나다라마바사아"] * 2_000}
    )
    whole, cut = CellWidths(["a", "사무용품비"]), CellWidths(["a", "사무용품비"])
    whole.add(rows)
    for start in range(0, 2_000, 300):
        cut.add(rows.slice(start, 300))
    assert whole.of_columns() == cut.of_columns() == [40, 18]
    few = CellWidths(["a"])
    few.add(rows.select(["a"]).slice(0, 20))
    assert few.of_columns() == [21]
    assert CellWidths(["a"]).of_columns() == [8]


def test_a_text_is_as_wide_as_its_first_line():
    assert display_width("abc\n" + "x" * 30) == 3
    assert display_width("한글 a") == 6
