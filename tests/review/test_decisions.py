"""Which rows are posted unseen, and every reason why one is not."""

import numpy as np
import pytest

from stages.lib.params.predict import Review
from stages.lib.review.decisions import Proposals, is_drawn, reasons_to_review
from stages.lib.review.keys import row_key
from stages.lib.review.words import decode_reason

RULES = {"amount_above": None, "accounts": [], "vendors": [], "fewer_rows_than": 5}
RULES |= {"share": 0.0, "seed": 42}
TRAINED = {"0101": 100, "2010": 4}
KEYS = [row_key("a.csv", "", row, []) for row in range(20_000)]


def reasons(threshold=0.8, precision=0.95, rules=None, **row) -> list[tuple[str, dict]]:
    """Return the reasons of one row that would be posted but for what is given."""
    sure = {"keys": "0" * 16, "accounts": "0101", "confidence": 0.9, "amounts": 10.0}
    sure |= {"vendors": "esso", "given": "", "equal": 0, "equal_right": 0, "disagree": False}
    columns = {name: [value] for name, value in {**sure, **row}.items()}
    for name in ("confidence", "equal", "equal_right", "disagree"):
        columns[name] = np.array(columns[name])
    settings = Review.model_validate({**RULES, **(rules or {})})
    (found,) = reasons_to_review(Proposals(**columns), threshold, precision, TRAINED, settings)
    return [decode_reason(reason) for reason in found]


def test_a_sure_row_is_posted():
    assert reasons() == reasons(confidence=0.8) == []


@pytest.mark.parametrize(
    ("row", "rules", "expected"),
    [
        ({"confidence": 0.79}, {}, ("below_threshold", {})),
        ({"confidence": 1.0, "threshold": None}, {}, ("below_threshold", {})),
        ({"disagree": True}, {}, ("corrections_disagree", {})),
        ({"given": "2010"}, {}, ("given_account_differs", {"account": "2010"})),
        ({"amounts": 500.01}, {"amount_above": 500.0}, ("amount_above", {"limit": 500.0})),
        ({"amounts": -500.01}, {"amount_above": 500.0}, ("amount_above", {"limit": 500.0})),
        ({"amounts": None}, {"amount_above": 500.0}, ("no_amount", {"limit": 500.0})),
        ({}, {"accounts": ["0101"]}, ("listed_account", {})),
        ({"vendors": "grand hotel 7"}, {"vendors": ["*HOTEL*"]}, ("listed_vendor", {})),
        ({"vendors": "서울 호텔"}, {"vendors": ["*호텔"]}, ("listed_vendor", {})),
        ({"accounts": "2010"}, {}, ("few_rows", {"rows": 4})),
        ({"accounts": "new"}, {"fewer_rows_than": 1}, ("few_rows", {"rows": 0})),
        ({}, {"share": 1.0}, ("random_check", {})),
    ],
)
def test_each_reason(row, rules, expected):
    assert reasons(rules=rules, **row) == [expected]


@pytest.mark.parametrize(
    ("row", "rules"),
    [
        ({"given": "0101"}, {}),
        ({"amounts": 500.0}, {"amount_above": 500.0}),
        ({"amounts": None}, {}),
        ({}, {"accounts": ["2010", "101"]}),
        ({"vendors": "hotels"}, {"vendors": ["hotel", ""]}),
        ({"accounts": "2010"}, {"fewer_rows_than": 4}),
    ],
)
def test_what_is_no_reason(row, rules):
    assert reasons(rules=rules, **row) == []


def test_a_block_of_equal_rows_that_is_posted_elsewhere_in_one_of_ten_cases_is_reviewed():
    block = {"equal": 500, "equal_right": 450, "confidence": 0.999}
    assert reasons(**block) == [("past_rows_disagree", {"right": 450, "rows": 500})]
    assert reasons(precision=0.9, **block) == []
    # One exception among forty does not turn a vendor.
    assert reasons(equal=41, equal_right=40) == []
    assert reasons(equal=20, equal_right=19) == []
    assert reasons(equal=19, equal_right=18) == [("past_rows_disagree", {"right": 18, "rows": 19})]


def test_a_row_has_all_its_reasons_and_is_not_drawn_besides():
    found = reasons(
        confidence=0.1,
        given="2010",
        amounts=9.0,
        rules={"amount_above": 1.0, "share": 1.0, "accounts": ["0101"]},
    )
    assert [code for code, _ in found] == [
        "below_threshold",
        "given_account_differs",
        "amount_above",
        "listed_account",
    ]


def test_the_share_that_is_drawn_is_the_one_that_is_set():
    for share in (0.02, 0.5):
        drawn = sum(is_drawn(key, share, 42) for key in KEYS)
        spread = (len(KEYS) * share * (1 - share)) ** 0.5
        assert abs(drawn - len(KEYS) * share) < 4 * spread
    assert not any(is_drawn(key, 0.0, 42) for key in KEYS)
    assert all(is_drawn(key, 1.0, 42) for key in KEYS)


def test_another_seed_draws_other_rows_and_a_larger_share_the_same_and_more():
    def drawn(share: float, seed: int) -> set[str]:
        return {key for key in KEYS[:5_000] if is_drawn(key, share, seed)}

    assert drawn(0.02, 1) < drawn(0.1, 1)
    both = drawn(0.1, 1) & drawn(0.1, 2)
    assert 20 < len(both) < 90  # 50 of 5,000 by chance


def test_rows_are_decided_one_by_one_whatever_others_there_are():
    def decide(keys: list[str]) -> list[bool]:
        count = len(keys)
        rows = Proposals(
            keys,
            ["0101"] * count,
            np.full(count, 0.9),
            [1.0] * count,
            ["esso"] * count,
            [""] * count,
            *np.zeros((2, count), np.int64),
            np.zeros(count, bool),
        )
        rules = Review.model_validate({**RULES, "share": 0.3})
        return [bool(found) for found in reasons_to_review(rows, 0.8, 0.95, TRAINED, rules)]

    together = decide(KEYS[:200])
    assert 30 < sum(together) < 90
    assert together == [decide([key])[0] for key in KEYS[:200]]
    assert decide([]) == []
