"""The sample of new rows that ships, with the accounts that they were posted to."""

import csv
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from project import ROOT, set_params

NEW = ROOT / "data/new/2018_03.csv"
POSTED = ROOT / "tests/data/2018_03_accounts.csv"
PREDICT = f"python -m stages.predict {NEW.relative_to(ROOT)} coded.xlsx"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_has_no_account_and_the_posted_accounts_are_in_its_order():
    new, posted = read_csv(NEW), read_csv(POSTED)
    assert len(new) == 309 and not any(name.startswith("G/L") for name in new[0])
    key = "Batch Transaction ID"
    assert [row[key] for row in new] == [row[key] for row in posted]


def test_the_sample_is_of_a_month_that_the_ledger_lacks():
    months = {row["Transaction Date"][:7] for row in read_csv(NEW)}
    assert "2018-03" in months
    assert not [path.name for path in (ROOT / "data/raw").iterdir() if "2018_03" in path.name]


@pytest.mark.parametrize("page", ["README.md", "docs/sample-ledger.md"])
def test_the_docs_code_the_sample(page):
    assert PREDICT in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_text_experts_code_the_sample_as_well_as_the_test_rows(tmp_path, monkeypatch):
    """Without the language model, and with one small network, so that it takes seconds."""
    from trained_project import write_light_models

    from stages import feature, ingest, predict, preprocess

    for name in ("params.yaml", "params_train.yaml", *(p.name for p in ROOT.glob("req*.txt"))):
        shutil.copy2(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "data/raw", tmp_path / "data/raw")
    small = {"classify.text_classifier.networks": 1, "classify.text_classifier.hidden": 64}
    set_params(tmp_path, small)
    with chdir(tmp_path):
        for stage in (ingest, preprocess, feature):
            stage.main()
        write_light_models()
        monkeypatch.setattr("sys.argv", ["predict", str(NEW), "coded.csv"])
        predict.main()
    coded, posted = read_csv(tmp_path / "coded.csv"), read_csv(POSTED)
    right = [a["acct_code"] == b["G/L Account"] for a, b in zip(coded, posted, strict=True)]
    assert sum(right) / len(right) > 0.65
