"""Posted rows are coded as predict would code them, and only those that no model has learned."""

import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from coded_files import coded, rules, sections, with_cells
from small_ledger import ledger_rows, write_ledger
from trained_project import change_calibration, write_light_models

from stages.lib.model.text_experts import load_text_experts
from stages.lib.review.corrections import Correction, read_corrections, write_corrections
from stages.lib.review.posted_rows import (
    code_posted,
    earlier_corrections,
    learned_rows,
    new_vendors,
    read_posted,
)

MODELS = Path("models")


@pytest.fixture(autouse=True)
def project(light_project, tmp_path, monkeypatch) -> Path:
    """Run each test in a copy of the project, which it may change."""
    monkeypatch.chdir(shutil.copytree(light_project, tmp_path / "project"))
    return tmp_path / "project"


def next_month(rows: list[list[str]]) -> list[list[str]]:
    """Return rows of the small ledger, with days of a month after it."""
    return [
        with_cells(row, transaction_date=f"2019-01-{1 + number % 28:02}")
        for number, row in enumerate(rows)
    ]


def posted(path: Path, rows: list[list[str]]) -> pa.Table:
    write_ledger(path, rows)
    return read_posted([str(path)], sections())[0]


def test_what_is_said_of_posted_rows_is_what_predict_says(tmp_path):
    rows = next_month(ledger_rows())
    table = posted(tmp_path / "posted.csv", rows)
    params = sections(review=rules(share=0.0))
    one = code_posted(table, MODELS, params)
    sheet = coded([tmp_path / "posted.csv"], tmp_path / "coded.csv", params)
    accounts = [row["acct_code"] for row in sheet]
    given = table["acct_code"].to_pylist()
    assert one.correct.tolist() == [a == b for a, b in zip(accounts, given, strict=True)]
    # Only where the file has another account, predict would let a person look.
    decided = [row["decision"] == "post" for row in sheet]
    assert 0 < one.posts.sum() < 60
    assert (one.posts & one.correct).tolist() == decided
    assert not one.learned.any() and one.in_top3[one.correct].all()
    assert not one.new_vendor.any()


def test_rows_of_the_training_are_learned_whatever_account_they_have(tmp_path):
    rows = ledger_rows()
    changed = [with_cells(rows[0], **{"g/l_account": "5999"}), *rows[1:3], *next_month(rows[3:5])]
    experts = load_text_experts(MODELS / "classify")
    assert learned_rows(experts, posted(tmp_path / "a.csv", changed)).tolist() == [1, 1, 1, 0, 0]


def test_only_vendors_without_a_training_row_are_new(tmp_path):
    (row,) = next_month(ledger_rows()[:1])
    names = ["GREEN P", "Green-P 17", "새 가게", "알파문구"]
    table = posted(tmp_path / "a.csv", [with_cells(row, merchant_name=name) for name in names])
    experts, column = load_text_experts(MODELS / "classify"), sections().feature.group_column
    assert new_vendors(experts, table, column).tolist() == [0, 0, 1, 0]
    assert new_vendors(experts, table, "division_that_it_does_not_see") is None


def test_a_model_without_the_text_of_its_rows_says_that_all_rows_count(tmp_path):
    from project import set_params

    set_params(Path(), {"classify.past_postings.keep_text": False})
    write_light_models()
    one = code_posted(posted(tmp_path / "a.csv", ledger_rows()), MODELS, sections())
    assert not one.learned.any() and one.new_vendor is None
    assert "keep_text" in one.remarks[-1]


def test_corrections_of_the_rows_themselves_do_not_count_and_earlier_ones_do(tmp_path):
    table = posted(tmp_path / "a.csv", next_month(ledger_rows())).slice(0, 1)
    fields = sections().feature.fields
    (row,) = table.select(fields).to_pylist()
    said = [
        Correction("1", "5999", "0101", date(2019, 1, 1), None, row),
        Correction("2", "5999", "0101", None, None, row),
        Correction("3", "5999", "0101", date(2018, 1, 1), None, row),
        Correction("4", "5999", "0101", date(2019, 1, 1), None, {**row, fields[0]: "x"}),
    ]
    assert [one.key for one in earlier_corrections(said, table, fields)] == ["3", "4"]
    before = code_posted(table, MODELS, sections())
    write_corrections(said[:2], fields)
    assert len(read_corrections()) == 2
    assert code_posted(table, MODELS, sections()).correct.tolist() == before.correct.tolist()
    write_corrections([said[2]], fields)
    assert before.correct.tolist() == [True]
    assert code_posted(table, MODELS, sections()).correct.tolist() == [False]


def test_several_files_follow_each_other_and_what_is_left_out_is_counted(tmp_path):
    rows = next_month(ledger_rows())
    bad = with_cells(rows[5], transaction_date="31/31/2019")
    write_ledger(tmp_path / "a.csv", rows[:3])
    write_ledger(tmp_path / "b.csv", [*rows[3:5], bad])
    names = [str(tmp_path / name) for name in ("a.csv", "b.csv", "a.csv")]
    table, left_out, _ = read_posted(names, sections())
    assert table["acct_code"].to_pylist() == [row[4] for row in rows[:5]]
    assert sum(left_out.values()) == 1


def test_no_row_is_posted_without_a_threshold(tmp_path):
    change_calibration(certificate=[])
    one = code_posted(posted(tmp_path / "a.csv", next_month(ledger_rows())), MODELS, sections())
    assert not one.posts.any() and one.correct.any()
