"""Write the evaluation as one HTML file that loads nothing else: no network, no fonts, no files.

The layout is in the template beside this file, ``report.html``, the words are in ``words/``.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jinja2

from stages.lib.evaluation.charts import charts
from stages.lib.evaluation.judging import RIVAL
from stages.lib.evaluation.words import load_words, say_slice

TEMPLATE = Path(__file__).with_name("report.html")
# The tables, seen from metrics/evaluate.
TABLES = "../../data/evaluate"
SUSPECTS, CONFUSIONS = 200, 100  # shown at most; the files have all
# A share of fewer rows is shown as a count.
LEAST_ROWS = 10
DIGITS = 12  # of a digest, where it is shown short


def fill(text: str, **values: object) -> str:
    """Return `text` with the words for its {names}; a per cent sign stays on its number's line."""
    return text.format(**values).replace(" %", "\u00a0%")


def percent(words: Mapping, value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage, a dash where there is none (None or NaN)."""
    if value is None or value != value:
        return words["numbers"]["none"]
    return fill(words["numbers"]["percent"], value=f"{100 * value:.{digits}f}")


def number(words: Mapping, value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` decimals, a dash where there is none (None or NaN)."""
    if value is None or value != value:
        return words["numbers"]["none"]
    return f"{value:,.{digits}f}"


def span(words: Mapping, bounds: list[float] | None, digits: int = 1, kind: str = "span") -> str:
    """Return an interval of shares in per cent (of differences in points, if `kind` is points); a
    dash where there is none."""
    if bounds is None or bounds[0] is None or bounds[0] != bounds[0]:
        return words["numbers"]["none"]
    low, high = (f"{100 * bound:.{digits}f}" for bound in bounds)
    return fill(words["numbers"][kind], low=low, high=high)


def p_value(words: Mapping, value: float) -> str:
    """Return a p-value with three decimals."""
    kind, shown = ("p_below", "0.001") if value < 0.001 else ("p", f"{value:.3f}")
    return words["numbers"][kind].format(value=shown)


def share(words: Mapping, part: int, whole: int) -> str:
    """Return a share of rows as a percentage, or as a count where it is of fewer than ten."""
    if whole >= LEAST_ROWS:
        return percent(words, part / whole)
    if not whole:
        return words["numbers"]["none"]
    return words["numbers"]["of"].format(part=part, whole=whole)


def headline(words: Mapping, posts: list[dict]) -> tuple[str, str, dict | None]:
    """Return what may be posted as one sentence, its kind, and the threshold that it is about.

    The certified threshold for 95 %, else the estimated one. Shares are rounded, but never up to
    more right rows than there are.
    """
    for certified in (True, False):
        for post in posts:
            if (post["certified"], post["target"]) == (certified, 0.95) and post["rate"] > 0:
                kind = "certified" if certified else "estimated"
                # 100 times .29 is 28.999999999999996.
                right = int(100 * post["precision"] + 1e-9)
                said = fill(
                    words["headline"][kind],
                    share=f"{100 * post['rate']:.0f}" if post["rate"] >= 0.01 else "< 1",
                    right=right,
                )
                return said, kind, post
    return words["headline"]["none"], "none", None


def summary(words: Mapping, content: dict) -> str:
    """Return the last lines of the stage: the report, the accuracy, the share postable."""
    said = words["summary"]
    accuracy = percent(words, content["values"]["accuracy"])
    lines = [
        headline(words, content["posts"])[0],
        said["accuracy"].format(accuracy=accuracy, rows=f"{content['rows']:,}"),
        said["report"].format(path=content["path"]),
    ]
    return "\n".join(line.replace("\u00a0", " ") for line in lines)


def render_report(content: dict, language: str) -> str:
    """Return the HTML page for `content`, the results of the stage; every text is escaped."""
    words = load_words(language)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": partial(percent, words),
        "number": partial(number, words),
        "span": partial(span, words),
        "p": partial(p_value, words),
        "count": lambda value: f"{value:,}",
        "fill": fill,
        "field": lambda name: name.replace("_", " "),
    }
    environment.globals |= {
        "share": partial(share, words),
        "say_slice": partial(say_slice, words, content["edges"], content["sizes"]),
    }
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    said, kind, post = headline(words, content["posts"])
    return page.render(
        **content,
        w=words,
        language=language,
        headline=said,
        posting=kind,
        post=post,
        cards=sorted(content["posts"], key=lambda post: (post["target"], not post["certified"])),
        charts=charts(content, words["charts"]),
        rival=RIVAL,
        compared=[*content["parts"], RIVAL],
        best=max(content["parts"], key=lambda name: content["parts"][name]["accuracy"]),
        shown_suspects=SUSPECTS,
        shown_confusions=CONFUSIONS,
        least_rows=LEAST_ROWS,
        tables=TABLES,
        digits=DIGITS,
    )
