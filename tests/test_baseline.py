"""The baselines on small ledgers whose answers are known, and the files that they write."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn.metrics as reference
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from stages import baseline
from stages.lib.errors import UserError
from stages.lib.tables import write_table

PARAMS = """
baseline:
  lookup_columns: [group, division]
  word_ngrams: 2
  character_fields: [merchant]
  character_ngrams: 4
  regularization: 0.5
"""
SHOPS = {"0101": ["김밥천국", "tim hortons"], "2260": ["petrocan", "esso"], "4310": ["ymca"]}


def make_side(first_row: int, rows: int, seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    codes = generator.choice(list(SHOPS), rows).tolist()
    merchant = [f"{generator.choice(SHOPS[code])} #{generator.integers(9)}" for code in codes]
    return pa.table(
        {
            "row_id": np.arange(first_row, first_row + rows),
            "merchant": merchant,
            "purpose": generator.choice(["lunch", "교육", ""], rows).tolist(),
            "division": generator.choice(["parks", "fire"], rows).tolist(),
            "group": [name.split(" #")[0] for name in merchant],
            "acct_code": codes,
        }
    )


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("feature:\n  fields: [merchant, purpose]\n  other: 1\n")
    Path("params_train.yaml").write_text(PARAMS)
    sides = {
        "train": make_side(0, 120, 0),
        "val": make_side(120, 40, 1),
        "test": make_side(160, 60, 2),
    }
    for name, table in sides.items():
        write_table(table, f"data/split/{name}.parquet")
    return sides


def predictions(name: str, side: str) -> dict[str, list]:
    table = pq.read_table("data/baseline/predictions.parquet")
    chosen = [row for row in table.to_pylist() if row["baseline"] == name and row["side"] == side]
    return {key: [row[key] for row in chosen] for key in table.column_names}


NAMES = ("majority", "lookup", "tfidf_words", "tfidf_chars")


def test_every_row_of_validation_and_test_is_predicted_once_by_every_baseline(workspace):
    baseline.main()
    for name in NAMES:
        for side in ("val", "test"):
            expected = workspace[side]["row_id"].to_pylist()
            assert predictions(name, side)["row_id"] == expected


def test_metrics_equal_scikit_learn_on_the_written_predictions(workspace):
    baseline.main()
    found = json.loads(Path("metrics/baseline/metrics.json").read_text())
    label = workspace["test"]["acct_code"].to_pylist()
    for name in NAMES:
        predicted = predictions(name, "test")["predicted"]
        assert found[f"{name}_accuracy"] == pytest.approx(
            reference.accuracy_score(label, predicted)
        )
        assert found[f"{name}_macro_f1"] == pytest.approx(
            reference.f1_score(label, predicted, average="macro", zero_division=0)
        )
    assert len(found) <= 12


def test_same_bytes_every_time(workspace):
    baseline.main()
    paths = [Path("data/baseline/predictions.parquet"), Path("metrics/baseline/metrics.json")]
    first = [path.read_bytes() for path in paths]
    baseline.main()
    assert [path.read_bytes() for path in paths] == first


def test_test_labels_do_not_change_a_prediction(workspace):
    baseline.main()
    before = predictions("tfidf_chars", "test")["predicted"]
    test = workspace["test"]
    column = test.column_names.index("acct_code")
    codes = pa.array(["9999"] * test.num_rows)
    write_table(test.set_column(column, "acct_code", codes), "data/split/test.parquet")
    baseline.main()
    after = predictions("tfidf_chars", "test")
    assert after["predicted"] == before
    assert set(after["label_probability"]) == {0.0}
    metrics = json.loads(Path("metrics/baseline/metrics.json").read_text())
    assert metrics["tfidf_chars_accuracy"] == 0.0


def test_tfidf_words_is_the_plain_pipeline_of_scikit_learn(workspace):
    baseline.main()
    text = {
        side: [f"{row['merchant']} {row['purpose']}" for row in table.to_pylist()]
        for side, table in workspace.items()
    }
    vectorizer = TfidfVectorizer()
    machine = LinearSVC(random_state=0)
    machine.fit(
        vectorizer.fit_transform(text["train"]), workspace["train"]["acct_code"].to_pylist()
    )
    expected = machine.predict(vectorizer.transform(text["test"])).tolist()
    assert predictions("tfidf_words", "test")["predicted"] == expected


def lookup(keys, train_keys, label, n_accounts=3):
    return baseline.lookup_scores(keys, train_keys, np.array(label), n_accounts)


def test_lookup_takes_the_vendor_before_the_other_columns():
    scores = lookup(
        [["esso", "new", "new", ""], ["fire", "fire", "parks", "none"]],
        [["esso", "esso", "ymca", "ymca", "x"], ["fire", "fire", "fire", "fire", "parks"]],
        [1, 1, 2, 2, 0],
    )
    # esso; the fire division, where 1 and 2 are equally frequent here and everywhere; parks;
    # nothing known: 1 and 2 are most frequent, the lower comes first
    assert scores.argmax(axis=1).tolist() == [1, 1, 0, 1]


def test_lookup_probability_is_the_share_with_one_row_of_doubt():
    scores = lookup([["esso"]], [["esso", "esso", "esso", "ymca"]], [0, 0, 1, 2])
    prior = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(np.exp(scores[0]), (np.array([2, 1, 0]) + prior) / 4, rtol=1e-6)


def test_lookup_passes_over_empty_keys():
    scores = lookup([[""]], [["", "", "esso"]], [1, 1, 0])
    np.testing.assert_allclose(np.exp(scores[0]), [1 / 3, 2 / 3, 0], atol=1e-6)


def test_a_vendor_decides_over_any_prior():
    scores = lookup([["esso"]], [["esso"] + ["ymca"] * 999], [2] + [0] * 999)
    assert scores[0].argmax() == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("division]", "gone]", "baseline.lookup_columns: the base table has no column gone;"),
        ("[merchant]", "[gone]", "baseline.character_fields: gone not in feature.fields"),
        ("regularization: 0.5", "regularization: 0", "baseline.regularization: .* greater than 0"),
    ],
)
def test_mistakes_in_parameters_are_named(workspace, old, new, message):
    Path("params_train.yaml").write_text(PARAMS.replace(old, new))
    with pytest.raises(UserError, match=message):
        baseline.main()


def test_fields_without_any_text_are_refused(workspace):
    train = workspace["train"]
    for name in ("merchant", "purpose"):
        column = train.column_names.index(name)
        train = train.set_column(column, name, pa.array([""] * train.num_rows))
    write_table(train, "data/split/train.parquet")
    with pytest.raises(UserError, match="no text at all"):
        baseline.main()


def test_one_empty_field_is_passed_over(workspace):
    for side, table in workspace.items():
        column = table.column_names.index("purpose")
        empty = pa.array([""] * table.num_rows)
        write_table(table.set_column(column, "purpose", empty), f"data/split/{side}.parquet")
    baseline.main()
    metrics = json.loads(Path("metrics/baseline/metrics.json").read_text())
    assert metrics["tfidf_chars_accuracy"] == 1.0


def test_a_single_account_is_refused(workspace):
    train = workspace["train"]
    column = train.column_names.index("acct_code")
    codes = pa.array(["0101"] * train.num_rows)
    write_table(train.set_column(column, "acct_code", codes), "data/split/train.parquet")
    with pytest.raises(UserError, match="all rows have account 0101"):
        baseline.main()


def test_two_accounts_are_told_apart():
    from scipy.sparse import csr_matrix

    features = csr_matrix(np.eye(4))
    (scores,) = baseline.svc_scores([features, features], np.array([0, 0, 1, 1]), 2, 1.0, "")
    assert scores.argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_import_needs_neither_torch_nor_scikit_learn():
    code = (
        "import sys, stages.baseline; print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert found.stdout == "[]\n"
