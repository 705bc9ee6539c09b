"""How the report writes numbers; the page as a whole is tested with the stage `evaluate`."""

import pytest

from stages.lib.evaluation import report
from stages.lib.evaluation.words import load_words

NAN = float("nan")
EN, KO = load_words("en"), load_words("ko")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7126, "71.3\u00a0%"), (0.0, "0.0\u00a0%"), (1, "100.0\u00a0%"), (None, "–"), (NAN, "–")],
)
def test_percent(value, text):
    assert report.percent(EN, value) == text
    assert report.percent(KO, value) == text.replace("\u00a0", "")


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(1234.5, 2, "1,234.50"), (-0.25, 3, "-0.250"), (None, 2, "–")]
)
def test_number(value, digits, text):
    assert report.number(EN, value, digits) == text


def test_span():
    assert report.span(EN, [0.701, 0.7251]) == "70.1 to 72.5\u00a0%"
    assert report.span(KO, [0.701, 0.7251]) == "70.1~72.5%"
    assert report.span(EN, None) == report.span(EN, [NAN, NAN]) == "–"
    assert report.span(EN, [-0.018, 0.008], 1, "points") == "-1.8 to 0.8"


def test_p_value():
    assert report.p_value(EN, 0.0004) == "p < 0.001"
    assert report.p_value(EN, 0.0312) == "p = 0.031"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (9, 12, "75.0\u00a0%"),
        (1, 1, "1 of 1"),
        (0, 9, "0 of 9"),
        (0, 0, "–"),
        (10, 10, "100.0\u00a0%"),
    ],
)
def test_a_share_of_few_rows_is_a_count(part, whole, text):
    assert report.share(EN, part, whole) == text


def post(certified, target, rate, precision):
    return {"certified": certified, "target": target, "rate": rate, "precision": precision}


@pytest.mark.parametrize(
    ("posts", "kind", "said"),
    [
        (
            [post(False, 0.95, 0.451, 0.953), post(True, 0.95, 0.316, 0.9899)],
            "certified",
            "32\u00a0% of rows can be posted unseen; 98 of 100 of those are right.",
        ),
        (
            [post(False, 0.95, 0.29, 0.29), post(True, 0.95, 0.0, NAN)],
            "estimated",
            "By estimate, 29\u00a0% of rows can be posted unseen; 29 of 100 of those are right. "
            "No threshold is certain.",
        ),
        (
            [post(True, 0.95, 0.004, 1.0)],
            "certified",
            "< 1\u00a0% of rows can be posted unseen; 100 of 100 of those are right.",
        ),
        (
            [post(True, 0.99, 0.2, 1.0), post(True, 0.95, 0.0, NAN)],
            "none",
            "No row can be posted unseen. The coder is not sure enough of any.",
        ),
    ],
)
def test_the_headline_is_what_may_be_posted(posts, kind, said):
    assert report.headline(EN, posts)[:2] == (said, kind)


def test_the_summary_never_says_nan():
    content = {
        "posts": [post(True, 0.95, 0.0, NAN)],
        "values": {"accuracy": 0.5},
        "rows": 1500,
        "path": "metrics/evaluate/report.html",
    }
    assert report.summary(EN, content).splitlines() == [
        "No row can be posted unseen. The coder is not sure enough of any.",
        "50.0 % of 1,500 test rows get the right account.",
        "Report: metrics/evaluate/report.html",
    ]
