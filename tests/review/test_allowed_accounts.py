"""A file may narrow the accounts that are proposed; closed ones never are."""

import pytest
from refusals import refused
from reviewed_sheets import labels

from stages.lib.review.allowed_accounts import allowed_accounts

ACCOUNTS = ["0101", "0102", "0900", "3-1"]


def allowed(path=None, accounts=ACCOUNTS, **options):
    found, remarks = allowed_accounts(path, accounts, labels(), **options)
    return [code for code, yes in zip(accounts, found, strict=True) if yes], remarks


def test_without_a_file_all_but_closed_accounts_are_allowed():
    assert allowed() == (["0101", "0102", "3-1"], [])
    with refused("no-account", "preprocess.labels.retire"):
        allowed(accounts=["0900"])


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("0101\n3-1\n", ["0101", "3-1"]),
        ("\ufeffcode\r\n101\r\n", ["0101"]),
        ("name;code\nOffice, paper;0101\nTravel;0777\n", ["0101", "0102"]),
        ("code,name\n0101,Rent\n,sum\n", ["0101"]),
        ("0900\n0102\n", ["0102"]),
    ],
)
def test_a_file_lists_codes(tmp_path, text, codes):
    (tmp_path / "chart.csv").write_text(text, encoding="utf-8", newline="")
    assert allowed(tmp_path / "chart.csv") == (codes, [])


def test_codes_that_the_model_lacks_are_named(tmp_path):
    (tmp_path / "chart.csv").write_text("code\n" + "".join(f"5{i}00\n" for i in range(7)) + "0101")
    codes, remarks = allowed(tmp_path / "chart.csv")
    assert codes == ["0101"]
    assert remarks[0].endswith("no account '5000', '5100', '5200', '5300', '5400' and 2 more")


@pytest.mark.parametrize("text", ["", "5000\n5100\n", "0900\n"])
def test_a_file_that_leaves_no_account_is_refused(tmp_path, text):
    (tmp_path / "chart.csv").write_text(text)
    with refused("no-account", "chart.csv", "leaves no account"):
        allowed(tmp_path / "chart.csv")


def test_an_account_without_training_rows_is_not_enough(tmp_path):
    (tmp_path / "chart.csv").write_text("3-1\n")
    assert allowed(tmp_path / "chart.csv")[0] == ["3-1"]
    with refused("no-account"):
        allowed(tmp_path / "chart.csv", trained=3)
    with refused("file-not-found", "none.csv"):
        allowed(tmp_path / "none.csv")
