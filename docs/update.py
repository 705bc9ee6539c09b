"""Write the figures and tables between the marks of README.md and docs/*.md.

    python docs/update.py            # rewrite what is out of date
    python docs/update.py --check    # exit with 1 if something is out of date

A mark is ``<!-- name -->...<!-- /name -->``. Its text comes from dvc.yaml, from the committed
reports in metrics/, or from docs/measured.yaml, where what no report says is written by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- (\w+) -->(.*?)<!-- /\1 -->", re.DOTALL)

TITLES = {
    "tfidf_chars": "TF-IDF, words + characters",
    "tfidf_words": "TF-IDF, words",
    "lookup": "vendor look-up",
    "majority": "most frequent account",
}
STRATEGIES = {
    "stratified": "a random split, each account near its share",
    "time": "a split by time: the past trains, the future tests",
    "group": "a split by vendor: no vendor is on two sides",
}


def read_yaml(name: str) -> dict:
    return YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))


def read_report(stage: str, name: str = "report") -> dict:
    return json.loads((ROOT / f"metrics/{stage}/{name}.json").read_text(encoding="utf-8"))


# The result --------------------------------------------------------------------------------------


def margin(accuracy: float, rows: int) -> float:
    """Return half the 95 % interval of an accuracy (normal approximation)."""
    return 1.96 * (accuracy * (1 - accuracy) / rows) ** 0.5


def verdict(accuracy: float, gain: float, rows: int) -> str:
    """Return the sentence that the numbers allow about the model and the best baseline.

    Parameters
    ----------
    accuracy : float
        Of the model.
    gain : float
        The model's accuracy minus that of the best baseline.
    rows : int
        Test rows.
    """
    points, within = 100 * abs(gain), 100 * margin(accuracy, rows)
    if abs(gain) <= margin(accuracy, rows):
        side = "above" if gain >= 0 else "below"
        return (
            f"On these rows the language model's accuracy is {points:.1f} points {side} that of "
            f"the best baseline. Each has a margin of ±{within:.1f} points (95 %), so the rows do "
            "not show which is better."
        )
    more = "more" if gain > 0 else "less"
    return (
        f"On these rows the language model is {more} accurate than the best baseline, by "
        f"{points:.1f} points; an accuracy here has a margin of ±{within:.1f} points (95 %)."
    )


def result_line(title: str, found: dict[str, float]) -> str:
    """Return a line of the table of results."""
    shares = [f"{found[key]:.3f}" for key in ("accuracy", "macro_f1", "top3_accuracy")]
    return f"| {title} | {' | '.join(shares)} | {found['log_loss']:.2f} |"


def result() -> str:
    """Return the table of the model and the baselines, and what it shows."""
    model, base = read_report("evaluate", "metrics"), read_report("baseline")
    sides = read_report("split")["sides"]
    train, test = (sides[side]["rows"] for side in ("train", "test"))
    lines = [
        f"| {train:,} rows train, {test:,} others test | accuracy | macro-F1 | top 3 | log loss |",
        "|---|---|---|---|---|",
    ]
    lines.append(result_line(f"fine-tuned {measured('model')}", model))
    others = {name: found for name, found in base.items() if name != "majority"}
    for name, found in sorted(others.items(), key=lambda item: -item[1]["accuracy"]):
        lines.append(result_line(TITLES[name], found))
    return "\n".join([*lines, "", verdict(model["accuracy"], model["accuracy_gain"], test)])


def split_text() -> str:
    """Return what was trained and tested on."""
    sides, rows = read_report("split")["sides"], read_report("preprocess")
    return (
        f"{rows['rows_out']:,} transactions on {rows['accounts']} accounts; "
        f"{sides['train']['rows']:,} of them train, {sides['test']['rows']:,} others test"
    )


def strategy() -> str:
    return STRATEGIES[read_yaml("params_train.yaml")["split"]["strategy"]]


def posted() -> str:
    """Return what may be posted without a look."""
    found, parts = read_report("evaluate", "metrics"), []
    for target in (95, 99):
        rate, right = (found[f"autopost{target}_{part}"] for part in ("rate", "precision"))
        if not rate:
            parts.append(f"for {target} % no row is posted")
        else:
            parts.append(
                f"the threshold for {target} % posts {100 * rate:.1f} % of the test rows, and "
                f"{100 * right:.1f} % of these are right"
            )
    return "; ".join(parts)


def ledger_rows() -> str:
    """Return what becomes of the rows of the sample ledger."""
    ingest, clean = read_report("ingest"), read_report("preprocess")
    lines = ["| | rows |", "|---|---|", f"| read | {ingest['rows_read']:,} |"]
    for report, stage in ((ingest, "ingest"), (clean, "preprocess")):
        for reason, count in report["reasons"].items():
            lines.append(f"| refused by `{stage}`: {reason} | {count:,} |")
    return "\n".join([*lines, f"| transactions | {clean['rows_out']:,} |"])


# The pipeline ------------------------------------------------------------------------------------


def _keys(params: list) -> list[str]:
    """Return the keys of a stage's `params:`, of either file."""
    keys = []
    for item in params:
        keys += [item] if isinstance(item, str) else [key for some in item.values() for key in some]
    return keys


def _causes(stage: dict) -> str:
    """Return what a user may change that reruns a stage."""
    causes = [f"`{dep}`" for dep in stage["deps"] if dep.startswith("params")]
    if any("ingest.source" in dep for dep in stage["deps"]):
        causes.append("the ledger's files")
    sections: dict[str, list[str]] = {}
    for key in _keys(stage.get("params", [])):
        sections.setdefault(key.partition(".")[0], []).append(key)
    for section, keys in sections.items():
        if len(keys) > 2:
            causes.append(f"`{section}` ({len(keys)} keys)")
        else:
            causes += [f"`{key}`" for key in keys]
    return ", ".join(causes)


def stages() -> str:
    """Return a row for each stage of dvc.yaml: what it does, and what reruns it."""
    lines = ["| stage | what it does | reruns when you change |", "|---|---|---|"]
    for name, stage in read_yaml("dvc.yaml")["stages"].items():
        lines.append(f"| `{name}` | {stage['desc'].replace(' -> ', ' → ')} | {_causes(stage)} |")
    return "\n".join(lines)


# Marks -------------------------------------------------------------------------------------------


def measured(key: str) -> str:
    return str(read_yaml("docs/measured.yaml")[key])


BLOCKS: dict[str, Callable[[], str]] = {
    "result": result,
    "stages": stages,
    "ledger_rows": ledger_rows,
}
WORDS: dict[str, Callable[[], str]] = {
    "split": split_text,
    "strategy": strategy,
    "posted": posted,
    **{name: lambda name=name: measured(name) for name in read_yaml("docs/measured.yaml")},
}


def updated(text: str) -> str:
    """Return `text` with the present content of every mark.

    Raises
    ------
    KeyError
        A mark has no source.
    """

    def content(match: re.Match) -> str:
        name = match[1]
        inner = f"\n{BLOCKS[name]()}\n" if name in BLOCKS else WORDS[name]()
        return f"<!-- {name} -->{inner}<!-- /{name} -->"

    return MARK.sub(content, text)


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the figures between the marks.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = 0
    for path in documents():
        old = path.read_text(encoding="utf-8")
        if (new := updated(old)) == old:
            continue
        stale += 1
        if not check:
            path.write_text(new, encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: {'out of date' if check else 'updated'}")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(min(main(), 1))
