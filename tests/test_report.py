"""How the report writes numbers and draws charts; the page as a whole is tested with evaluate."""

import base64
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from stages.lib.evaluation import report

NAN = float("nan")
ROOT = Path(__file__).parents[1]


def svg_text(address: str) -> str:
    head, data = address.split(",", 1)
    assert head == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(data))
    return " ".join(
        "".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7126, "71.3\u00a0%"), (0.0, "0.0\u00a0%"), (1, "100.0\u00a0%"), (None, "–"), (NAN, "–")],
)
def test_percent(value, text):
    assert report.percent(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(1234.5, 2, "1,234.50"), (-0.25, 3, "-0.250"), (None, 2, "–")]
)
def test_number(value, digits, text):
    assert report.number(value, digits) == text


def test_span():
    assert report.span([0.701, 0.7251]) == "70.1 to 72.5\u00a0%"
    assert report.span(None) == report.span([NAN, NAN]) == "–"


def test_p_value():
    assert report.p_value(0.0004) == "p\u00a0<\u00a00.001"
    assert report.p_value(0.0312) == "p\u00a0=\u00a00.031"


POINTS = [{"coverage": 0.5, "precision": 1.0}, {"coverage": 1.0, "precision": 0.7}]


def test_coverage_chart_names_both_curves_and_marks_the_thresholds_that_exist():
    both = report.coverage_chart(POINTS, POINTS, [(0.95, 0.4, 0.96), (0.99, 0.1, 0.98)])
    text = svg_text(both)
    assert all(word in text for word in ("language model", "best baseline", "for 95 %", "for 99 %"))
    assert "threshold" not in svg_text(report.coverage_chart(POINTS, POINTS, []))


def test_charts_are_the_same_bytes_every_time_and_know_no_date():
    points = [{"confidence": 0.5, "accuracy": 0.4, "rows": 3}]
    first = report.reliability_chart(points)
    assert report.reliability_chart(points) == first
    assert b"<dc:date>" not in base64.b64decode(first.split(",")[1])


def test_learning_chart_names_its_curves():
    curves = {"training rows": [(1, 2.0), (2, 1.0)], "validation rows": [(2, 1.5)]}
    text = svg_text(report.learning_chart(curves, "loss"))
    assert "training rows" in text and "validation rows" in text


def test_page_of_dvc_plots_needs_no_network():
    page = (ROOT / ".dvc/plots/page.html").read_text(encoding="utf-8")
    assert page.count("{plot_divs}") == 1 and "{scripts}" not in page
    assert "window.vegaEmbed=" in page
    assert "<script src" not in page and "<link" not in page
    assert "html_template = plots/page.html" in (ROOT / ".dvc/config").read_text()
