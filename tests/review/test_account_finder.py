"""What people write in the column `corrected`."""

import pyarrow as pa
import pytest
from refusals import refused
from reviewed_sheets import CHART, finder

from stages.lib.contracts.accounts import ACCOUNTS, ACCOUNTS_SCHEMA
from stages.lib.review.account_finder import read_chart
from stages.lib.tables import write_json, write_table


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0101", "0101"),
        (" 0101 ", "0101"),
        ("101", "0101"),
        ("Office supplies", "0101"),
        ("OFFICE  SUPPLIES", "0101"),
        ("0101 · Office supplies", "0101"),
        ("0101 Office supplies", "0101"),
        ("０１０１", "0101"),
        ("0777", "0102"),
        ("비품", "비품"),
        ("3-1", "3-1"),
        ("3–1", None),
        ("ok", None),
        ("0102 Office supplies", None),
        ("10", None),
        ("", None),
    ],
)
def test_an_account_is_found_by_code_name_or_line(text, code):
    if code is None:
        with pytest.raises(LookupError, match="no account of the chart"):
            finder().find(text)
    else:
        assert finder().find(text) == code


def test_what_may_be_several_accounts_is_not_guessed():
    found = finder({"0101": "Rent", "101": "Gas", "0202": "Rent", "7": "", "07": "", "007": ""})
    assert found.find("101") == "101"
    assert found.find("0101") == "0101"
    with pytest.raises(LookupError, match="any of 0101, 0202"):
        found.find("rent")
    assert found.find("7") == "7"
    with pytest.raises(LookupError, match="any of 007, 07"):
        finder({"007": "", "07": ""}).find("7")


def test_a_closed_account_is_named():
    with pytest.raises(LookupError, match="0900 is closed"):
        finder().find_open("0900")
    assert finder().find("0900") == "0900"


def test_a_date_may_have_been_a_code():
    assert finder().find_dates(3, 1) == ["3-1"]
    assert finder().find_dates(2, 3) == ["2-3", "3-2"]
    assert finder().find_dates(12, 31) == []


def test_the_chart_is_that_of_the_model_and_of_the_ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("no-model", "dvc repro"):
        read_chart(tmp_path / "models")
    entry = {"acct_code": "0101", "acct_name": "Old name"}
    write_json({"accounts": [entry]}, tmp_path / "models/train/label_map.json")
    assert read_chart(tmp_path / "models") == {"0101": "Old name"}
    rows = [{"acct_code": code, "acct_name": name} for code, name in CHART.items()]
    write_table(pa.Table.from_pylist(rows, schema=ACCOUNTS_SCHEMA), ACCOUNTS)
    assert read_chart(tmp_path / "models") == dict(sorted({**CHART, "0101": "Old name"}.items()))
