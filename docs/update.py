"""Write the figures and tables between the marks of README.md and docs/*.md.

    python docs/update.py            # rewrite what is out of date
    python docs/update.py --check    # exit with 1 if something is out of date
    python docs/update.py --keep time   # first keep the present run, split by time, in docs/results

It also keeps docs/results/report.html: the report of the run that dvc.lock names. The picture of it
is made by hand, when the report looks different::

    chromium --headless=new --no-sandbox --hide-scrollbars --window-size=1280,944 \\
      --screenshot=docs/results/report.png docs/results/report.html

A mark is ``<!-- name -->...<!-- /name -->``. Its text comes from dvc.yaml, from the committed
reports in metrics/, from docs/results/ (what --keep kept of a run), or
from docs/measured.yaml, where what no report says is written by hand.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- (\w+) -->(.*?)<!-- /\1 -->", re.DOTALL)

TITLES = {
    "coder": "**coder** (all three together)",
    "text_classifier": "text classifier",
    "past_postings": "past postings",
    "language_model": "language model",
    "tfidf_chars": "TF-IDF, words + characters, linear SVC",
    "tfidf_words": "TF-IDF, words, linear SVC",
    "lookup": "vendor look-up",
    "majority": "most frequent account",
}
RIVAL = "tfidf_chars"
# Runs whose figures are kept in docs/results/, and what each is called in the tables.
KEPT = {
    "stratified": "rows like the past",
    "time": "the months after training",
    "group": "unseen vendors",
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


def present_result() -> dict:
    """Return the figures of the run in this workspace, in the form of docs/results/*.json."""
    report, tokenized = read_report("evaluate"), read_report("tokenize")
    coder = report["values"] | {"postable95": report["postable95"]}
    return {
        "strategy": read_yaml("params_train.yaml")["split"]["strategy"],
        "train_rows": report["train_rows"],
        "language_model_rows": tokenized["train"]["rows"],
        "test_rows": report["rows"],
        "accuracy_gain_interval": report["bounds"]["accuracy_gain"]["rows"],
        "ways": {"coder": coder} | report["parts"] | report["baselines"],
        "contributions": report["contributions"],
    }


def kept_result(name: str) -> dict:
    return json.loads((ROOT / f"docs/results/{name}.json").read_text(encoding="utf-8"))


def keep_result(name: str) -> None:
    """Write docs/results/NAME.json from the present reports; some names are those of a split."""
    found = present_result()
    if name in KEPT and found["strategy"] != name:
        sys.exit(f"docs/results/{name}.json: the present run is split by {found['strategy']}")
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    (ROOT / f"docs/results/{name}.json").write_text(text, encoding="utf-8", newline="\n")


def figures(found: dict[str, float], *keys: str) -> str:
    return " / ".join(
        f"{found[key]:.2f}" if key == "log_loss" else f"{found[key]:.3f}" for key in keys
    )


def result() -> str:
    """Return the table of the coder, its parts and its rival on two splits, and what it shows."""
    past, future = kept_result("stratified"), kept_result("time")
    lines = [
        "| accuracy / top 3 / log loss | rows like the past | the months after training |",
        "|---|---|---|",
    ]
    for name in ("coder", "text_classifier", "language_model", RIVAL):
        cells = [figures(r["ways"][name], "accuracy", "top3_accuracy", "log_loss")
                 for r in (past, future)]  # fmt: skip
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", verdict(past, future)])


def gain(found: dict) -> str:
    """Return how the accuracy of the coder differs from that of its rival, with its interval."""
    points = 100 * found["ways"]["coder"]["accuracy_gain"]
    low, high = (100 * bound for bound in found["accuracy_gain_interval"])
    return f"{points:+.1f} points (95 %: {low:+.1f} to {high:+.1f})"


def against_part(found: dict) -> str:
    """Return how the coder compares with its most accurate part."""
    ways = found["ways"]
    parts = {name: ways[name] for name in found["contributions"]}
    best = max(parts, key=lambda name: parts[name]["accuracy"])
    accuracy, top, loss = (
        ways["coder"][key] - parts[best][key] for key in ("accuracy", "top3_accuracy", "log_loss")
    )
    return (
        f"its {TITLES[best]} alone by {100 * accuracy:+.1f} points "
        f"({chance(parts[best]['p'])}), in top 3 by {100 * top:+.1f} points "
        f"and in log loss by {loss:+.2f}"
    )


def chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def verdict(past: dict, future: dict) -> str:
    """Return the sentences that the numbers allow about the coder, its rival and its parts."""
    return (
        f"The coder's accuracy differs from that of TF-IDF with a linear SVC by {gain(past)} on "
        f"rows like the past, and by {gain(future)} on the months after. It differs from "
        f"{against_part(past)}; on the months after from {against_part(future)}. The language "
        f"model has learned from {past['language_model_rows']:,} of {past['train_rows']:,} rows."
    )


def all_ways() -> str:
    """Return every figure of the coder, its parts and the baselines, on each kind of split."""
    titles = {name: f"{title[0].upper()}{title[1:]}" for name, title in KEPT.items()}
    return "\n\n".join(f"{title}: {ways(kept_result(name))}" for name, title in titles.items())


def korean() -> str:
    """Return the same for the Korean ledger."""
    return f"A random split: {ways(kept_result('korean'))}"


def ways(found: dict) -> str:
    """Return a line about the rows of a run, and a table of the coder, its parts and baselines."""
    keys = ("accuracy", "top3_accuracy", "macro_f1", "log_loss", "ece")
    lines = [
        f"{found['train_rows']:,} rows train ({found['language_model_rows']:,} of them the "
        f"language model), {found['test_rows']:,} test.",
        "",
        "| | accuracy | top 3 | macro-F1 | log loss | ECE | postable at 95 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, way in found["ways"].items():
        cells = figures(way, *keys, "postable95").split(" / ")
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
    """Return what may be posted without a look, on both splits."""
    said = []
    for title, name in (
        ("On rows like the past", "stratified"),
        ("On the months after training", "time"),
    ):
        found, parts = kept_result(name)["ways"]["coder"], []
        for kind, threshold in (("certified", "certified95"), ("estimated", "autopost95")):
            rate, right = (found[f"{threshold}_{part}"] for part in ("rate", "precision"))
            if not rate:
                parts.append(f"there is no {kind} threshold for 95 %")
            else:
                parts.append(
                    f"the {kind} threshold for 95 % posts {100 * rate:.1f} % of the test rows, and "
                    f"{100 * right:.1f} % of these are right"
                )
        said.append(f"{title}, {'; '.join(parts)}")
    return ". ".join(said)


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


# The report ---------------------------------------------------------------------------------------

REPORT, KEPT_REPORT = "metrics/evaluate/report.html", "docs/results/report.html"


def committed_md5(path: str) -> str:
    """Return the md5 that dvc.lock has for an output of `evaluate`."""
    outs = read_yaml("dvc.lock")["stages"]["evaluate"]["outs"]
    return next(out["md5"] for out in outs if out["path"] == path)


def file_md5(path: Path) -> str | None:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None


def update_report(check: bool) -> bool:
    """Keep the report of the committed run, unless `check`; return whether it was out of date.

    Raises
    ------
    SystemExit
        The report in the workspace is of another run.
    """
    wanted = committed_md5(REPORT)
    if file_md5(ROOT / KEPT_REPORT) == wanted:
        return False
    if not check:
        if file_md5(ROOT / REPORT) != wanted:
            sys.exit(
                f"{REPORT}: not the report of dvc.lock; run 'dvc repro' or 'dvc pull evaluate'"
            )
        shutil.copyfile(ROOT / REPORT, ROOT / KEPT_REPORT)
    print(f"{KEPT_REPORT}: {'out of date' if check else 'updated'}")
    return True


# Marks -------------------------------------------------------------------------------------------


def measured(key: str) -> str:
    return str(read_yaml("docs/measured.yaml")[key])


BLOCKS: dict[str, Callable[[], str]] = {
    "result": result,
    "all_ways": all_ways,
    "korean": korean,
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
    parser.add_argument("--keep", metavar="NAME", help="first write docs/results/NAME.json")
    arguments = parser.parse_args()
    check = arguments.check
    if arguments.keep:
        keep_result(arguments.keep)
    stale = int(update_report(check))
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
