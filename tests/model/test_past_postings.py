"""Past postings: the index of past rows, its neighbours and their votes."""

import numpy as np
from scipy.sparse import csr_matrix

from stages.lib.model import past_postings
from stages.lib.model.past_postings import (
    add_rows,
    build_index,
    load_index,
    make_rows,
    nearest_rows,
    save_index,
    score_neighbours,
    word_gains,
)
from stages.lib.params.classify import PastPostingsParams

SETTINGS = PastPostingsParams(neighbours=3, power=4.0, keep_text=False)
COLUMNS = [["shell gas", "shell gas", "서울 호텔", "paper", ""], ["fuel", "car", "travel", "", ""]]
LABEL = np.array([0, 1, 2, 3, 3])


def many_rows(n_rows, seed=0):
    random = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(30)] + ["서울", "부산"])
    cells = [[" ".join(words[random.zipf(1.4, 3) % 32]) for _ in range(n_rows)] for _ in range(3)]
    return cells, random.integers(0, 7, n_rows)


def brute_force(index, columns):
    """All similarities as a dense matrix, then a stable sort."""
    rows, queries = index.rows.toarray(), make_rows(index, columns).toarray()
    similarity = queries.astype(np.float64) @ rows.T.astype(np.float64)
    steps = np.round(similarity / past_postings.RESOLUTION)
    order = np.argsort(-steps, axis=1, kind="stable")[:, : index.neighbours]
    return np.take_along_axis(similarity, order, 1), order


def test_neighbours_equal_those_of_all_comparisons():
    columns, label = many_rows(400)
    index = build_index(columns, label, 7, SETTINGS.model_copy(update={"neighbours": 9}))
    queries = many_rows(90, seed=1)[0]
    found = nearest_rows(index, queries)
    similarity, _ = brute_force(index, queries)
    np.testing.assert_allclose(found.similarity, similarity, atol=2e-5)
    rows, own = index.rows.toarray(), make_rows(index, queries).toarray()
    for i, row in enumerate(found.position):
        real = row[row >= 0]
        assert len(set(real.tolist())) == len(real)
        np.testing.assert_allclose(found.similarity[i, : len(real)], rows[real] @ own[i], atol=2e-5)


def test_scores_are_the_votes_of_the_neighbours_and_the_prior():
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    prior = (np.array([1, 1, 1, 2]) + 1) / 9
    np.testing.assert_allclose(index.prior, prior)
    found = nearest_rows(index, [["shell gas"], ["fuel"]])
    assert found.position.tolist() == [[0, 1, -1]]
    votes = past_postings.PRIOR * prior
    votes[[0, 1]] += found.similarity[0, :2].astype(float) ** 4
    expected = np.log(votes / votes.sum())
    np.testing.assert_allclose(score_neighbours(index, found)[0], expected, rtol=1e-5)


def test_equal_rows_come_in_the_order_of_the_ledger():
    index = build_index([["a b"] * 6 + ["c"]], np.array([0, 1, 2, 0, 1, 2, 0]), 3, SETTINGS)
    assert nearest_rows(index, [["a b"]]).position.tolist() == [[0, 1, 2]]


def test_a_row_that_shares_no_word_gets_the_shares_of_the_accounts():
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    found = nearest_rows(index, [["unknown", ""], ["", ""]])
    assert (found.position == -1).all() and (found.similarity == 0).all()
    scores = score_neighbours(index, found)
    np.testing.assert_allclose(np.exp(scores), [index.prior] * 2, rtol=1e-6)


def test_gains_are_the_divergence_from_the_shares_of_all_rows():
    label = np.array([0, 0, 1, 2])
    words = csr_matrix(np.array([[1, 1], [1, 1], [0, 1], [0, 1.0]]))
    share = np.array([0.5, 0.25, 0.25])
    # The first word: two rows of account 0 and one row at the shares. The second: all rows.
    p = (np.array([2, 0, 0]) + share) / 3
    expected = [(p * np.log(p / share)).sum(), 0]
    np.testing.assert_allclose(
        word_gains(words, label, np.bincount(label, minlength=3) / len(label)), expected, atol=1e-12
    )


def test_added_rows_come_after_those_of_the_index_and_leave_its_weights():
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    larger = add_rows(index, [["shell gas", "new"], ["fuel", ""]], np.array([3, 1]))
    found = nearest_rows(larger, [["shell gas"], ["fuel"]])
    assert found.position.tolist() == [[0, 5, 1]]
    assert larger.label.tolist() == [0, 1, 2, 3, 3, 3, 1]
    for name in ("idf", "gain"):
        old, new = getattr(index, name), getattr(larger, name)
        assert new[: len(old)].tolist() == old.tolist()
    assert index.rows.shape[0] == 5


def test_a_new_vendor_is_found_again_once_one_of_its_rows_was_added():
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    queries = [["zamboni 빙상장", "paper"], ["rink", "fuel"]]
    before = nearest_rows(index, queries)
    larger = add_rows(index, [["zamboni 빙상장"], ["ice"]], np.array([2]))
    found = nearest_rows(larger, queries)
    assert found.position[0].tolist()[0] == 5 and found.similarity[0, 0] > 0.5
    # Another row stays as near as it was to the old ones.
    assert found.position[1].tolist() == before.position[1].tolist()
    np.testing.assert_allclose(found.similarity[1], before.similarity[1], atol=2e-5)
    again = add_rows(larger, [["zamboni 빙상장"], ["ice"]], np.array([2]))
    assert len(again.idf) == len(larger.idf)
    assert nearest_rows(again, queries).position[0].tolist()[:2] == [5, 6]


def test_no_rows_can_be_added():
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    same = add_rows(index, [[], []], np.array([], np.int64))
    assert (same.rows != index.rows).nnz == 0 and same.label.tolist() == LABEL.tolist()


def test_a_saved_index_gives_the_same_scores_and_the_same_bytes(tmp_path):
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    save_index(index, tmp_path / "a")
    loaded = load_index(tmp_path / "a")
    before, after = nearest_rows(index, COLUMNS), nearest_rows(loaded, COLUMNS)
    assert before.position.tolist() == after.position.tolist()
    assert score_neighbours(index, before).tobytes() == score_neighbours(loaded, after).tobytes()
    assert (loaded.neighbours, loaded.power) == (SETTINGS.neighbours, SETTINGS.power)
    save_index(loaded, tmp_path / "b")
    for name in (past_postings.ARRAYS, past_postings.VOCABULARY):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_result_does_not_depend_on_processes_or_on_the_cut_of_the_rows(monkeypatch):
    monkeypatch.setattr(past_postings, "FEW_PAIRS", 0)
    columns, label = many_rows(300)
    index = build_index(columns, label, 7, SETTINGS)
    queries = many_rows(past_postings.TASK + 100, seed=2)[0]
    one, two = nearest_rows(index, queries), nearest_rows(index, queries, workers=2)
    assert one.position.tolist() == two.position.tolist()
    assert one.similarity.tobytes() == two.similarity.tobytes()
    last = nearest_rows(index, [column[-5:] for column in queries])
    assert last.position.tolist() == one.position[-5:].tolist()


def test_few_rows_start_no_process(monkeypatch):
    used = []
    search = past_postings.map_ordered
    monkeypatch.setattr(
        past_postings, "map_ordered", lambda *given: [used.append(given[2]), search(*given)][1]
    )
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    nearest_rows(index, COLUMNS, workers=2)
    pairs = int(((index.rows != 0).astype(int) @ (index.rows != 0).astype(int).T).sum())
    monkeypatch.setattr(past_postings, "FEW_PAIRS", pairs)
    nearest_rows(index, COLUMNS, workers=2)
    monkeypatch.setattr(past_postings, "FEW_PAIRS", pairs + 1)
    nearest_rows(index, COLUMNS, workers=2)
    assert used == [1, 2, 1]


def test_no_rows_have_no_neighbours():
    index = build_index(COLUMNS, LABEL, 4, SETTINGS)
    found = nearest_rows(index, [[], []])
    assert found.position.shape == (0, 3)
    assert score_neighbours(index, found).shape == (0, 4)


def test_a_field_without_words_is_no_error():
    index = build_index([["a", "b"], ["", ""]], np.array([0, 1]), 2, SETTINGS)
    assert nearest_rows(index, [["a"], ["x"]]).position.tolist() == [[0, -1]]
