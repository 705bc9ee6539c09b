"""Text classifier and past postings together: what is kept, shown and added."""

import datetime
import shutil

import numpy as np
import pyarrow as pa
import pytest
from refusals import refused

from stages.lib.contracts.scores import PAST_POSTINGS, TEXT_CLASSIFIER
from stages.lib.model.past_postings import Neighbours
from stages.lib.model.text_experts import (
    describe_neighbours,
    fit_text_experts,
    load_text_experts,
    nearest_few,
    save_text_experts,
    score_text_experts,
)
from stages.lib.params.classify import ClassifyParams, PastPostingsParams, TextClassifierParams

FIELDS, ROLES = ["shop", "memo"], {"shop": "group", "memo": "text"}
TEXT = TextClassifierParams(
    word_ngrams=2,
    character_ngrams=3,
    hidden=8,
    networks=2,
    epochs=5,
    learning_rate=0.1,
    dropout=0.2,
    seed=7,
)
SHOPS = ["esso", "서울 호텔", "staples", ""]
MEMOS = ["fuel 7", "", "종이"]


def table(shops, memos, codes, days):
    return pa.table(
        {
            "row_id": np.arange(900, 900 + len(codes)),
            "shop": pa.array(shops, pa.string()),
            "memo": pa.array(memos, pa.string()),
            "date": pa.array(days, pa.date32()),
            "acct_code": pa.array(codes, pa.string()),
        }
    )


def ledger(rows, codes, seed):
    generator = np.random.default_rng(seed)
    days = [datetime.date(2024, 1, 1 + int(day)) for day in generator.integers(0, 28, rows)]
    shops, memos = generator.choice(SHOPS, rows).tolist(), generator.choice(MEMOS, rows).tolist()
    return table(shops, memos, generator.choice(codes, rows).tolist(), [None, *days[1:]])


TRAIN, OTHER = ledger(40, ["0200", "0100", "9"], 0), ledger(12, ["0100"], 1)


def fit(keep_text=True, workers=1, train=TRAIN):
    past = PastPostingsParams(neighbours=5, power=4.0, keep_text=keep_text)
    params = ClassifyParams(text_classifier=TEXT, past_postings=past)
    return fit_text_experts(train, FIELDS, ROLES, params, workers)


@pytest.fixture(scope="module")
def experts():
    return fit()


@pytest.fixture(scope="module")
def saved(experts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "classify"
    save_text_experts(experts, folder)
    return folder


def as_bytes(experts, rows=OTHER, workers=1):
    """Return the scores of each expert and the neighbours of `rows`, bit by bit."""
    scores, nearest = score_text_experts(experts, rows, workers)
    found = {name: values.tobytes() for name, values in scores.items()}
    return found, [part.tobytes() for part in nearest]


def test_both_experts_give_log_probabilities_of_the_sorted_accounts(experts):
    assert experts.accounts == ["0100", "0200", "9"]
    scores, nearest = score_text_experts(experts, OTHER, 1)
    assert list(scores) == [TEXT_CLASSIFIER, PAST_POSTINGS]
    for name, values in scores.items():
        assert (values.shape, values.dtype) == ((12, 3), np.float32), name
        np.testing.assert_allclose(np.exp(values).sum(axis=1), 1, rtol=1e-5)
    assert nearest.position.shape == nearest.similarity.shape == (12, 5)
    few = nearest_few(nearest)
    assert few.position.tolist() == nearest.position[:, :3].tolist()
    assert few.similarity.tolist() == nearest.similarity[:, :3].tolist()


def test_a_saved_model_gives_the_same_scores_and_the_same_bytes(experts, saved, tmp_path):
    loaded = load_text_experts(saved)
    assert (loaded.accounts, loaded.fields) == (experts.accounts, FIELDS)
    assert loaded.shown.equals(experts.shown)
    assert as_bytes(loaded) == as_bytes(experts)
    save_text_experts(loaded, tmp_path / "again")
    files = sorted(path.name for path in saved.iterdir())
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == files
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name


def test_a_flipped_bit_in_any_file_is_refused_by_name(saved, tmp_path):
    names = [path.name for path in saved.iterdir() if path.name != "manifest.json"]
    assert {"accounts.json", "past_rows.parquet"} < set(names)
    for name in names:
        folder = shutil.copytree(saved, tmp_path / name / "classify")
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        with refused("damaged-model", str(folder / name), "sha256", "dvc repro --force classify"):
            load_text_experts(folder)


def test_a_missing_file_is_refused_by_name(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "classify")
    (folder / "past_rows.parquet").unlink()
    with refused("damaged-model", str(folder / "past_rows.parquet"), "missing"):
        load_text_experts(folder)


def test_without_the_text_of_past_rows_no_row_is_written_and_the_scores_are_the_same(
    experts, tmp_path
):
    bare = fit(keep_text=False)
    save_text_experts(bare, tmp_path / "classify")
    assert not (tmp_path / "classify/past_rows.parquet").exists()
    loaded = load_text_experts(tmp_path / "classify")
    assert loaded.shown is None
    assert as_bytes(loaded) == as_bytes(experts)


def test_only_date_fields_and_account_of_past_rows_are_kept(experts):
    assert experts.shown.column_names == ["date", "shop", "memo", "acct_code"]
    assert experts.shown.equals(TRAIN.select(["date", "shop", "memo", "acct_code"]))


def test_a_neighbour_is_described_by_account_similarity_date_and_fields():
    day = datetime.date(2024, 5, 1)
    train = table(["esso", "esso", "ymca"], ["fuel", "", "gym"], ["2", "1", "2"], [day, None, day])
    nearest = Neighbours(
        np.array([[1, 0, -1], [-1, -1, -1], [2, 0, 1]]),
        np.array([[0.876, 0.5, 0], [0, 0, 0], [1, 0.25, 0.125]], np.float32),
    )
    assert describe_neighbours(fit(train=train), nearest) == [
        ["1 (0.88) esso", "2 (0.50) 2024-05-01 | esso | fuel"],
        [],
        ["2 (1.00) 2024-05-01 | ymca | gym", "2 (0.25) 2024-05-01 | esso | fuel", "1 (0.12) esso"],
    ]
    assert describe_neighbours(fit(keep_text=False, train=train), nearest) == [
        ["1 (0.88)", "2 (0.50)"],
        [],
        ["2 (1.00)", "2 (0.25)", "1 (0.12)"],
    ]


@pytest.mark.parametrize("keep_text", [True, False])
def test_rows_without_neighbours_have_no_texts(keep_text):
    nearest = Neighbours(np.full((2, 3), -1), np.zeros((2, 3), np.float32))
    assert describe_neighbours(fit(keep_text), nearest) == [[], []]


def test_model_and_scores_do_not_depend_on_the_number_of_processes(experts):
    many = ledger(1100, ["9"], 2)  # more than one process gets at a time
    assert as_bytes(fit(workers=3), many, workers=2) == as_bytes(experts, many)


def test_no_rows_have_no_scores(experts):
    scores, nearest = score_text_experts(experts, OTHER.slice(0, 0), 1)
    assert {values.shape for values in scores.values()} == {(0, 3)}
    assert describe_neighbours(experts, nearest) == []
