"""Write the evaluation as one HTML file that loads nothing else: no network, no fonts, no files.

The words and the layout are in the template beside this file, ``report.html``.
"""

from pathlib import Path

import jinja2

from stages.lib.evaluation.charts import charts
from stages.lib.evaluation.judging import RIVAL

TITLES = {
    "language_model": "language model",
    "text_classifier": "text classifier",
    "past_postings": "past postings",
    "majority": "most frequent account",
    "lookup": "vendor look-up",
    "tfidf_words": "TF-IDF words, linear SVC",
    "tfidf_chars": "TF-IDF words and characters, linear SVC",
}
TEMPLATE = Path(__file__).with_name("report.html")
UNIT = "\u00a0%"  # the no-break space keeps the unit on the number's line
SUSPECTS, CONFUSIONS = 200, 50  # shown at most; the CSV files have all


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage, a dash where there is none (None or NaN)."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}{UNIT}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` decimals, a dash where there is none (None or NaN)."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def span(bounds: list[float] | None, digits: int = 1) -> str:
    """Return an interval of shares in per cent, a dash where there is none."""
    if bounds is None or bounds[0] != bounds[0]:
        return "–"
    return f"{100 * bounds[0]:.{digits}f} to {100 * bounds[1]:.{digits}f}{UNIT}"


def points(bounds: list[float] | None) -> str:
    """Return an interval of differences of shares, in percentage points."""
    return span(bounds).removesuffix(UNIT)


def p_value(value: float) -> str:
    """Return a p-value with three decimals."""
    return "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0=\u00a0{value:.3f}"


def render_report(content: dict) -> str:
    """Return the HTML page for `content`, the results of the stage; every text is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "span": span,
        "points": points,
        "p": p_value,
        "shown": lambda texts: " · ".join(filter(None, texts)),
    }
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    shown = {"title": TITLES, "shown_suspects": SUSPECTS, "shown_confusions": CONFUSIONS}
    shown |= {"rival": RIVAL, "compared": [*content["parts"], RIVAL]}
    return page.render(**content, charts=charts(content), **shown)
