"""The input's columns come through under their titles, ours behind them in words."""

import pyarrow as pa
import pytest
from review_rows import FIELDS, LAYOUT, batch

from stages.lib.review.columns import (
    input_titles,
    keys_of_titles,
    own_schema,
    own_titles,
    said_schema,
    say_batch,
    text_of,
    value_of,
)
from stages.lib.review.words import load_words

EN, KO = load_words("en"), load_words("ko")


@pytest.mark.parametrize(
    ("found", "titles"),
    [
        (["Day", "Net"], ["Day", "Net"]),
        (["", " ", "x"], ["column 1", "column 2", "x"]),
        (
            ["decision", "사유", "seen_vendor"],
            ["decision (file)", "사유 (file)", "seen_vendor (file)"],
        ),
        (["a", "a", "a", "a (2)"], ["a", "a (3)", "a (4)", "a (2)"]),
        (["", "column 1"], ["column 1 (2)", "column 1"]),
        (["key", "key", "key (file)"], ["key (file) (2)", "key (file) (3)", "key (file)"]),
        ([" a ", "=1"], [" a ", "=1"]),
    ],
)
def test_titles_are_those_of_the_file_where_they_can_be(found, titles):
    assert input_titles(found, EN, FIELDS) == titles


def test_titles_that_are_made_up_are_in_the_language_of_the_sheet():
    assert input_titles(["", "decision"], KO, FIELDS) == ["1번째 열", "decision (원본)"]


def test_our_columns_are_in_the_order_of_the_contract():
    assert own_schema(FIELDS).names == [
        *("decision", "reason", "acct_code", "acct_name", "probability", "corrected"),
        *("choice_2", "probability_2", "choice_3", "probability_3", "why_1", "why_2", "why_3"),
        *("source_file", "source_sheet", "source_row", "seen_date", "seen_amount"),
        *("seen_vendor", "seen_purpose", "key"),
    ]


def test_a_title_of_any_language_has_one_key():
    keys = keys_of_titles(FIELDS)
    assert keys["수정 계정"] == keys["corrected"] == "corrected"
    assert keys["모델 입력: vendor"] == keys["seen_vendor"] == "seen_vendor"
    for words in (EN, KO):
        for key, title in own_titles(words, FIELDS).items():
            assert keys[title] == key


def test_a_batch_is_said_in_words():
    said = say_batch(batch(["post", "review", "refused", "none"]), LAYOUT, KO)
    assert said.schema == said_schema(LAYOUT, KO)
    assert said["처리 구분"].to_pylist() == ["전기", "검토", "판독 불가", "거래 아님"]
    assert said["사유"].to_pylist() == [
        "",
        "확률이 기준치 미만; 금액이 한도(10,000) 초과",
        "일자를 읽을 수 없음 (열: day)",
        "빈 행",
    ]
    assert said["No."].to_pylist() == ["0007"] * 4
    assert said["계정코드"].to_pylist() == ["0101", "0101", None, None]


def test_a_batch_without_rows_is_said():
    assert say_batch(batch([]), LAYOUT, EN).num_rows == 0


def test_a_column_of_days_keeps_its_texts():
    column = batch(["post", "refused"])["Day"]
    assert [str(day) for day in value_of(column).to_pylist()] == ["2024-01-02", "None"]
    assert text_of(column).to_pylist() == ["31/02", "31/02"]


def test_a_batch_with_other_columns_is_a_mistake_of_the_program():
    rows = batch(["post"])
    for wrong in (rows.drop_columns(["key"]), rows.append_column("x", pa.array(["x"]))):
        with pytest.raises(RuntimeError, match="other columns"):
            say_batch(wrong, LAYOUT, EN)
