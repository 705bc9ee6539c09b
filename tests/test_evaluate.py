"""The whole stage on synthetic scores: every number is computed a second time, another way."""

import csv
import datetime
import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn.metrics as reference
from datasets import Dataset
from html_check import check_page

from stages import evaluate
from stages.lib.errors import UserError
from stages.lib.evaluation import findings
from stages.lib.evaluation.metrics import RowScores
from stages.lib.model import scoring
from stages.lib.spreadsheet import spreadsheet_cell
from stages.lib.tables import write_table

FIELDS = ["merchant", "purpose"]
ACCOUNTS = ["0101", "2260", "2600", "4310"]
NAMES = {
    "0101": "사무용품비",
    "2260": "GASOLINE",
    "2600": "RECREATION & EDUCATION",
    "4310": "TRAINING",
    "9999": "<b>NEVER TRAINED</b>",
}
MERCHANTS = ["petrocan", "=cmd|' /c calc'!a0", "스타벅스 강남점", "<script>alert(1)</script>", ""]
SHARED = """
ingest: {mask: [email], other: 1}
preprocess: {case: fold}
feature: {fields: [merchant, purpose], amount_edges: [0, 999]}
"""
PARAMS = """
evaluate:
  batch_tokens: 64
  bootstrap_resamples: 100
  seed: 1
  middle_account_rows: 10
  frequent_account_rows: 80
  description_field: purpose
  suspect_probability: 0.6
model:
  name: any
  trust_remote_code: false
"""


def make_table(first_row: int, rows: int, codes: list[str], seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    merchant = generator.choice(MERCHANTS, rows).tolist()
    amount = generator.normal(50, 200, rows).round(2)
    days = [datetime.date(2018, 1, 1) + datetime.timedelta(days=int(day)) for day in range(rows)]
    return pa.table(
        {
            "row_id": np.arange(first_row, first_row + rows),
            "source_file": pa.array(["원장.xlsx"] * rows).dictionary_encode(),
            "source_sheet": pa.array(["=sheet"] * rows).dictionary_encode(),
            "source_row": pa.array(range(2, rows + 2), pa.int32()),
            "merchant": merchant,
            "purpose": generator.choice(["fuel", "교육", ""], rows).tolist(),
            "date": pa.array([None, *days[1:]], pa.date32()),
            "amount": pa.array([None, *amount[1:].tolist()], pa.float64()),
            "amount_bucket": [
                "" if i == 0 else ("<0" if a < 0 else "<999") for i, a in enumerate(amount)
            ],
            "group": merchant,
            "acct_code": codes,
        }
    )


def make_workspace(folder: Path, monkeypatch) -> dict[str, np.ndarray]:
    """Write a split, baselines and parameters; return the scores that stand for the model's."""
    monkeypatch.chdir(folder)
    Path("params.yaml").write_text(SHARED)
    Path("params_train.yaml").write_text(PARAMS)
    generator = np.random.default_rng(0)
    codes = {
        "train": generator.choice(ACCOUNTS, 200, p=[0.5, 0.44, 0.03, 0.03]).tolist(),
        "val": generator.choice(ACCOUNTS, 120).tolist(),
        "test": generator.choice([*ACCOUNTS, "9999"], 150).tolist(),
    }
    logits, baselines, first = {}, [], 0
    for seed, (side, labels) in enumerate(codes.items()):
        table = make_table(first, len(labels), labels, seed)
        write_table(table, f"data/split/{side}.parquet")
        first += len(labels)
        if side == "train":
            continue
        scores = generator.normal(size=(len(labels), 4)).round(1)
        for row, code in enumerate(labels):
            if code in ACCOUNTS:
                scores[row, ACCOUNTS.index(code)] += generator.choice([0.0, 3.0])
        logits[side] = scores.astype(np.float32)
        for name in ("majority", "tfidf_chars"):
            predicted = ["0101"] * len(labels)
            if name == "tfidf_chars":
                predicted = [
                    code if code in ACCOUNTS and i % 3 else "2260" for i, code in enumerate(labels)
                ]
            baselines.append(
                pa.table(
                    {
                        "baseline": pa.array([name] * len(labels)).dictionary_encode(),
                        "side": pa.array([side] * len(labels)).dictionary_encode(),
                        "row_id": table["row_id"],
                        "predicted": pa.array(predicted).dictionary_encode(),
                        "probability": generator.random(len(labels)),
                        "label_probability": generator.random(len(labels)),
                        "label_rank": pa.array([0] * len(labels), pa.int32()),
                    }
                )
            )
    predictions = pa.concat_tables(baselines).unify_dictionaries()
    write_table(predictions, "data/baseline/predictions.parquet")
    chart = pa.table({"acct_code": list(NAMES), "acct_name": list(NAMES.values())})
    write_table(chart, "data/preprocess/accounts.parquet")
    Path("models/train").mkdir(parents=True)
    Path("models/train/manifest.json").write_text("{}")
    curve = Path("metrics/train/plots/metrics/train_loss.tsv")
    curve.parent.mkdir(parents=True)
    curve.write_text("step\ttrain_loss\n10\t2.5\n20\t1.25\n")
    monkeypatch.setattr(evaluate, "evaluate_model", lambda *_: (ACCOUNTS, logits))
    return logits


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Return the scores of a workspace that the test may change and evaluate."""
    return make_workspace(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def evaluated_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as monkeypatch:
        logits = make_workspace(folder, monkeypatch)
        evaluate.main()
    return folder, logits


@pytest.fixture
def evaluated(evaluated_folder, monkeypatch):
    """Stand in an evaluated workspace, shared by the tests that only read; return its scores."""
    folder, logits = evaluated_folder
    monkeypatch.chdir(folder)
    return logits


def read_rows(name: str) -> list[dict]:
    with open(f"data/evaluate/{name}.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def predictions() -> dict[str, list]:
    return pq.read_table("data/evaluate/predictions.parquet").to_pydict()


def test_metrics_equal_scikit_learn_on_the_written_predictions(evaluated):
    found = json.loads(Path("metrics/evaluate/metrics.json").read_text())
    rows = predictions()
    label, predicted = rows["acct_code"], rows["predicted"]
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(label, predicted))
    for average in ("macro", "weighted"):
        expected = reference.f1_score(label, predicted, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    choices = zip(predicted, rows["choice_2"], rows["choice_3"], strict=True)
    in_top = [code in three for code, three in zip(label, choices, strict=True)]
    assert found["top3_accuracy"] == pytest.approx(np.mean(in_top))
    amount = np.abs(
        np.nan_to_num(
            np.array(pq.read_table("data/split/test.parquet")["amount"].to_pylist(), dtype=float)
        )
    )
    correct = np.array(label) == np.array(predicted)
    assert found["amount_accuracy"] == pytest.approx((amount * correct).sum() / amount.sum())
    assert found["log_loss"] == pytest.approx(
        -np.log(np.maximum(rows["label_probability"], 1e-6)).mean()
    )
    for target in ("95", "99"):
        posted = np.array(rows[f"autopost{target}"])
        assert found[f"autopost{target}_rate"] == pytest.approx(posted.mean())
        precision = found[f"autopost{target}_precision"]
        assert precision == pytest.approx(correct[posted].mean()) if posted.any() else not precision


def test_at_most_a_dozen_numbers(evaluated):
    found = json.loads(Path("metrics/evaluate/metrics.json").read_text())
    assert len(found) <= 12
    assert all(value is None or np.isfinite(value) for value in found.values())


def test_every_test_row_is_predicted_once_and_in_order(evaluated):
    rows, test = predictions(), pq.read_table("data/split/test.parquet").to_pydict()
    assert rows["row_id"] == test["row_id"]
    assert rows["acct_code"] == test["acct_code"]
    assert rows["predicted"] == [ACCOUNTS[i] for i in evaluated["test"].argmax(axis=1)]


def test_thresholds_come_from_the_validation_rows(workspace):
    evaluate.main()
    before = Counter(predictions()["autopost95"])
    label = pq.read_table("data/split/val.parquet")["acct_code"].to_pylist()
    for row, code in enumerate(label):  # a validation set that is always right: post everything
        workspace["val"][row] = 0
        workspace["val"][row, ACCOUNTS.index(code)] = 0.01
    evaluate.main()
    assert before[False] > 0
    assert Counter(predictions()["autopost95"])[False] < before[False]


def test_the_calibration_names_its_model_and_gives_the_written_probabilities(evaluated):
    found = json.loads(Path("data/evaluate/calibration.json").read_text())
    assert found["model"] == hashlib.sha256(b"{}").hexdigest()
    assert found["rows_made_with"] == {
        "ingest.mask": ["email"],
        "preprocess.case": "fold",
        "feature.fields": ["merchant", "purpose"],
        "feature.amount_edges": [0, 999],
    }
    rows = predictions()
    scaled = evaluated["test"].astype(float) / found["temperature"]
    chances = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    assert rows["probability"] == pytest.approx(chances.max(axis=1))
    for name, threshold in found["thresholds"].items():
        least = np.inf if threshold is None else threshold
        assert rows[name] == [probability >= least for probability in rows["probability"]]


def test_accounts_without_training_rows_count_as_wrong_and_are_reported(evaluated):
    rows = predictions()
    untrained = [i for i, code in enumerate(rows["acct_code"]) if code == "9999"]
    assert untrained
    assert not any(rows["correct"][i] for i in untrained)
    assert all(rows["label_probability"][i] == 0 for i in untrained)
    page = Path("metrics/evaluate/report.html").read_text()
    assert f"{len(untrained)} test rows" in page
    account = next(row for row in read_rows("accounts") if row["account"] == "9999")
    assert (account["train_rows"], account["rows"]) == ("0", str(len(untrained)))
    assert account["recall"] == "0.0"


def test_same_bytes_every_time(workspace):
    def outputs():
        evaluate.main()
        found = [
            p
            for folder in ("data/evaluate", "metrics/evaluate")
            for p in sorted(Path(folder).rglob("*"))
            if p.is_file()
        ]
        return {path: path.read_bytes() for path in found}

    first = outputs()
    assert len(first) == 11
    assert outputs() == first


@pytest.fixture
def no_scoring(monkeypatch):
    """Fail if the model is asked: a mistake must be told before minutes of scoring."""
    monkeypatch.setattr(evaluate, "evaluate_model", lambda *_: pytest.fail("rows were scored"))


def test_other_rows_in_the_baseline_are_refused(workspace, no_scoring):
    table = pq.read_table("data/baseline/predictions.parquet")
    write_table(table.slice(1), "data/baseline/predictions.parquet")
    with pytest.raises(UserError, match=r"data/baseline/predictions.parquet: not the rows of"):
        evaluate.main()


def test_unknown_description_field_is_refused(workspace, no_scoring):
    path = Path("params_train.yaml")
    path.write_text(path.read_text().replace("field: purpose", "field: memo"))
    with pytest.raises(UserError, match=r"evaluate.description_field: .*'memo'"):
        evaluate.main()


def test_evaluate_model_scores_validation_and_test_rows_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = scoring.TrainedModel(model=None, accounts=ACCOUNTS)
    monkeypatch.setattr(scoring, "load_trained_model", lambda *_: trained)
    monkeypatch.setattr(
        scoring, "score_rows", lambda _, ids, *__: np.array([[sum(row)] * 4 for row in ids])
    )
    for side, ids in {"val": [5, 3], "test": [9, 7]}.items():
        write_table(pa.table({"row_id": ids}), f"data/split/{side}.parquet")
        rows = {"row_id": ids, "input_ids": [[i, i] for i in ids]}
        Dataset.from_dict(rows).save_to_disk(f"data/tokenize/{side}")
    accounts, logits = evaluate.evaluate_model(64, False)
    assert accounts == ACCOUNTS
    assert logits["val"][:, 0].tolist() == [10, 6] and logits["test"][:, 0].tolist() == [18, 14]
    write_table(pa.table({"row_id": [7, 9]}), "data/split/test.parquet")
    with pytest.raises(UserError, match=r"data/tokenize/test: not the rows of data/split"):
        evaluate.evaluate_model(64, False)


def test_csv_cells_cannot_run_as_formulas(evaluated):
    suspects = read_rows("suspects")
    assert any(row["merchant"] == "'=cmd|' /c calc'!a0" for row in suspects)
    assert {row["source_sheet"] for row in suspects} == {"'=sheet"}
    for name in ("suspects", "accounts", "confusions", "slices"):
        for row in read_rows(name):
            for cell in row.values():
                number = cell.replace("-", "", 1).replace(".", "", 1).isdigit()
                assert number or not cell.startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "＝1"])
def test_spreadsheet_cell_escapes_formulas(text):
    assert spreadsheet_cell(text) == "'" + text


@pytest.mark.parametrize("value", ["a=1", "", "사무용품비", -3.5, None, 0])
def test_spreadsheet_cell_leaves_the_rest(value):
    assert spreadsheet_cell(value) == value


def test_csv_files_open_with_hangul_in_excel(evaluated):
    content = Path("data/evaluate/accounts.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert "사무용품비" in content.decode("utf-8-sig")


def test_report_is_whole_escaped_and_needs_no_network(evaluated):
    page = Path("metrics/evaluate/report.html").read_text()
    check_page(page)
    assert "alert(1)</script>" not in page
    assert "&lt;b&gt;NEVER TRAINED&lt;/b&gt;" in page
    assert "사무용품비" in page and "스타벅스 강남점" in page
    assert "Loss during training" in page


def test_report_says_first_that_the_model_does_not_beat_the_baseline(evaluated):
    page = Path("metrics/evaluate/report.html").read_text()
    first = page[page.index("<h1") : page.index("</h1>")]
    assert "does not beat the best baseline" in first or "is not shown to beat" in first


@pytest.mark.parametrize(
    ("gain", "words"),
    [([0.01, 0.2], "better"), ([-0.01, 0.2], "unclear"), ([-0.2, 0.0], "worse")],
)
def test_verdict(gain, words):
    assert evaluate.verdict(gain) == words


def test_vendor_clusters_keep_rows_without_a_vendor_apart():
    assert evaluate.vendor_clusters(["a", "", "b", "a", ""]).tolist() == [0, 1, 2, 0, 3]
    assert evaluate.vendor_clusters(["", ""]) is None


def test_slices_hold_every_row_once(evaluated):
    rows = read_rows("slices")
    total = Counter()
    for row in rows:
        total[row["slice"]] += int(row["rows"])
    assert total == dict.fromkeys(("vendor", "account size", "month", "amount", "description"), 150)
    assert [row["value"] for row in rows if row["slice"] == "amount"] == ["<0", "<999", "none"]
    untrained = next(row for row in rows if row["value"] == "never in training")
    assert float(untrained["accuracy"]) == 0


def test_accounts_equal_scikit_learn(evaluated):
    rows = predictions()
    for account in read_rows("accounts"):
        code = account["account"]
        precision, recall, f1, _ = reference.precision_recall_fscore_support(
            rows["acct_code"], rows["predicted"], labels=[code], average="macro", zero_division=0
        )
        found = [float(account[key]) for key in ("precision", "recall", "f1")]
        assert found == pytest.approx([precision, recall, f1])
        wrong = Counter(
            predicted
            for label, predicted in zip(rows["acct_code"], rows["predicted"], strict=True)
            if label == code != predicted
        )
        assert int(account["confused_rows"]) == max(wrong.values(), default=0)
        assert wrong[account["confused_with"]] == max(wrong.values(), default=0)


def test_confusions_are_the_off_diagonal_of_the_matrix(evaluated):
    rows = predictions()
    expected = Counter(
        pair
        for pair in zip(rows["acct_code"], rows["predicted"], strict=True)
        if pair[0] != pair[1]
    )
    found = {(r["account"], r["predicted"]): int(r["rows"]) for r in read_rows("confusions")}
    assert found == expected
    counts = list(found.values())
    assert counts == sorted(counts, reverse=True)


def test_suspects_are_the_sure_and_wrong_rows_surest_first(evaluated):
    rows = predictions()
    expected = {
        row_id
        for row_id, correct, probability in zip(
            rows["row_id"], rows["correct"], rows["probability"], strict=True
        )
        if not correct and probability >= 0.6
    }
    suspects = read_rows("suspects")
    assert {int(row["row_id"]) for row in suspects} == expected
    probabilities = [float(row["probability"]) for row in suspects]
    assert probabilities == sorted(probabilities, reverse=True)
    train = pq.read_table("data/split/train.parquet").to_pylist()
    test = {row["row_id"]: row for row in pq.read_table("data/split/test.parquet").to_pylist()}
    for suspect in suspects:
        vendor = test[int(suspect["row_id"])]["group"]
        past = Counter(row["acct_code"] for row in train if vendor and row["group"] == vendor)
        assert int(suspect["vendor_rows"]) == past.total()
        assert int(suspect["vendor_ledger"]) == past[suspect["account"]]
        assert int(suspect["vendor_predicted"]) == past[suspect["predicted"]]


def test_no_suspects_and_no_confusions_make_empty_tables(workspace):
    label = pq.read_table("data/split/test.parquet")["acct_code"].to_pylist()
    table = pq.read_table("data/split/test.parquet")
    codes = [code if code in ACCOUNTS else "0101" for code in label]
    column = table.column_names.index("acct_code")
    write_table(table.set_column(column, "acct_code", [codes]), "data/split/test.parquet")
    for row, code in enumerate(codes):
        workspace["test"][row] = 0
        workspace["test"][row, ACCOUNTS.index(code)] = 9
    evaluate.main()
    assert read_rows("suspects") == [] and read_rows("confusions") == []
    page = Path("metrics/evaluate/report.html").read_text()
    check_page(page)
    assert "The language model beats the best baseline" in page


def test_coverage_points_lie_on_the_curve_and_are_few():
    generator = np.random.default_rng(0)
    confidence = generator.random(5000)
    label = (generator.random(5000) < 0.5).astype(np.int64)
    scores = RowScores(label, np.ones((5000, 1), int), confidence[:, None], confidence, label)
    points = evaluate.coverage_points(scores)
    assert len(points) <= 200
    assert points[-1]["coverage"] == 1.0
    for point in points:
        posted = confidence >= point["threshold"]
        assert point["coverage"] == pytest.approx(posted.mean())
        assert point["precision"] == pytest.approx(label[posted].mean())


def test_examples_of_a_confusion_are_its_surest_rows():
    confidence = np.array([0.5, 0.9, 0.7, 0.8, 0.6])
    zeros = np.zeros((5, 1), np.int64)
    scores = RowScores(np.ones(5, np.int64), zeros, confidence[:, None], confidence, zeros[:, 0])
    table = make_table(0, 5, ["2260"] * 5, 0)
    (pair,) = findings.confusion_table(scores, table, FIELDS, ACCOUNTS, NAMES)
    assert [example["row_id"] for example in pair["examples"]] == [1, 3, 2]
    assert pair["examples"][0]["text"] == [
        table["merchant"][1].as_py(),
        table["purpose"][1].as_py(),
    ]
