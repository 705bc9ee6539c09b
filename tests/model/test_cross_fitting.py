"""Training rows are scored by what has not seen them."""

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.folds import folds_of
from stages.lib.model import cross_fitting
from stages.lib.model.text_experts import fit_text_experts
from stages.lib.params.classify import ClassifyParams
from stages.lib.tables import number_groups, row_digests

FIELDS, ROLES = ["shop", "memo"], {"shop": "group", "memo": "text"}
PARAMS = ClassifyParams.model_validate(
    {
        "text_classifier": {
            "word_ngrams": 1,
            "character_ngrams": 3,
            "hidden": 16,
            "networks": 1,
            "epochs": 20,
            "learning_rate": 0.1,
            "dropout": 0.2,
            "seed": 1,
        },
        "past_postings": {"neighbours": 5, "power": 2.0, "keep_text": True},
    }
)
CODES = {"esso": "fuel", "카페": "food", "staples": "paper"}


def ledger(rows: int = 120) -> pa.Table:
    generator = np.random.default_rng(0)
    shops = generator.choice(list(CODES), rows).tolist()
    return pa.table(
        {
            "row_id": np.arange(rows),
            "shop": shops,
            "memo": [f"note {number}" for number in generator.integers(0, 30, rows)],
            "date": pa.nulls(rows, pa.date32()),
            "acct_code": [CODES[shop] for shop in shops],
        }
    )


def fitted(train: pa.Table, workers: int = 1) -> cross_fitting.CrossFitted:
    experts = fit_text_experts(train, FIELDS, ROLES, PARAMS, 1)
    return cross_fitting.cross_fit(experts, train, PARAMS, workers)


@pytest.fixture(scope="module")
def train():
    return ledger()


@pytest.fixture(scope="module")
def whole(train):
    return fitted(train)


def folds(train: pa.Table) -> np.ndarray:
    return folds_of(number_groups(row_digests(train, FIELDS)), cross_fitting.FOLDS)


def test_rows_are_coded_by_what_the_other_rows_say_and_stay_in_order(train, whole):
    accounts = sorted(CODES.values())
    label = [accounts.index(code) for code in train["acct_code"].to_pylist()]
    for scores in (whole.text, whole.past):
        assert scores.dtype == np.float16 and scores.shape == (120, 3)
        assert np.mean(scores.argmax(axis=1) == label) > 0.95


def test_a_wrong_account_does_not_reach_its_own_row_nor_its_fold(train, whole):
    fold = folds(train)
    codes = train["acct_code"].to_pylist()
    wrong = codes.index("fuel")
    codes[wrong] = "paper"
    column = train.column_names.index("acct_code")
    changed = fitted(train.set_column(column, "acct_code", [codes]))
    here = fold == fold[wrong]
    np.testing.assert_array_equal(changed.text[here], whole.text[here])
    np.testing.assert_array_equal(changed.past[here], whole.past[here])
    assert (changed.past[~here] != whole.past[~here]).any()
    # So the account that it should have stays on top.
    assert sorted(CODES.values())[changed.text[wrong].argmax()] == "fuel"


def test_identical_rows_are_in_one_fold_and_neighbours_in_another(train, whole):
    fold = folds(train)
    seen = {}
    for place, row in enumerate(train.select(FIELDS).to_pylist()):
        assert seen.setdefault(tuple(row.values()), fold[place]) == fold[place]
    positions = whole.neighbours.position
    for place, near in enumerate(positions):
        assert fold[place] not in fold[near[near >= 0]]


@pytest.mark.slow
def test_the_scores_do_not_depend_on_the_number_of_processes(train, whole):
    again = fitted(train, workers=2)
    for first, second in zip(
        (*whole[:2], *whole.neighbours), (*again[:2], *again.neighbours), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_rows_that_are_all_identical_know_nothing_of_each_other():
    same = ledger(6)
    for name, cell in (("shop", "esso"), ("memo", "x")):
        same = same.set_column(same.column_names.index(name), name, [[cell] * 6])
    found = fitted(same)
    assert len(np.unique(found.text)) == 1 and (found.neighbours.position == -1).all()
