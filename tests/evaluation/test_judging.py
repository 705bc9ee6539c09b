"""What is fitted on validation rows is not fitted on test rows."""

import numpy as np
import pyarrow as pa
import pytest

from stages.lib.evaluation import judging
from stages.lib.evaluation.calibration import calibrate, fit_confidence
from stages.lib.evaluation.combination import (
    combine,
    cross_fitted,
    fit_weights,
    log_probabilities,
)
from stages.lib.evaluation.inputs import Experts
from stages.lib.evaluation.metrics import summarise_scores

RIGHT = {"train": ["a", "b", "b"], "val": ["a", "b"] * 40, "test": ["b", "z"]}


def side(codes):
    vendors = [f"vendor {row % 20}" for row in range(len(codes))]
    return pa.table({"acct_code": codes, "group": vendors, "purpose": list(map(str, vendors))})


def baseline(predicted):
    columns = {
        "predicted": predicted,
        "probability": [0.5] * len(predicted),
        "label_probability": [0.5] * len(predicted),
        "label_rank": [0] * len(predicted),
    }
    return pa.table(columns)


def scores_of(seed=0):
    generator = np.random.default_rng(seed)
    own = np.array(["a", "b"]) == np.array(RIGHT["val"])[:, None]
    val = {
        "good": generator.normal(size=(80, 2)) + 6 * own,
        "fair": generator.normal(size=(80, 2)) + own,
        "noise": generator.normal(size=(80, 2)),
    }
    test = {name: generator.normal(size=(2, 2)) for name in val}
    return {
        side: {name: log_probabilities(logits) for name, logits in experts.items()}
        for side, experts in (("val", val), ("test", test))
    }


def judge(test_codes=RIGHT["test"], scores=None):
    sides = {name: side(codes) for name, codes in RIGHT.items()} | {"test": side(test_codes)}
    predictions = {
        "val": {"tfidf_chars": baseline(["a"] * 80), "lookup": baseline(RIGHT["val"])},
        "test": {"tfidf_chars": baseline(["a", "a"]), "lookup": baseline(["b", "b"])},
    }
    experts = Experts(["a", "b"], scores or scores_of(), {})
    return judging.judge(experts, sides, predictions, ["purpose"])


@pytest.fixture(scope="module")
def scored():
    return judge()


def test_the_rival_is_always_the_same_baseline_even_where_another_one_is_better(scored):
    assert scored.rival is scored.baselines["tfidf_chars"].scores
    assert scored.rival.correct.tolist() == [False, False]
    assert scored.baselines["lookup"].scores.correct.tolist() == [True, False]


def test_weights_are_those_of_the_validation_rows(scored):
    val = scores_of()["val"]
    expected = fit_weights(list(val.values()), scored.label["val"])
    assert scored.weights == dict(zip(val, expected.tolist(), strict=True))


def test_nothing_is_fitted_on_the_accounts_of_the_test_rows(scored):
    other = judge(["a", "a"])
    assert other.weights == scored.weights
    assert other.coder.thresholds == scored.coder.thresholds
    assert other.coder.confidence == scored.coder.confidence
    assert other.coder.certificate == scored.coder.certificate
    np.testing.assert_array_equal(other.coder.scores.probability, scored.coder.scores.probability)
    for name, part in other.parts.items():
        assert part.thresholds == scored.parts[name].thresholds
        assert part.confidence == scored.parts[name].confidence
    for name, judged in other.baselines.items():
        assert judged.thresholds == scored.baselines[name].thresholds


@pytest.mark.parametrize(
    ("chosen", "of"),
    [
        (("good", "fair", "noise"), lambda scored: scored.coder.scores),
        (("fair",), lambda scored: scored.parts["fair"].scores),
        (("good", "noise"), lambda scored: scored.without["fair"]),
    ],
)
def test_coder_parts_and_coders_without_a_part_are_fitted_on_their_own(scored, chosen, of):
    scores = scores_of()
    val, test = ([scores[side][name] for name in chosen] for side in ("val", "test"))
    logits = combine(test, fit_weights(val, scored.label["val"]))
    groups = np.arange(80) % 20
    unseen = summarise_scores(
        cross_fitted(val, scored.label["val"], groups), scored.label["val"], 1
    )
    abc = fit_confidence(unseen.confidence, unseen.correct)
    expected = calibrate(summarise_scores(logits, scored.label["test"], 1.0), abc)
    for name in ("top", "probability", "label_probability", "label_rank"):
        np.testing.assert_array_equal(getattr(of(scored), name), getattr(expected, name))


def test_without_an_expert_of_weight_zero_the_coder_is_itself():
    scores = scores_of()
    for experts in scores.values():
        experts["noise"] = log_probabilities(-experts["good"])
    found = judge(scores=scores)
    assert found.weights["noise"] == 0
    assert found.without["noise"] is found.coder.scores
    for name in ("good", "fair"):
        assert found.weights[name] > 0
        assert found.without[name] is not found.coder.scores


def test_a_baseline_is_judged_as_it_is(scored):
    for judged in scored.baselines.values():
        assert judged.confidence is None
        assert judged.scores.confidence.tolist() == [0.5, 0.5]


def test_every_expert_is_a_part_and_is_left_out_once(scored):
    names = ["good", "fair", "noise"]
    assert list(scored.parts) == list(scored.without) == list(scored.weights) == names


def test_rows_of_accounts_without_training_rows_are_counted(scored):
    assert scored.known == ["a", "b", "z"]
    assert judging.row_counts(scored) == {
        "rows": 2,
        "train_rows": 3,
        "trained": 2,
        "untrained_rows": 1,
        "untrained_accounts": 1,
    }


def test_metrics_are_named_by_target_and_undefined_without_a_threshold(scored):
    values = judging.all_metrics(scored.baselines["lookup"], np.array([3.0, -1.0]), 3)
    assert values["accuracy"] == 0.5
    assert values["amount_accuracy"] == 0.75
    assert values["autopost95_rate"] == 1.0  # all 80 validation rows are right
    assert values["autopost95_precision"] == 0.5
    assert values["autopost99_rate"] == 0.0  # 80 rows show no 99 %
    assert np.isnan(values["autopost99_precision"])
    assert len(values) == 11


def test_amounts():
    table = pa.table({"amount": pa.array([1.5, None], pa.float64())})
    np.testing.assert_array_equal(judging.amounts(table), [1.5, np.nan])


def test_rows_without_a_vendor_are_groups_of_their_own():
    assert judging.vendor_groups(["a", "", "b", "a", ""]).tolist() == [0, 1, 2, 0, 3]
    assert judging.vendor_groups(["", ""]).tolist() == [0, 1]
