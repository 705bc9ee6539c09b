"""What a report says of its ledger and its files."""

import datetime
import hashlib

import pyarrow as pa
import pytest

from stages.lib.evaluation import facts


def side(files, days) -> pa.Table:
    return pa.table({"source_file": files, "date": pa.array(days, pa.date32())})


def test_the_ledger_is_told_by_its_files_rows_and_days():
    first, last = datetime.date(2018, 1, 2), datetime.date(2018, 3, 4)
    sides = {
        "train": side(["b.csv", "a.csv"], [last, None]),
        "val": side(pa.array(["b.csv"]).dictionary_encode(), [first]),
        "test": side([], []),
    }
    found = facts.ledger_facts(sides, "data/raw")
    assert found == {
        "source": "data/raw",
        "rows": 3,
        "val_rows": 1,
        "first": first,
        "last": last,
        "files": [
            {"name": "a.csv", "rows": 1, "first": None, "last": None},
            {"name": "b.csv", "rows": 2, "first": first, "last": last},
        ],
    }


@pytest.mark.parametrize(
    ("path", "told"),
    [("data/raw", "data/raw"), ("/home/kim/ledger", "ledger"), ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B")],
)
def test_an_absolute_path_is_told_by_its_end(path, told):
    assert facts.plain_name(path) == told


def test_digests_are_those_of_the_files_and_of_the_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows"
    path.write_bytes(b"abc")
    found = facts.digests_of([path.relative_to(tmp_path)], {"train": "ab"})
    assert found == {
        "rows": hashlib.sha256(b"abc").hexdigest(),
        "models/train/manifest.json": "ab",
    }
