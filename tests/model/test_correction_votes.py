"""A correction counts at once: for its vendor, however spelled, and for no other row."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.model import correction_votes as votes_of
from stages.lib.model.correction_votes import (
    BEFORE,
    CORRECTION,
    POWER,
    Similar,
    build_corrections,
    correction_votes,
    experts_to_show,
    find_similar,
    follow_corrections,
    leave_out_known,
    nearest_with_corrections,
)
from stages.lib.model.past_postings import Neighbours, build_index, nearest_rows
from stages.lib.model.text_experts import TextExperts
from stages.lib.params.classify import PastPostingsParams

FIELDS = ["vendor", "memo"]
SETTINGS = PastPostingsParams(neighbours=100, power=6.0, keep_text=True)
OTHERS = [("bell canada", "phone", "2"), ("staples", "paper", "3"), ("esso", "fuel", "1")]


def table(rows, day=None):
    vendor, memo, code = (list(column) for column in zip(*rows, strict=True))
    days = pa.array([day] * len(rows), pa.date32())
    return pa.table({"date": days, "vendor": vendor, "memo": memo, "acct_code": code})


def experts_of(rows):
    """Return experts whose past postings are `rows`."""
    shown = table(rows)
    accounts = sorted(set(shown["acct_code"].to_pylist()))
    label = np.array([accounts.index(code) for code in shown["acct_code"].to_pylist()])
    past = build_index(columns_of(rows), label, len(accounts), SETTINGS)
    return TextExperts(accounts, FIELDS, None, past, shown)


def columns_of(rows):
    return [[row[0] for row in rows], [row[1] for row in rows]]


def follow(past, said, rows, chance, vendor="vendor"):
    """Return the account and probability of each row that a correction is like, and `disagree`."""
    experts = experts_of(past)
    corrections = build_corrections(experts, table(said), vendor)
    columns = columns_of(rows)
    similar = find_similar(corrections, columns)
    votes, disagree = correction_votes(corrections, similar, len(rows))
    before = np.array([[chance[code] for code in experts.accounts]] * len(rows))
    near = nearest_rows(experts.past, columns)
    touched, after = follow_corrections(before, votes, similar, experts.past.label, near)
    best = {
        int(row): (corrections.accounts[p.argmax()], float(p.max()))
        for row, p in zip(touched, after, strict=True)
    }
    return best, disagree.tolist()


WRONG = {"1": 0.97, "2": 0.01, "3": 0.02}


def test_a_vendor_that_was_wrong_ten_times_is_right_after_one_correction_in_any_spelling():
    past = OTHERS + [("acme ltd", "bolts", "1")] * 10
    rows = [("acme ltd", "bolts"), ("acme ltd.", "bolts"), ("acme limited #12", "bolts")]
    best, disagree = follow(past, [("acme ltd", "bolts", "3")], rows, WRONG)
    assert [best[row][0] for row in range(3)] == ["3", "3", "3"]
    assert disagree == [False, False, False]
    # Rows of a vendor without past postings follow in other words too.
    best, _ = follow(OTHERS * 5, [("acme ltd", "bolts", "3")], rows, WRONG)
    assert min(p for _, p in best.values()) > 0.9
    assert {code for code, _ in best.values()} == {"3"}


def test_one_exception_does_not_turn_a_vendor_with_forty_right_postings():
    past = OTHERS + [("acme ltd", "bolts", "1")] * 40
    row = [("acme ltd", "bolts")]
    best, _ = follow(past, [("acme ltd", "bolts", "3")], row, WRONG)
    assert best[0][0] == "1"
    assert best[0][1] == pytest.approx((BEFORE * 0.97 + 40) / (BEFORE + 40 + CORRECTION), abs=1e-3)
    confirmed = [("acme ltd", "bolts", "1")] * 40
    best, disagree = follow(OTHERS, [*confirmed, ("acme ltd", "bolts", "3")], row, WRONG)
    assert best[0][0] == "1"
    assert disagree == [True]


def test_rows_of_other_vendors_are_not_reached():
    said = [("acme ltd", "bolts", "3")]
    rows = [("acme hardware", "bolts"), ("bell canada", "bolts"), ("", "bolts"), ("acm", "bolts")]
    best, disagree = follow(OTHERS, said, rows, WRONG)
    assert (best, disagree) == ({}, [False] * 4)


def test_a_row_of_the_vendor_that_says_something_else_is_not_reached():
    past = OTHERS + [("amazon", "toner", "3"), ("amazon", "novel", "2")] * 3
    best, _ = follow(past, [("amazon", "toner", "1")], [("amazon", "novel")], WRONG)
    assert best == {}


def test_five_answers_of_one_account_are_about_all_rows_of_the_vendor():
    past = [*OTHERS, ("esso", "snow tires", "1"), ("staples", "snow tires", "3")] * 4
    said = [("acme", f"job {n} north", "3") for n in range(5)]
    row = [("acme ltd", "snow tires")]
    assert follow(past, said, row, WRONG)[0][0][0] == "3"
    assert follow(past, said[:4], row, WRONG)[0] == {}
    assert follow(past, [*said, ("acme", "job 9 north", "2")], row, WRONG)[0] == {}
    assert follow(past, said, row, WRONG, vendor=None)[0] == {}
    nameless = [("", memo, code) for _, memo, code in said]
    assert follow(past, nameless, [("", "snow tires")], WRONG)[0] == {}
    right = [*past, *[("acme", "snow tires", "1")] * 40]
    assert follow(right, said, row, WRONG)[0][0][0] == "1"


def test_without_a_vendor_among_the_fields_similarity_alone_decides():
    said = [("acme ltd", "bolts", "3")]
    rows = [("acme ltd", "bolts"), ("acme limited", "bolts"), ("esso", "fuel")]
    best, _ = follow(OTHERS, said, rows, WRONG, vendor=None)
    assert {row: code for row, (code, _) in best.items()} == {0: "3", 1: "3"}


def test_equal_rows_with_different_corrections_disagree():
    said = [("acme ltd", "bolts", "3"), ("acme inc", "bolts", "2"), ("esso", "fuel", "1")]
    rows = [("esso", "fuel"), ("acme", "bolts"), ("bell canada", "phone")]
    best, disagree = follow(OTHERS, said, rows, WRONG)
    assert disagree == [False, True, False]
    assert sorted(best) == [0, 1]


def test_an_account_without_a_past_posting_is_proposed_from_corrections_alone():
    said = [("acme", "bolts", "9"), ("acme", "nuts", "0")]
    best, _ = follow(OTHERS, said, [("acme", "bolts")], WRONG)
    assert best[0][0] == "9"
    corrections = build_corrections(experts_of(OTHERS), table([("a", "b", "9")]), "vendor")
    assert corrections.accounts == ["1", "2", "3", "9"]


def test_a_vote_is_a_power_of_the_similarity():
    corrections = build_corrections(experts_of(OTHERS), table([("a", "b", "3")] * 2), "vendor")
    similar = Similar(np.array([1, 1]), np.array([0, 1]), np.array([0.8, 0.9]))
    votes, disagree = correction_votes(corrections, similar, 3)
    expected = np.zeros((3, 3))
    expected[1, 2] = CORRECTION * (0.8**POWER + 0.9**POWER)
    np.testing.assert_allclose(votes, expected)
    assert disagree.tolist() == [False] * 3


def test_a_row_is_like_the_same_corrections_alone_and_among_others(monkeypatch):
    said = [(f"shop {i % 3}", f"memo {i} bolts", "3") for i in range(40)]
    corrections = build_corrections(experts_of(OTHERS + said), table(said), "vendor")
    rows = [(f"shop {i % 4} ltd", f"memo {i} bolts") for i in range(30)]
    whole = find_similar(corrections, columns_of(rows))
    assert len(whole.row) > 30
    monkeypatch.setattr(votes_of, "CHUNK", 7)
    for i, row in enumerate(rows):
        alone = find_similar(corrections, columns_of([row]))
        mine = whole.row == i
        assert alone.correction.tolist() == whole.correction[mine].tolist()
        assert alone.similarity.tolist() == whole.similarity[mine].tolist()


def test_no_corrections_and_no_rows_are_no_error():
    experts = experts_of(OTHERS)
    none = build_corrections(experts, table(OTHERS).slice(0, 0), "vendor")
    rows = columns_of([("esso", "fuel")])
    similar = find_similar(none, rows)
    assert len(similar.row) == 0
    votes, disagree = correction_votes(none, similar, 1)
    near = nearest_rows(experts.past, rows)
    chance, label = np.ones((1, 3)) / 3, experts.past.label
    touched, after = follow_corrections(chance, votes, similar, label, near)
    assert (len(touched), len(after), disagree.tolist()) == (0, 0, [False])
    some = build_corrections(experts, table(OTHERS), "vendor")
    assert len(find_similar(some, [[], []]).row) == 0


def test_corrections_are_shown_before_past_postings():
    past = Neighbours(np.array([[4, 2, -1], [1, 0, 3]]), np.array([[0.9, 0.5, 0], [1, 0.8, 0.7]]))
    similar = Similar(np.array([1, 1]), np.array([0, 2]), np.array([0.8, 0.95]))
    near = nearest_with_corrections(past, similar, 10, 3)
    assert near.position.tolist() == [[4, 2, -1], [12, 10, 1]]
    assert near.similarity.tolist() == [[0.9, 0.5, 0], [0.95, 0.8, 1]]
    experts = experts_of(OTHERS)
    said = build_corrections(experts, table([("a", "b", "9")], datetime.date(2024, 1, 1)), None)
    to_show = experts_to_show(experts, said)
    assert [row["acct_code"] for row in to_show.shown.to_pylist()] == ["2", "3", "1", "9"]
    assert [to_show.accounts[place] for place in to_show.past.label] == ["2", "3", "1", "9"]
    assert experts_to_show(experts._replace(shown=None), said).shown is None
    assert len(experts.past.label) == experts.shown.num_rows == 3


def test_posted_rows_that_are_known_already_are_left_out():
    experts, said = experts_of(OTHERS), table([("acme", "bolts", "2")])
    rows = [*OTHERS, ("acme", "bolts", "2"), ("acme", "bolts", "3"), ("esso", "oil", "9")]
    fresh, known = leave_out_known(experts, table(rows), said)
    assert fresh["acct_code"].to_pylist() == ["3", "9"]
    assert known.num_rows == 4
    fresh, _ = leave_out_known(experts, table(rows, datetime.date(2024, 1, 1)), said)
    assert fresh.num_rows == 6
    fresh, _ = leave_out_known(experts._replace(shown=None), table(rows), said)
    assert fresh.num_rows == 5
