"""The stage on synthetic scores; its numbers are computed a second time, in another way."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.metrics as reference
from html_check import check_page
from refusals import refused
from scored_ledger import ACCOUNTS, MADE_WITH, MODEL, write_scores, write_workspace

from stages import evaluate
from stages.lib.tables import write_table


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Return the logits of a workspace that the test may change and evaluate."""
    monkeypatch.chdir(tmp_path)
    return write_workspace(tmp_path)


@pytest.fixture(scope="module")
def evaluated_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    logits = write_workspace(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        evaluate.main()
    return folder, logits


@pytest.fixture
def evaluated(evaluated_folder, monkeypatch):
    """Enter an evaluated workspace, shared by the tests that only read; return its logits."""
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
    write_scores(Path(), workspace)
    evaluate.main()
    assert before[False] > 0
    assert Counter(predictions()["autopost95"])[False] < before[False]


def test_the_calibration_names_its_model_and_gives_the_written_probabilities(evaluated):
    found = json.loads(Path("data/evaluate/calibration.json").read_text())
    assert found["model"] == MODEL
    assert found["rows_made_with"] == MADE_WITH
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


def test_csv_cells_cannot_run_as_formulas(evaluated):
    suspects = read_rows("suspects")
    assert any(row["merchant"] == "'=cmd|' /c calc'!a0" for row in suspects)
    assert {row["source_sheet"] for row in suspects} == {"'=sheet"}
    for name in ("suspects", "accounts", "confusions", "slices"):
        for row in read_rows(name):
            for cell in row.values():
                number = cell.replace("-", "", 1).replace(".", "", 1).isdigit()
                assert number or not cell.startswith(("=", "+", "-", "@"))


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


def test_the_headline_of_the_report_is_the_verdict(evaluated):
    page = Path("metrics/evaluate/report.html").read_text()
    first = page[page.index("<h1") : page.index("</h1>")]
    assert 'data-verdict="unclear"' in first or 'data-verdict="worse"' in first
    assert 'class="bad"' in first


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
    write_scores(Path(), workspace)
    evaluate.main()
    assert read_rows("suspects") == [] and read_rows("confusions") == []
    page = Path("metrics/evaluate/report.html").read_text()
    check_page(page)
    assert 'data-verdict="better"' in page and 'class="bad"' not in page


@pytest.mark.parametrize(
    ("chosen", "code"), [("memo", "unsuitable-column"), ("5", "invalid-parameter")]
)
def test_an_unsuitable_description_field_is_refused(workspace, chosen, code):
    path = Path("params_train.yaml")
    path.write_text(path.read_text().replace("field: null", f"field: {chosen}"))
    with refused(code, "params_train.yaml: evaluate.description_field", chosen):
        evaluate.main()


def test_without_a_text_field_there_is_no_description_slice(workspace):
    path = Path("data/feature/rows.json")
    path.write_text(path.read_text().replace('"text"', '"category"'))
    evaluate.main()
    assert "description" not in {row["slice"] for row in read_rows("slices")}
