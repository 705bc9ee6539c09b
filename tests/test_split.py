"""Every row is dealt once, equal rows to one side, and each strategy keeps its promise."""

import ledger_files as ledger
import numpy as np
import pytest
from ledger_files import HEADER, csv_text

from stages import split
from stages.lib.params import UserError
from stages.lib.tables import read_table

SIDES = ("train", "val", "test")


@pytest.fixture
def book(tmp_path, monkeypatch):
    book = ledger.Ledger(tmp_path, monkeypatch)
    choose = np.random.default_rng(3)
    rows = []
    for i in range(600):
        account = int(choose.zipf(1.5)) % 30
        day = np.datetime64("2020-01-01") + int(choose.integers(0, 300))
        vendor, memo = choose.integers(0, 40), choose.integers(0, 12)
        rows.append([str(day), f"shop {vendor}", f"thing {memo}", f"{i % 9}", f"{account:04}", ""])
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    book.preprocess["duplicates"] = "keep"
    book.run("ingest", "preprocess", "feature")
    return book


def sides(book) -> dict[str, list[dict]]:
    return {name: read_table(f"data/split/{name}.parquet").to_pylist() for name in SIDES}


def visible(row: dict) -> tuple:
    return tuple(row[name] for name in ("vendor", "memo", "amount_bucket"))


@pytest.mark.parametrize("strategy", ["stratified", "time", "group"])
@pytest.mark.parametrize("limit", [None, 150])
def test_every_row_is_dealt_once_and_equal_rows_to_one_side(book, strategy, limit):
    book.split.update(strategy=strategy, max_train_rows=limit)
    report = book.run("split")
    dealt = sides(book)
    aside = read_table("data/split/set_aside.parquet").to_pylist()
    base = {row["row_id"]: row for row in read_table("data/feature/base.parquet").to_pylist()}
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
    if limit:
        assert len(dealt["train"]) == limit
        reasons = [row["reason"] for row in aside]
        assert (
            reasons.count("beyond max_train_rows") == report["set_aside"]["beyond max_train_rows"]
        )


def test_the_border_is_counted(book):
    report = book.run("split")["border"]
    dealt = sides(book)
    accounts = {row["acct_code"] for row in dealt["train"]}
    vendors = {row["group"] for row in dealt["train"]}

    def letters(row):
        return tuple("".join(filter(str.isalpha, row[name])) for name in ("vendor", "memo"))

    alike = {letters(row) for row in dealt["train"]}
    assert report == {
        "test_rows_identical_to_train": 0,
        "test_rows_alike_but_for_digits": sum(letters(r) in alike for r in dealt["test"]),
        "test_rows_of_unseen_accounts": sum(r["acct_code"] not in accounts for r in dealt["test"]),
        "test_rows_of_unseen_vendors": sum(r["group"] not in vendors for r in dealt["test"]),
    }


def test_time_trains_on_the_past(book):
    book.split["strategy"] = "time"
    report = book.run("split")
    dealt = sides(book)
    last = {name: max(row["date"] for row in rows) for name, rows in dealt.items()}
    first = {name: min(row["date"] for row in rows) for name, rows in dealt.items()}
    assert last["train"] < first["val"] <= last["val"] < first["test"]
    assert report["set_aside"]["identical to an earlier side"] > 0


def test_group_keeps_a_vendor_on_one_side(book):
    book.split["strategy"] = "group"
    report = book.run("split")
    dealt = sides(book)
    vendors = [{row["group"] for row in rows} for rows in dealt.values()]
    assert sum(map(len, vendors)) == len(set.union(*vendors)) == 40
    assert report["border"]["test_rows_of_unseen_vendors"] == len(dealt["test"])


def test_the_seed_decides_and_nothing_else(book):
    def ids():
        return [[row["row_id"] for row in rows] for rows in sides(book).values()]

    book.run("split")
    first = ids()
    bytes_before = [(book.folder / f"data/split/{name}.parquet").read_bytes() for name in SIDES]
    book.run("split")
    assert ids() == first
    assert bytes_before == [(book.folder / f"data/split/{n}.parquet").read_bytes() for n in SIDES]
    book.split["seed"] = 43
    book.run("split")
    assert ids() != first


def test_rare_accounts_are_set_aside_and_counted(book):
    base = read_table("data/feature/base.parquet")["acct_code"].to_pylist()
    rare = [code for code in base if base.count(code) < 5]
    book.split["min_rows_per_account"] = 5
    report = book.run("split")
    assert report["set_aside"]["rare account"] == len(rare) > 0
    left = {row["acct_code"] for rows in sides(book).values() for row in rows}
    assert not left & set(rare)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_shares_of_a_large_account_are_met():
    label, groups = np.repeat([0, 7], [1000, 3000]), np.arange(4000)
    side = split.deal_by_lot(groups, label, 0.1, 0.2, rng())
    for account, rows in ((0, 1000), (7, 3000)):
        counts = np.bincount(side[label == account], minlength=3)
        assert abs(counts[split.TEST] - 0.2 * rows) <= 1
        assert abs(counts[split.VAL] - 0.1 * rows) <= 1


def test_accounts_of_one_row_are_dealt_by_lot():
    ids = np.arange(20_000)
    counts = np.bincount(split.deal_by_lot(ids, ids, 0.1, 0.2, rng()), minlength=3)
    # Four standard deviations of a binomial draw.
    assert abs(counts[split.TEST] - 4000) < 4 * np.sqrt(20_000 * 0.2 * 0.8)
    assert abs(counts[split.VAL] - 2000) < 4 * np.sqrt(20_000 * 0.1 * 0.9)


def test_subset_keeps_every_account_and_its_share():
    label = np.repeat([0, 1, 2, 3], [8000, 1900, 99, 1])
    keep = split.stratified_subset(label, 1000, rng())
    counts = np.bincount(label[keep])
    assert keep.sum() == 1000
    assert counts.tolist() == pytest.approx([800, 190, 10, 1], abs=2)
    assert counts.min() >= 1
    assert label[split.stratified_subset(label, 2, rng())].tolist() == [0, 1]


def test_links_run_through_vendors_and_equal_rows():
    choose = rng(1)
    for _ in range(50):
        same = choose.integers(0, 30, 60)
        same = np.array([np.flatnonzero(same == s)[0] for s in same])
        vendor = choose.integers(-1, 25, 60)
        vendor = np.array([-1 if v < 0 else np.flatnonzero(vendor == v)[0] for v in vendor])
        found = split.linked_groups(same, vendor)
        # Flood from each row, one link at a time.
        for start in range(60):
            reached, edge = {start}, [start]
            while edge:
                row = edge.pop()
                near = (same == same[row]) | ((vendor == vendor[row]) & (vendor[row] >= 0))
                edge += [other for other in np.flatnonzero(near).tolist() if other not in reached]
                reached |= set(edge)
            assert set(np.flatnonzero(found == found[start]).tolist()) == reached


def test_days_are_not_torn():
    date = np.array(["2020-01-01"] * 5 + ["2020-01-02"] * 3 + ["2020-01-03"] * 2, "M8[D]")
    side = split.deal_by_time(date, np.ones(10, bool), 0.3, 0.2)
    assert side.tolist() == [split.TRAIN] * 5 + [split.VAL] * 3 + [split.TEST] * 2


@pytest.mark.parametrize(
    ("split_params", "feature_params", "message"),
    [
        ({"test_size": 0.5, "val_size": 0.5}, {}, "must be below 1"),
        ({"label_column": "code"}, {}, "has no column code"),
        ({"min_rows_per_account": 1000}, {}, "train comes out empty .*600 rows set aside"),
        ({"strategy": "group"}, {"group_column": None}, "group needs vendors"),
        ({"strategy": "time"}, {"date_column": None}, "time needs dates"),
    ],
)
def test_the_impossible_is_one_line(book, split_params, feature_params, message):
    book.split.update(split_params)
    book.feature.update(feature_params)
    with pytest.raises(UserError, match=message) as error:
        book.run("feature", "split")
    assert "\n" not in str(error.value)
