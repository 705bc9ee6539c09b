"""The stage baseline on small ledgers whose answers are known, and the files that it writes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as reference
from refusals import refused
from ruamel.yaml import YAML
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from stages import baseline
from stages.lib.contracts.baseline import PREDICTIONS, PREDICTIONS_SCHEMA
from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.split import side_path
from stages.lib.tables import read_json, read_table, write_json, write_table

NAMES = ("majority", "lookup", "tfidf_words", "tfidf_chars")
SHOPS = {"0101": ["김밥천국", "tim hortons"], "2260": ["petrocan", "esso"], "4310": ["ymca"]}
ROLES = {"merchant": "group", "purpose": "text"}


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


def write_params(fields: list[str], **changes: object) -> None:
    section = {
        "max_train_rows": None,
        "lookup_columns": ["group", "purpose"],
        "word_ngrams": 2,
        "character_fields": ["merchant"],
        "character_ngrams": 4,
        "regularization": 0.5,
    }
    yaml = YAML()
    yaml.dump({"feature": {"fields": fields, "other": 1}}, Path("params.yaml"))
    yaml.dump({"baseline": section | changes}, Path("params_train.yaml"))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Write a split and parameters; return the rows by side."""
    monkeypatch.chdir(tmp_path)
    write_params(list(ROLES))
    write_json({"roles": ROLES}, ROWS)
    sides = {
        "train": make_side(0, 120, 0),
        "val": make_side(120, 40, 1),
        "test": make_side(160, 60, 2),
    }
    for name, table in sides.items():
        write_table(table, side_path(name))
    return sides


def predictions(name: str, side: str) -> dict[str, list]:
    table = read_table(PREDICTIONS)
    chosen = [row for row in table.to_pylist() if row["baseline"] == name and row["side"] == side]
    return {key: [row[key] for row in chosen] for key in table.column_names}


def figure(name: str, key: str) -> float:
    return read_json(baseline.REPORT)[name][key]


def with_column(table: pa.Table, name: str, value: str) -> pa.Table:
    column = pa.array([value] * table.num_rows)
    return table.set_column(table.column_names.index(name), name, column)


def test_every_row_of_validation_and_test_is_predicted_once_by_every_baseline(workspace):
    baseline.main()
    assert read_table(PREDICTIONS).schema == PREDICTIONS_SCHEMA
    for name in NAMES:
        for side in ("val", "test"):
            expected = workspace[side]["row_id"].to_pylist()
            assert predictions(name, side)["row_id"] == expected


def test_metrics_equal_scikit_learn_on_the_written_predictions(workspace):
    baseline.main()
    label = workspace["test"]["acct_code"].to_pylist()
    for name in NAMES:
        predicted = predictions(name, "test")["predicted"]
        assert figure(name, "accuracy") == pytest.approx(reference.accuracy_score(label, predicted))
        assert figure(name, "macro_f1") == pytest.approx(
            reference.f1_score(label, predicted, average="macro", zero_division=0)
        )


def test_same_bytes_every_time(workspace):
    baseline.main()
    first = [path.read_bytes() for path in (PREDICTIONS, baseline.REPORT)]
    baseline.main()
    assert [path.read_bytes() for path in (PREDICTIONS, baseline.REPORT)] == first


def test_test_labels_do_not_change_a_prediction(workspace):
    baseline.main()
    before = predictions("tfidf_chars", "test")["predicted"]
    write_table(with_column(workspace["test"], "acct_code", "9999"), side_path("test"))
    baseline.main()
    after = predictions("tfidf_chars", "test")
    assert after["predicted"] == before
    assert set(after["label_probability"]) == {0.0}
    assert figure("tfidf_chars", "accuracy") == 0.0


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


def test_columns_chosen_by_role_are_as_good_as_named(workspace):
    write_params(list(ROLES), lookup_columns=["group"], character_fields=["merchant", "purpose"])
    baseline.main()
    named = PREDICTIONS.read_bytes()
    write_params(list(ROLES), lookup_columns=None, character_fields=None)
    baseline.main()
    assert PREDICTIONS.read_bytes() == named


def test_a_ledger_with_other_columns_and_no_vendor_passes(workspace):
    for side, table in workspace.items():
        table = with_column(table.drop(["purpose"]), "group", "")
        names = {"merchant": "거래처 적요", "division": "부서"}
        columns = [names.get(name, name) for name in table.column_names]
        write_table(table.rename_columns(columns), side_path(side))
    write_json({"roles": {"거래처 적요": "text", "부서": "category"}}, ROWS)
    write_params(["거래처 적요", "부서"], lookup_columns=None, character_fields=None)
    baseline.main()
    assert figure("tfidf_chars", "accuracy") == 1.0
    assert set(predictions("lookup", "test")["predicted"]) <= set(SHOPS)


@pytest.mark.parametrize(
    ("changes", "code", "key"),
    [
        ({"lookup_columns": ["gone"]}, "unsuitable-column", "baseline.lookup_columns"),
        ({"character_fields": ["gone"]}, "unsuitable-column", "baseline.character_fields"),
        ({"regularization": 0}, "invalid-parameter", "baseline.regularization"),
    ],
)
def test_mistakes_in_parameters_are_named(workspace, changes, code, key):
    write_params(list(ROLES), **changes)
    with refused(code, f"params_train.yaml: {key}"):
        baseline.main()


def test_fields_without_any_text_are_refused(workspace):
    train = with_column(with_column(workspace["train"], "merchant", ""), "purpose", "")
    write_table(train, side_path("train"))
    with refused("no-text", "feature.fields"):
        baseline.main()


def test_one_empty_field_is_passed_over(workspace):
    for side, table in workspace.items():
        write_table(with_column(table, "purpose", ""), side_path(side))
    baseline.main()
    assert figure("tfidf_chars", "accuracy") == 1.0


def test_a_single_account_is_refused(workspace):
    write_table(with_column(workspace["train"], "acct_code", "0101"), side_path("train"))
    with refused("one-account", str(side_path("train")), "0101"):
        baseline.main()


def test_the_report_has_more_figures_of_each_baseline(workspace):
    baseline.main()
    report = read_json(baseline.REPORT)
    assert list(report) == ["train_rows", *NAMES]
    for found in list(report.values())[1:]:
        assert {"accuracy", "top3_accuracy", "macro_f1", "log_loss", "ece"} <= found.keys()
        assert found["accuracy"] <= found["top3_accuracy"] <= 1


def test_at_most_so_many_rows_train_and_the_report_counts_them(workspace):
    write_params(list(ROLES), max_train_rows=30)
    baseline.main()
    report = read_json(baseline.REPORT)
    assert report["train_rows"] == 30
    for side in ("val", "test"):
        assert predictions("lookup", side)["row_id"] == workspace[side]["row_id"].to_pylist()
    codes = workspace["train"]["acct_code"].to_pylist()
    assert predictions("majority", "test")["predicted"][0] == max(set(codes), key=codes.count)


def test_vendors_with_reference_numbers_are_looked_up_without_them(workspace, capsys):
    write_params(list(ROLES), lookup_columns=["group"])
    for name, table in workspace.items():
        texts = [f"{v} x{i:04}" for i, v in enumerate(table["group"].to_pylist())]
        table = table.set_column(table.schema.get_field_index("group"), "group", pa.array(texts))
        write_table(table, side_path(name))
    baseline.main()
    (remark,) = read_json(baseline.REPORT)["remarks"]
    assert f"baseline: {remark}\n" in capsys.readouterr().out
    assert figure("lookup", "accuracy") == 1.0
