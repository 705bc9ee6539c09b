"""What the charts of the report show."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from stages.lib.evaluation import charts
from stages.lib.evaluation.words import load_words

WORDS = load_words("en")["charts"]
POINTS = [{"coverage": 0.5, "precision": 1.0}, {"coverage": 1.0, "precision": 0.7}]


def parts(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg))


def kinds(svg: str, tag: str) -> list[str]:
    return [node.get("class") for node in parts(svg) if node.tag == tag]


def test_the_coverage_chart_has_both_curves_and_a_mark_for_each_threshold():
    posts = [(True, 0.95, 0.4, 0.96), (False, 0.99, 0.1, 0.98), (False, 0.95, 0.9, 0.2)]
    svg = charts.coverage_chart(POINTS, POINTS, posts, WORDS)
    assert kinds(svg, "circle") == ["mark"]
    assert kinds(svg, "rect") == ["mark open"]  # the third is below the chart
    lines = kinds(svg, "polyline")
    assert lines[-2:] == ["line rival", "line coder"] and lines.count("target") == 2
    assert not kinds(charts.coverage_chart(POINTS, POINTS, [], WORDS), "circle")


def test_a_point_is_where_its_values_are():
    axes = charts.Axes((0, 100), (50, 100), "x", "y")
    axes.line([(0, 50), (100, 100), (50, 0)], "line")
    points = re.search(r'class="line" points="([^"]+)"', axes.svg("t"))[1]
    assert points == "46.0,256.0 468.0,12.0 257.0,256.0"  # what is below lies on the edge


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (70, 100, [70, 80, 90, 100]),
        (0, 1.7, [0, 0.5, 1, 1.5]),
        (0, 150, [0, 50, 100, 150]),
    ],
)
def test_ticks_are_round_values(low, high, expected):
    found = charts.ticks(low, high)
    assert found == pytest.approx(expected)
    assert all(str(value)[0] != "-" for value in found)


def test_words_are_those_of_the_language_and_escaped():
    curves = {"train_loss": [(1, 2.0), (2, 1.0)], "val_loss": [(2, 1.5)]}
    svg = charts.learning_chart(curves, {"step": "학습 단계", "loss": "<손실>"})
    texts = [node.text for node in parts(svg) if node.tag == "text"]
    assert "학습 단계" in texts and "<손실>" in texts
    assert kinds(svg, "polyline")[-2:] == ["line faint", "line coder"]


def test_charts_are_the_same_bytes_every_time():
    points = [{"confidence": 0.5, "accuracy": 0.4, "rows": 3}]
    first = charts.reliability_chart(points, WORDS)
    assert charts.reliability_chart(points, WORDS) == first
    assert kinds(first, "circle") == ["area"]
