"""Every row is dealt once, equal rows to one side, and each strategy keeps its promise."""

from itertools import product

import ledger_files as ledger
import numpy as np
import pytest
from ledger_files import HEADER, csv_text

from stages import split
from stages.lib import tables
from stages.lib.errors import UserError
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


def test_rows_without_letters_are_not_alike(tmp_path, monkeypatch):
    book = ledger.Ledger(tmp_path, monkeypatch)
    rows = [["2020-04-16", str(i), f"{i * 7}-{i}", "1", f"010{i % 3}", ""] for i in range(60)]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *rows]))
    border = book.run("ingest", "preprocess", "feature", "split")["border"]
    assert border["test_rows_alike_but_for_digits"] == 0


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


def test_a_long_chain_of_links_is_one_group():
    rows = np.arange(300_000)
    same, vendor = rows // 2 * 2, np.maximum(0, (rows + 1) // 2 * 2 - 1)
    assert not split.linked_groups(same, vendor).any()


def of_rows(book, rows: list[tuple]) -> dict:
    """Split rows of (day, vendor, memo, account)."""
    table = [[str(d), v, m, "1", a, ""] for d, v, m, a in rows]
    (book.raw / "a.csv").write_text(csv_text([HEADER, *table]))
    book.preprocess["duplicates"] = "keep"
    book.ingest.update(required=["account"], min_content_match=0.0)
    return book.run("ingest", "preprocess", "feature", "split")


@pytest.fixture
def small(tmp_path, monkeypatch):
    return ledger.Ledger(tmp_path, monkeypatch)


def some_rows(vendors: list[str]) -> list[tuple]:
    return [
        (np.datetime64("2020-01-01") + i % 90, vendor, f"memo {i}", f"010{i % 4}")
        for i, vendor in enumerate(vendors)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_dominating_vendor_does_not_make_a_side_too_large(small, seed, capsys):
    small.split.update(strategy="group", seed=seed)
    report = of_rows(small, some_rows(["big"] * 86 + [f"v{i % 25}" for i in range(114)]))
    got = [side["share_before_max_train_rows"] for side in report["sides"].values()]
    assert got == pytest.approx([0.7, 0.1, 0.2], abs=0.0101)
    assert (report["remarks"], capsys.readouterr().out) == ([], "")


def test_shares_that_whole_vendors_cannot_meet_are_reported_and_printed(small, capsys):
    small.split["strategy"] = "group"
    report = of_rows(small, some_rows(["big"] * 160 + ["mid"] * 30 + ["low"] * 10))
    assert [side["rows"] for side in report["sides"].values()] == [160, 10, 30]
    remark = (
        "shares of the rows: train 80.0% (asked for 70.0%), val 5.0% (asked for 10.0%), test 15.0% "
        "(asked for 20.0%); strategy group parts no vendor (with those that identical rows tie to "
        "it), and the largest holds 80.0% of the rows"
    )
    assert report["remarks"] == [remark]
    assert capsys.readouterr().out == f"split: {remark}\n"


SHARES = np.array([0.7, 0.1, 0.2])


def test_few_groups_are_dealt_as_well_as_by_any_assignment():
    choose = rng(4)
    for _ in range(40):
        sizes = choose.integers(1, 40, 6)
        groups = np.repeat(np.arange(6), sizes)
        side = split.deal_groups(groups, groups, SHARES, choose)
        assert len(set(zip(groups.tolist(), side.tolist(), strict=True))) == 6

        def missed(held, sizes=sizes):
            counts = np.bincount(held, weights=sizes, minlength=3)
            return np.abs(counts / sizes.sum() - SHARES).sum()

        best = min(
            missed(np.array(held)) for held in product(range(3), repeat=6) if len(set(held)) == 3
        )
        assert missed(side[np.cumsum(sizes) - 1]) == pytest.approx(best)


def test_a_dozen_groups_are_dealt_nearly_as_asked():
    groups = np.repeat(np.arange(13), [5] * 8 + [4] * 5)
    for seed in range(20):
        counts = np.bincount(split.deal_groups(groups, groups, SHARES, rng(seed)), minlength=3)
        assert np.abs(counts - SHARES * 60).sum() <= 4


def test_large_groups_leave_the_shares_to_small_ones():
    choose = rng(8)
    for largest in (1, 30, 500, 3000, 6900):
        sizes = np.r_[largest, choose.zipf(1.7, 3000).clip(0, 300)]
        groups = np.repeat(np.arange(len(sizes)), sizes)
        side = split.deal_groups(groups, choose.integers(0, 50, len(groups)), SHARES, choose)
        got = np.bincount(side) / len(groups)
        assert got == pytest.approx(SHARES, abs=split.TOLERANCE / 4)


def test_large_groups_stand_on_each_side_in_turn():
    sizes = np.r_[[200] * 20, [1] * 6000]
    groups, counts = np.repeat(np.arange(len(sizes)), sizes), np.zeros(3)
    for seed in range(30):
        side = split.deal_groups(groups, groups, SHARES, rng(seed))
        counts += np.bincount(side[: 20 * 200 : 200], minlength=3)
    assert counts / 600 == pytest.approx(SHARES, abs=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_large_blocks_of_identical_rows_train(small, seed):
    small.split["seed"] = seed
    rows = some_rows([f"v{i}" for i in range(1000)])
    day = rows[0][0]
    rows += [(day, "toll", "road", "0101")] * 40 + [(day, "a", "b", "0102")] * 5
    report = of_rows(small, rows)
    assert report["rows_of_large_blocks_to_train"] == 40
    assert [row["vendor"] for row in sides(small)["train"]].count("toll") == 40
    assert max(report["sides"][n]["rows_of_the_largest_block"] for n in ("val", "test")) <= 5
    got = [side["share_before_max_train_rows"] for side in report["sides"].values()]
    assert got == pytest.approx([0.7, 0.1, 0.2], abs=0.011)


def test_large_blocks_leave_half_of_train_to_the_lot():
    same = np.repeat(np.arange(4), [50, 30, 20, 2])
    found = split.large_blocks(same, same, 10, 60)
    assert np.bincount(same[found], minlength=4).tolist() == [50, 0, 0, 0]
    found = split.large_blocks(same, same, 10, 45)
    assert np.bincount(same[found], minlength=4).tolist() == [0, 30, 0, 0]
    groups = np.where(same == 3, 2, same)
    assert np.bincount(same[split.large_blocks(same, groups, 10, 99)]).tolist() == [50, 30]
    found = split.large_blocks(same, groups, 15, 30)
    assert np.bincount(same[found], minlength=4).tolist() == [0, 30, 0, 0]


def test_most_rows_without_a_vendor_are_dealt_one_by_one_and_printed(small, capsys):
    small.split["strategy"] = "group"
    vendors = ["" if i % 5 else f"v{i % 7}" for i in range(200)]
    report = of_rows(small, some_rows(vendors))
    assert report["rows_without_vendor"] == 160
    assert report["remarks"] == ["80.0% of the rows have no vendor and are dealt one by one"]
    assert capsys.readouterr().out == f"split: {report['remarks'][0]}\n"


def test_fewer_training_rows_than_accounts_are_reported_and_printed(small, capsys):
    small.split["max_train_rows"] = 2
    report = of_rows(small, some_rows(["v"] * 200))
    assert report["sides"]["train"]["rows"] == 2
    remark = "max_train_rows 2 leaves 2 of 4 accounts without a training row"
    assert report["remarks"] == [remark]
    assert capsys.readouterr().out == f"split: {remark}\n"


def test_time_puts_undated_rows_aside_and_says_so(small, capsys):
    small.split["strategy"] = "time"
    rows = [("" if i % 3 else day, *rest) for i, (day, *rest) in enumerate(some_rows(["v"] * 180))]
    report = of_rows(small, rows)
    assert report["set_aside"]["no date"] == 120
    assert report["remarks"][-1] == "66.7% of the rows have no date and are set aside"


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        (some_rows(["v"] * 2), {}, "comes out empty .*2 rows are too few"),
        ([(*r[:3], "0101") for r in some_rows(["v"] * 60)], {}, "all 42 training rows have the"),
        (some_rows(["v"] * 60), {"max_train_rows": 1}, "all 1 training rows have the same"),
        (some_rows(["v"] * 60), {"strategy": "group"}, "largest holds 100.0% of the rows"),
        (
            some_rows(["v"] * 40 + ["w"] * 20),
            {"strategy": "group", "max_train_rows": 5},
            r"val comes out empty \(train 40, val 0, test 20; 0 rows .* largest holds 66.7% of the",
        ),
        ([("", *r[1:]) for r in some_rows(["v"] * 60)], {"strategy": "time"}, "time needs dates"),
        (
            [("2020-01-01", *r[1:]) for r in some_rows(["v"] * 60)],
            {"strategy": "time"},
            "val comes out empty .*parts no day, and the largest holds 100.0% of the rows",
        ),
        ([("2020-01-01", "v", "m", "0101")] * 60, {}, "comes out empty .*holds 100.0% of the rows"),
    ],
)
def test_ledgers_that_cannot_be_split_are_one_line(small, rows, change, message):
    small.split.update(change)
    with pytest.raises(UserError, match=message) as error:
        of_rows(small, rows)
    assert "\n" not in str(error.value)
    assert not (small.folder / "data/split").exists()


def test_time_cuts_come_nearest_to_the_shares():
    choose = rng(9)
    for _ in range(60):
        counts = choose.integers(1, 30, choose.integers(3, 9))
        date = np.repeat(np.datetime64("2020-01-01") + np.arange(len(counts)), counts)
        ids = np.arange(len(date))
        side = split.deal_by_time(date, ids, np.ones(len(date), bool), 0.1, 0.2)
        assert (np.diff(side) >= 0).all()
        edges = np.cumsum(counts) / counts.sum()
        best = min(
            abs(edges[i] - 0.7) + abs(edges[j] - 0.8)
            for j in range(len(counts) - 1)
            for i in range(j)
        )
        train, val, test = np.bincount(side, minlength=3) / counts.sum()
        assert min(train, val, test) > 0
        assert abs(train - 0.7) + abs(test - 0.2) == pytest.approx(best)


def test_time_cuts_allow_for_the_rows_that_come_again(small):
    small.split["strategy"] = "time"
    choose, rows = rng(6), []
    for i in range(3000):
        text = f"rent {choose.integers(40)}" if choose.random() < 0.4 else f"memo {i}"
        rows.append((np.datetime64("2020-01-01") + i // 20, "v", text, f"010{i % 4}"))
    report = of_rows(small, rows)
    assert report["set_aside"]["identical to an earlier side"] > 200
    got = [side["share_before_max_train_rows"] for side in report["sides"].values()]
    assert got == pytest.approx([0.7, 0.1, 0.2], abs=split.TOLERANCE)
    assert report["remarks"] == []


def test_days_are_not_torn():
    date = np.array(["2020-01-01"] * 5 + ["2020-01-02"] * 3 + ["2020-01-03"] * 2, "M8[D]")
    side = split.deal_by_time(date, np.arange(10), np.ones(10, bool), 0.3, 0.2)
    assert side.tolist() == [split.TRAIN] * 5 + [split.VAL] * 3 + [split.TEST] * 2


@pytest.mark.parametrize(
    ("split_params", "feature_params", "message"),
    [
        ({"test_size": 0.5, "val_size": 0.5}, {}, "must be below 1"),
        ({"label_column": "vendor"}, {}, "label_column: Input should be 'acct_code'"),
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


def test_a_field_that_the_base_table_lacks_is_named(book):
    book.feature["fields"] = ["code"]
    with pytest.raises(UserError, match=r"has no column code; .*feature.fields"):
        book.run("split")
    tables.write_table(read_table(split.IN).drop(["date", "group"]), split.IN)
    with pytest.raises(UserError, match=r"has no column code, date, group; "):
        book.run("split")
