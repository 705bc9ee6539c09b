"""How the report writes numbers; the page as a whole is tested with the stage `evaluate`."""

import pytest

from stages.lib.evaluation import report

NAN = float("nan")


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


def test_points_have_no_unit():
    assert report.points([-0.018, 0.008]) == "-1.8 to 0.8"
    assert report.points(None) == "–"
