"""Charts of the report as SVG inside the page: in its fonts and colours, light and dark.

Each chart is drawn on 480 x 300 units. Classes of the lines are in report.html.
"""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from markupsafe import Markup

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 468, 12, 256
TICKS = 5

Points = Sequence[tuple[float, float]]


class Axes:
    """The frame of a chart, and where a point is in it.

    Parameters
    ----------
    x, y : (float, float)
        The least and the largest value of each axis.
    x_label, y_label : str
    """

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], x_label: str, y_label: str
    ) -> None:
        self.x, self.y = x, y
        self.parts = [_text(LEFT, HEIGHT - 6, x_label, "axis"), _turned(y_label)]
        for value in ticks(*x):
            self.parts += [_text(self.across(value), BOTTOM + 16, _short(value), "tick middle")]
        for value in ticks(*y):
            self.line([(x[0], value), (x[1], value)], "grid")
            self.parts += [_text(LEFT - 6, self.up(value) + 4, _short(value), "tick end")]

    def across(self, value: float) -> float:
        """Return the place of a value of x."""
        return LEFT + (RIGHT - LEFT) * (value - self.x[0]) / (self.x[1] - self.x[0])

    def up(self, value: float) -> float:
        """Return the place of a value of y."""
        return BOTTOM - (BOTTOM - TOP) * (value - self.y[0]) / (self.y[1] - self.y[0])

    def line(self, points: Points, kind: str) -> None:
        """Add a line of a class; points below the least y lie on the edge."""
        path = " ".join(
            f"{self.across(x):.1f},{min(max(self.up(y), TOP), BOTTOM):.1f}" for x, y in points
        )
        self.parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def circle(self, x: float, y: float, radius: float, kind: str) -> None:
        """Add a circle of a class."""
        place = f'cx="{self.across(x):.1f}" cy="{self.up(y):.1f}"'
        self.parts.append(f'<circle class="{kind}" {place} r="{radius:.1f}"/>')

    def square(self, x: float, y: float, kind: str) -> None:
        """Add a square of a class."""
        place = f'x="{self.across(x) - 5:.1f}" y="{self.up(y) - 5:.1f}"'
        self.parts.append(f'<rect class="{kind}" {place} width="10" height="10"/>')

    def svg(self, title: str) -> Markup:
        """Return the chart; `title` is what a screen reader says."""
        head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        return Markup("".join([head, *self.parts, "</svg>"]))


def ticks(low: float, high: float) -> list[float]:
    """Return round values between `low` and `high`, about five, the first not below `low`."""
    rough = (high - low) / TICKS
    size = 10.0 ** np.floor(np.log10(rough))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough * 0.999)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(n * step) + 0.0 for n in np.arange(first, last + 1)]  # no -0


def _short(value: float) -> str:
    return f"{value:.10g}"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _turned(text: str) -> str:
    middle = (TOP + BOTTOM) / 2
    turn = f'transform="rotate(-90 12 {middle})"'
    return f'<text class="axis middle" x="12" y="{middle}" {turn}>{escape(text)}</text>'


def coverage_chart(
    coder: list[dict], rival: list[dict], posts: list[tuple], words: Mapping
) -> Markup:
    """Return the precision-coverage curves, with a mark for each threshold on the test rows.

    `posts` has (whether it is certified, target precision, coverage, precision reached) of the
    thresholds that exist.
    """
    least = min(point["precision"] for point in [*coder, *rival])
    axes = Axes(
        (0, 100), (min(np.floor(10 * least) * 10, 90), 100), words["posted"], words["right"]
    )
    for target in sorted({post[1] for post in posts}):
        axes.line([(0, 100 * target), (100, 100 * target)], "target")
    for points, kind in ((rival, "line rival"), (coder, "line coder")):
        axes.line([(100 * p["coverage"], 100 * p["precision"]) for p in points], kind)
    for certified, _, coverage, precision in posts:
        if 100 * precision < axes.y[0]:
            continue
        if certified:
            axes.circle(100 * coverage, 100 * precision, 5.5, "mark")
        else:
            axes.square(100 * coverage, 100 * precision, "mark open")
    return axes.svg(words["right"])


def reliability_chart(points: list[dict], words: Mapping) -> Markup:
    """Return the reliability diagram: accuracy by confidence, a circle's area shows its rows."""
    axes = Axes((0, 100), (0, 100), words["probability"], words["right"])
    axes.line([(0, 0), (100, 100)], "target")
    places = [(100 * p["confidence"], 100 * p["accuracy"]) for p in points]
    axes.line(places, "line coder")
    most = max(p["rows"] for p in points)
    for (x, y), point in zip(places, points, strict=True):
        axes.circle(x, y, 3 + 9 * (point["rows"] / most) ** 0.5, "area")
    return axes.svg(words["right"])


def learning_chart(curves: dict[str, list[tuple[int, float]]], words: Mapping) -> Markup:
    """Return one line for each curve of (step, loss) points: of training and validation rows."""
    steps, losses = zip(*(point for points in curves.values() for point in points), strict=True)
    high = max(losses) * 1.05
    axes = Axes((0, max(max(steps), 1)), (0, max(high, 1e-6)), words["step"], words["loss"])
    for name, points in curves.items():
        axes.line(points, "line faint" if name == "train_loss" else "line coder")
    return axes.svg(words["loss"])


def charts(content: dict, words: Mapping) -> dict[str, Markup | None]:
    """Return each chart of the page; None: there is nothing to draw."""
    curves = content["curves"]
    marks = [
        (post["certified"], post["target"], post["rate"], post["precision"])
        for post in content["posts"]
        if post["rate"] > 0
    ]
    lines = curves["precision_coverage"], curves["precision_coverage_baseline"]
    learning = {name: points for name, points in content["learning"].items() if points}
    return {
        "coverage": coverage_chart(*lines, marks, words),
        "reliability": reliability_chart(curves["reliability"], words),
        "learning": learning_chart(learning, words) if learning else None,
    }
