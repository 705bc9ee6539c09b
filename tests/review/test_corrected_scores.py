"""Scores after corrections, within the accounts that are allowed."""

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.evaluation.calibration import calibrate
from stages.lib.evaluation.metrics import summarise_scores
from stages.lib.model.correction_votes import build_corrections
from stages.lib.model.past_postings import build_index, nearest_rows
from stages.lib.model.text_experts import TextExperts
from stages.lib.params.classify import PastPostingsParams
from stages.lib.review.corrected_scores import correct_scores, mask_accounts

SHOPS = ["esso", "bell canada", "staples", "acme ltd"]
MEMOS = ["fuel", "phone", "paper", "bolts"]
CONFIDENCE = (0.9, 0.7, 0.2)
LOGITS = np.random.default_rng(0).normal(0, 2, (8, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def experts():
    settings = PastPostingsParams(neighbours=10, power=6.0, keep_text=False)
    past = build_index([SHOPS, MEMOS], np.arange(4), 4, settings)
    return TextExperts(["1", "2", "3", "4"], ["shop", "memo"], None, past, None)


def scores_of(experts, said, allowed=None, rows=slice(None)):
    """Code rows of each shop, twice, after corrections of (shop, memo, account)."""
    shop, memo, code = zip(*said, strict=True) if said else ((), (), ())
    columns = {"shop": shop, "memo": memo, "acct_code": code}
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    table = table.append_column("date", pa.nulls(len(table), pa.date32()))
    corrections = build_corrections(experts, table, "shop")
    cells = [[*SHOPS, *SHOPS][rows], [*MEMOS, *MEMOS][rows]]
    near = nearest_rows(experts.past, cells)
    if allowed is None:
        allowed = np.ones(len(corrections.accounts), bool)
    return correct_scores(
        LOGITS[rows], cells, near, experts.past, corrections, np.array(allowed), CONFIDENCE
    )


def test_without_a_similar_correction_the_scores_are_the_same_bits(experts):
    before = calibrate(summarise_scores(LOGITS, np.full(8, 4), 1.0), CONFIDENCE)
    none = scores_of(experts, [])
    after = scores_of(experts, [("acme ltd", "bolts", "9"), ("nobody", "x", "8")])
    assert after.touched.tolist() == [False, False, False, True] * 2
    for found, rows in ((none, slice(None)), (after, ~after.touched)):
        assert found.scores.top[rows].tobytes() == before.top[rows].tobytes()
        assert found.scores.probability[rows].tobytes() == before.probability[rows].tobytes()


def test_a_row_gets_alone_what_it_gets_among_others(experts):
    said = [("acme ltd", "bolts", "9"), ("esso", "fuel", "2")]
    whole = scores_of(experts, said)
    for row in range(8):
        alone = scores_of(experts, said, rows=slice(row, row + 1))
        assert alone.scores.top.tobytes() == whole.scores.top[row : row + 1].tobytes()
        expected = whole.scores.probability[row : row + 1]
        np.testing.assert_allclose(alone.scores.probability, expected, rtol=1e-12)


def test_a_corrected_row_follows_and_shows_its_correction(experts):
    found = scores_of(experts, [("acme ltd", "bolts", "9")])
    assert found.scores.top[3][0] == found.scores.top[7][0] == 4
    assert found.nearest.position[3].tolist() == [4, 3, -1]
    assert found.disagree.tolist() == [False] * 8
    both = scores_of(experts, [("acme ltd", "bolts", "9"), ("acme", "bolts", "1")])
    assert both.disagree.tolist() == [False, False, False, True] * 2


def test_accounts_that_are_not_allowed_are_never_proposed(experts):
    said = [("acme ltd", "bolts", "9"), ("esso", "fuel", "2")]
    found = scores_of(experts, said, [True, False, True, True, False])
    assert not set(found.scores.top.ravel().tolist()) & {1, 4}
    np.testing.assert_allclose(found.scores.probability.sum(axis=1), 1)
    one = scores_of(experts, said, [False, False, True, False, False])
    assert set(one.scores.predicted.tolist()) == {2}
    np.testing.assert_allclose(one.scores.probability[:, 1:], 0, atol=1e-9)


def test_masked_probabilities_sum_to_one():
    chance = np.array([[0.5, 0.25, 0.25], [1.0, 0, 0]])
    kept = mask_accounts(chance, np.array([False, True, True]))
    np.testing.assert_allclose(kept, [[0, 0.5, 0.5], [0, 0.5, 0.5]])
