"""What the charts of the report show."""

import base64
import xml.etree.ElementTree as ElementTree

from stages.lib.evaluation import charts


def svg_text(address: str) -> str:
    head, data = address.split(",", 1)
    assert head == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(data))
    return " ".join(
        "".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")
    )


POINTS = [{"coverage": 0.5, "precision": 1.0}, {"coverage": 1.0, "precision": 0.7}]


def test_coverage_chart_names_both_curves_and_marks_the_thresholds_that_exist():
    posts = [(True, 0.95, 0.4, 0.96), (False, 0.99, 0.1, 0.98)]
    address = charts.coverage_chart(POINTS, POINTS, posts)
    text = svg_text(address)
    assert all(word in text for word in ("coder", "TF-IDF", "95 %, certified", "99 %, estimated"))
    assert "certified" not in svg_text(charts.coverage_chart(POINTS, POINTS, []))


def test_charts_are_the_same_bytes_every_time_and_know_no_date():
    points = [{"confidence": 0.5, "accuracy": 0.4, "rows": 3}]
    first = charts.reliability_chart(points)
    assert charts.reliability_chart(points) == first
    assert b"<dc:date>" not in base64.b64decode(first.split(",")[1])


def test_learning_chart_names_its_curves():
    curves = {"training rows": [(1, 2.0), (2, 1.0)], "validation rows": [(2, 1.5)]}
    text = svg_text(charts.learning_chart(curves, "loss"))
    assert "training rows" in text and "validation rows" in text
