"""Draw the evaluation as one HTML file that needs nothing else: no network, no fonts, no files.

The template beside this file, ``report.html``, holds the words and the layout; here are the charts
and the way numbers are written.
"""

import base64
import io
from pathlib import Path

import jinja2

BASELINES = {
    "majority": "majority account",
    "lookup": "vendor look-up",
    "tfidf_words": "TF-IDF words, linear SVC",
    "tfidf_chars": "TF-IDF words and characters, linear SVC",
}
TEMPLATE = Path(__file__).with_name("report.html")
UNIT = "\u00a0%"  # the no-break space keeps the unit on the number's line
SUSPECTS, CONFUSIONS = 200, 50  # shown at most; the CSV files hold all
BLUE, ORANGE, GREY = "#1f5fa8", "#b8560f", "#8a8f98"


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
    """Return a probability as readers of statistics write it."""
    return "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0=\u00a0{value:.3f}"


def draw(paint) -> str:
    """Return the chart that `paint(axes)` draws, as the address of an embedded SVG image.

    The same drawing gives the same bytes: no date, and identifiers from a fixed salt.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.hashsalt": "report",
        "svg.fonttype": "none",  # text stays text, in the reader's own font
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e7eb",
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.4, 3.3), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()


def coverage_chart(model: list[dict], baseline: list[dict], posts: list[tuple]) -> str:
    """Return the precision-coverage curves, with a mark where each threshold lands on test rows.

    `posts` holds (target precision, coverage, precision reached) for the thresholds that exist.
    """

    def paint(axes):
        for points, name, color in (
            (baseline, "best baseline", ORANGE),
            (model, "language model", BLUE),
        ):
            x, y = ([100 * point[key] for point in points] for key in ("coverage", "precision"))
            axes.plot(x, y, color=color, label=name, linewidth=1.8)
        for (target, coverage, precision), mark in zip(posts, "os", strict=False):
            axes.axhline(100 * target, color=GREY, linewidth=0.8, linestyle=":")
            label = f"threshold for {100 * target:.0f} %"
            axes.plot(100 * coverage, 100 * precision, mark, color=BLUE, markersize=6, label=label)
        axes.set(xlabel="rows posted without a look (%)", ylabel="of them right (%)", xlim=(0, 100))
        axes.legend(loc="lower left")

    return draw(paint)


def reliability_chart(points: list[dict]) -> str:
    """Return the reliability diagram: accuracy by confidence, bars as wide as the rows are many."""

    def paint(axes):
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=":", label="ideal")
        x, y = ([100 * point[key] for point in points] for key in ("confidence", "accuracy"))
        most = max(point["rows"] for point in points)
        sizes = [20 + 180 * point["rows"] / most for point in points]
        axes.plot(x, y, color=BLUE, linewidth=1)
        axes.scatter(x, y, s=sizes, color=BLUE, alpha=0.6, label="rows (area: how many)")
        axes.set(xlabel="confidence (%)", ylabel="right (%)", xlim=(0, 102), ylim=(0, 102))
        axes.legend(loc="upper left", markerscale=0.6)

    return draw(paint)


def learning_chart(curves: dict[str, list[tuple[float, float]]], label: str) -> str:
    """Return one line a curve of (step, value) points."""

    def paint(axes):
        for (name, points), color in zip(curves.items(), (GREY, BLUE, ORANGE), strict=False):
            axes.plot(*zip(*points, strict=True), color=color, label=name, linewidth=1.5)
        axes.set(xlabel="step", ylabel=label)
        axes.legend()

    return draw(paint)


def charts(content: dict) -> dict[str, str | None]:
    """Return the address of each chart of the page; None: there is nothing to draw."""
    curves = content["curves"]
    marks = [
        (post["target"], post["rate"], post["precision"])
        for post in content["posts"]
        if post["rate"] > 0
    ]
    return {
        "coverage": coverage_chart(
            curves["precision_coverage"],
            curves["precision_coverage_baseline"],
            marks,
        ),
        "reliability": reliability_chart(curves["reliability"]),
        "learning": learning_chart(content["learning"], "loss") if content["learning"] else None,
    }


def render_report(content: dict) -> str:
    """Return the HTML page for `content`, the findings of the stage; every text is escaped."""
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
    shown = {"title": BASELINES, "shown_suspects": SUSPECTS, "shown_confusions": CONFUSIONS}
    return page.render(**content, charts=charts(content), **shown)
