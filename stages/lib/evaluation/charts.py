"""Charts of the report, each as the address of an SVG image inside the page."""

import base64
import io

BLUE, ORANGE, GREY = "#1f5fa8", "#b8560f", "#8a8f98"


def draw(paint) -> str:
    """Return the chart that `paint(axes)` draws, as the address of an embedded SVG image.

    The same drawing gives the same bytes: it has no date, and its identifiers have a fixed salt.
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
    """Return the precision-coverage curves, with a mark for each threshold on the test rows.

    `posts` has (whether it is certified, target precision, coverage, precision reached) of the
    thresholds that exist.
    """

    def paint(axes):
        for points, name, color in (
            (baseline, "TF-IDF, linear SVC", ORANGE),
            (model, "coder", BLUE),
        ):
            x, y = ([100 * point[key] for point in points] for key in ("coverage", "precision"))
            axes.plot(x, y, color=color, label=name, linewidth=1.8)
        for certified, target, coverage, precision in posts:
            axes.axhline(100 * target, color=GREY, linewidth=0.8, linestyle=":")
            mark, kind = ("o", "certified") if certified else ("s", "estimated")
            label = f"{100 * target:.0f} %, {kind}"
            axes.plot(100 * coverage, 100 * precision, mark, color=BLUE, markersize=6, label=label)
        axes.set(xlabel="rows posted unseen (%)", ylabel="right account (%)", xlim=(0, 100))
        axes.legend(loc="lower left")

    return draw(paint)


def reliability_chart(points: list[dict]) -> str:
    """Return the reliability diagram: accuracy by confidence, a circle's area shows its rows."""

    def paint(axes):
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=":", label="ideal")
        x, y = ([100 * point[key] for point in points] for key in ("confidence", "accuracy"))
        most = max(point["rows"] for point in points)
        sizes = [20 + 180 * point["rows"] / most for point in points]
        axes.plot(x, y, color=BLUE, linewidth=1)
        axes.scatter(x, y, s=sizes, color=BLUE, alpha=0.6, label="rows (area: how many)")
        axes.set(xlabel="confidence (%)", ylabel="right account (%)", xlim=(0, 102), ylim=(0, 102))
        axes.legend(loc="upper left", markerscale=0.6)

    return draw(paint)


def learning_chart(curves: dict[str, list[tuple[float, float]]], label: str) -> str:
    """Return one line for each curve of (step, value) points."""

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
        (post["certified"], post["target"], post["rate"], post["precision"])
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
