"""The stage split: every row is dealt once, equal rows to one side, and nothing else decides."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from base_tables import DEFAULTS, FIELDS, LABELS, some_rows, write_base
from refusals import refused
from ruamel.yaml import YAML

from stages import split
from stages.lib import tables
from stages.lib.contracts.feature import BASE
from stages.lib.contracts.names import SIDES
from stages.lib.contracts.split import FOLDER, SET_ASIDE, side_path
from stages.lib.review.corrections import Correction, write_corrections
from stages.lib.tables import read_json, read_table


@pytest.fixture
def base(tmp_path, monkeypatch) -> dict[int, dict]:
    """Write a base table of 600 rows; return its rows by their number."""
    monkeypatch.chdir(tmp_path)
    choose = np.random.default_rng(3)
    rows = []
    for _ in range(600):
        account = int(choose.zipf(1.5)) % 30
        day = np.datetime64("2020-01-01") + int(choose.integers(0, 300))
        vendor, memo = choose.integers(0, 40), choose.integers(0, 12)
        rows.append((day, f"shop {vendor}", f"thing {memo}", f"{account:04}"))
    write_base(rows, buckets=[f"<{10 * (1 + i % 2)}" for i in range(600)])
    return {row["row_id"]: row for row in read_table(BASE).to_pylist()}


def run(**changes) -> dict:
    """Run the stage and return its report."""
    yaml = YAML()
    fields = {"fields": FIELDS, "group_column": "vendor", "other": 1}
    preprocess = {"labels": LABELS, "other": 1}
    yaml.dump({"feature": fields, "preprocess": preprocess}, Path("params.yaml"))
    yaml.dump({"split": DEFAULTS | changes}, Path("params_train.yaml"))
    split.main()
    return read_json("metrics/split/report.json")


def sides() -> dict[str, list[dict]]:
    return {name: read_table(side_path(name)).to_pylist() for name in SIDES}


def visible(row: dict) -> tuple:
    return tuple(row[name] for name in ("vendor", "memo", "amount_bucket"))


@pytest.mark.parametrize("strategy", ["stratified", "time", "group"])
def test_every_row_is_dealt_once_and_equal_rows_to_one_side(base, strategy):
    report = run(strategy=strategy)
    dealt = sides()
    aside = read_table(SET_ASIDE).to_pylist()
    ids = [row["row_id"] for rows in dealt.values() for row in rows]
    ids += [row["row_id"] for row in aside]
    assert sorted(ids) == list(base)
    for name, rows in dealt.items():
        assert rows == [base[row["row_id"]] for row in rows]
        assert [row["row_id"] for row in rows] == sorted(row["row_id"] for row in rows)
        assert report["sides"][name]["rows"] == len(rows) > 0
        assert report["sides"][name]["accounts"] == len({row["acct_code"] for row in rows})
        assert report["sides"][name]["vendors"] == len({row["group"] for row in rows})
        assert report["sides"][name]["first_date"] == str(min(row["date"] for row in rows))
        assert report["sides"][name]["last_date"] == str(max(row["date"] for row in rows))
    looks = {name: {visible(row) for row in rows} for name, rows in dealt.items()}
    assert not looks["train"] & looks["test"]
    assert not looks["train"] & looks["val"]
    assert not looks["val"] & looks["test"]
    reasons = [row["reason"] for row in aside]
    assert {why: n for why, n in report["set_aside"].items() if n} == {
        why: reasons.count(why) for why in set(reasons)
    }


def test_the_border_is_counted(base):
    report = run()["border"]
    dealt = sides()
    accounts = {row["acct_code"] for row in dealt["train"]}
    vendors = {row["group"] for row in dealt["train"]}

    def letters(row):
        return tuple("".join(filter(str.isalpha, row[name])) for name in ("vendor", "memo"))

    alike = {letters(row) for row in dealt["train"]}
    expected = {}
    for side in ("val", "test"):
        rows = dealt[side]
        expected |= {
            f"{side}_rows_identical_to_train": 0,
            f"{side}_rows_alike_but_for_digits": sum(letters(r) in alike for r in rows),
            f"{side}_rows_of_unseen_accounts": sum(r["acct_code"] not in accounts for r in rows),
            f"{side}_rows_of_unseen_vendors": sum(r["group"] not in vendors for r in rows),
        }
    assert report == expected
    assert report["test_rows_alike_but_for_digits"] > 0


def test_time_trains_on_the_past(base):
    report = run(strategy="time")
    dealt = sides()
    last = {name: max(row["date"] for row in rows) for name, rows in dealt.items()}
    first = {name: min(row["date"] for row in rows) for name, rows in dealt.items()}
    assert last["train"] < first["val"] <= last["val"] < first["test"]
    assert report["set_aside"]["identical to an earlier side"] > 0


def test_group_keeps_a_vendor_on_one_side(base):
    report = run(strategy="group")
    dealt = sides()
    vendors = [{row["group"] for row in rows} for rows in dealt.values()]
    assert sum(map(len, vendors)) == len(set.union(*vendors)) == 40
    assert report["border"]["test_rows_of_unseen_vendors"] == len(dealt["test"])


def test_group_keeps_a_vendor_on_one_side_whose_texts_have_reference_numbers(base, capsys):
    shops = ["amzn mktp", "paypal *john", "uber trip", "esso", "bell", "ttc", "ikea", "rona"]
    write_base(some_rows([f"{shops[i % 8]} {i:05}" for i in range(240)]))
    report = run(strategy="group")
    (remark,) = [line for line in report["remarks"] if line.startswith("100.0%")]
    assert f"split: {remark}\n" in capsys.readouterr().out
    names = [{row["group"][:-6] for row in rows} for rows in sides().values()]
    assert sum(map(len, names)) == len(set.union(*names)) == 8


def test_group_says_that_it_tests_nothing_where_every_vendor_is_another(base):
    names = [chr(97 + i // 26) + chr(97 + i % 26) for i in range(240)]
    for vendors in (names, [f"inv {i:05}" for i in range(240)]):
        write_base(some_rows(vendors))
        report = run(strategy="group")
        assert len([line for line in report["remarks"] if "stratified" in line]) == 1
        assert run()["remarks"] == []


def file_bytes() -> list[bytes]:
    return [path.read_bytes() for path in [*map(side_path, SIDES), SET_ASIDE]]


def test_the_seed_decides_and_nothing_else(base):
    run()
    first = file_bytes()
    run()
    assert file_bytes() == first
    run(seed=43)
    assert file_bytes() != first


def test_the_number_of_row_groups_makes_no_difference(base, monkeypatch):
    run()
    first, aside = sides(), read_table(SET_ASIDE).to_pylist()
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 350)
    tables.write_table(read_table(BASE), BASE)
    run()
    assert tables.open_table(BASE).num_row_groups == 2
    assert (sides(), read_table(SET_ASIDE).to_pylist()) == (first, aside)


def test_remarks_are_reported_and_printed(base, capsys):
    write_base(some_rows(["big"] * 160 + ["mid"] * 30 + ["low"] * 10))
    report = run(strategy="group")
    assert len(report["remarks"]) == 1
    counts, remark = capsys.readouterr().out.splitlines()
    assert counts == "split: train 160 rows, val 10 rows, test 30 rows"
    assert remark == f"split: {report['remarks'][0]}"
    assert run()["remarks"] == []
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "code", "key"),
    [
        ({"test_size": 0.5, "val_size": 0.5}, "invalid-parameter", "split"),
        ({"label_column": "vendor"}, "invalid-parameter", "split.label_column"),
        ({"min_rows_per_account": 1000}, "empty-side", "set aside 600"),
    ],
)
def test_what_is_impossible_is_one_line_and_leaves_no_file(base, changes, code, key):
    with refused(code, key) as caught:
        run(**changes)
    assert "\n" not in str(caught.value)
    assert not FOLDER.exists()


def test_a_ledger_without_vendors_or_dates_is_refused_where_the_strategy_needs_them(base):
    write_base([(None, "", memo, account) for _, _, memo, account in some_rows([""] * 60)])
    for strategy in ("group", "time"):
        with refused("needs-column", "split.strategy"):
            run(strategy=strategy)
    assert run()["rows_without_vendor"] == 60


def correct(*rows: tuple) -> None:
    """Keep corrections of (vendor, memo, amount_bucket, account)."""
    corrections = []
    for number, (*seen, code) in enumerate(rows):
        fields = dict(zip(FIELDS, seen, strict=True))
        corrections.append(Correction(f"{number:016}", code, "0", None, 5.0, fields))
    write_corrections(corrections, FIELDS)


def with_amounts() -> None:
    """Give the base table the columns that every real one has."""
    table = read_table(BASE)
    for name, column in (
        ("amount", pa.array([1.0] * len(table))),
        ("source_row", pa.array(range(len(table)), pa.int32())),
    ):
        table = table.append_column(name, column)
    tables.write_table(table, BASE)


@pytest.mark.parametrize("strategy", ["stratified", "time", "group"])
def test_a_file_without_corrections_changes_no_byte(base, strategy):
    run(strategy=strategy)
    before = [*file_bytes(), Path("metrics/split/report.json").read_bytes()]
    correct()
    run(strategy=strategy)
    assert [*file_bytes(), Path("metrics/split/report.json").read_bytes()] == before


def test_corrections_follow_the_training_rows_and_no_other_side_changes(base, capsys):
    with_amounts()
    run()
    before, other = sides(), file_bytes()[1:]
    correct(
        ("brand new", "thing", "<20", "7777"),
        ("brand new", "thing", "<20", "0900"),
        (*visible(before["test"][0]), "7777"),
    )
    report = run()
    after = sides()
    count = len(before["train"])
    assert after["train"][:count] == before["train"]
    assert [(row["row_id"], row["acct_code"]) for row in after["train"][count:]] == [(600, "7777")]
    assert file_bytes()[1:] == other
    assert report["sides"]["train"]["rows"] == count
    assert report["corrections"]["added"] == 1
    said = "1 corrections to the closed account 0900 do not count"
    assert f"split: data/corrections.csv: {said}" in capsys.readouterr().out
    first = file_bytes()
    run()
    assert file_bytes() == first
