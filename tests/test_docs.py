"""README.md and docs/ say what is: their figures, tables, links, paths, keys and commands."""

import hashlib
import importlib.util
import re
import shlex
import sys

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from project import ROOT, copy_project, run
from small_ledger import ledger_rows, write_ledger

from stages.lib.params.files import PARAM_FILES, read_yaml


def _load_update():
    spec = importlib.util.spec_from_file_location("docs_update", ROOT / "docs/update.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


update = _load_update()
PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in update.documents()}
# Tells of what was, and of keys and files that are gone.
PRESENT = {name: text for name, text in PAGES.items() if name != "docs/history.md"}
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
SECTIONS = {name: read_yaml(ROOT / file) for file in PARAM_FILES for name in read_yaml(ROOT / file)}
# Written by a user's command.
UNTRACKED = {".dvc/config.local", ".dvc/cache"}
# What the page about mistakes shows.
WRONG_KEYS = {"lora.rr"}
FOLDERS = r"(?:stages|tests|docs|recipes|benchmarks|metrics|data|models|\.dvc|\.ci)"


def anchors(page: str) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page, re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def code(text: str) -> list[str]:
    """Return what is written as code, in blocks and within lines."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)
    return blocks + re.findall(r"`([^`\n]+)`", rest)


# Figures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_what_is_between_marks_is_what_the_reports_say(name):
    assert PAGES[name] == update.updated(PAGES[name]), "run python docs/update.py"


def test_every_mark_is_closed():
    for name, text in PAGES.items():
        assert len(update.MARK.findall(text)) == len(re.findall(r"<!-- /\w+ -->", text)), name


def test_check_fails_if_a_figure_is_out_of_date(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    paths = [tmp_path / name for name in PAGES]
    monkeypatch.setattr(update, "documents", lambda: paths)
    monkeypatch.setattr(update, "ROOT", tmp_path)
    monkeypatch.setattr(update, "updated", lambda text: text.replace("Quick start", "Slow start"))
    monkeypatch.setattr(update, "update_kept", lambda check: 0)
    monkeypatch.setattr(sys, "argv", ["update.py", "--check"])
    assert update.main() == 1
    assert "Quick" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(sys, "argv", ["update.py"])
    assert update.main() == 0
    assert "Quick" not in (tmp_path / "README.md").read_text()


def made_result(gain: float, p: float) -> dict:
    """Return a result whose coder is `gain` above the rival and half of it above its best part."""
    return {
        "train_rows": 14_296,
        "language_model_rows": 4_800,
        "accuracy_gain_interval": [gain - 0.01, gain + 0.01],
        "ways": {
            "coder": {"accuracy": 0.7, "accuracy_gain": gain}
            | {"top3_accuracy": 0.9, "log_loss": 1},
            "language_model": {"accuracy": 0.5, "p": 0.0, "top3_accuracy": 0.7, "log_loss": 2},
            "text_classifier": {"accuracy": 0.7 - gain / 2, "p": p}
            | {"top3_accuracy": 0.88, "log_loss": 1.25},
        },
        "contributions": {"language_model": {}, "text_classifier": {}},
    }


def test_the_sentences_about_the_result_follow_from_the_numbers():
    said = update.verdict(made_result(0.024, 0.0001), made_result(-0.004, 0.25))
    assert "by +2.4 points (95 %: +1.4 to +3.4) on rows like the past" in said
    assert "by -0.4 points (95 %: -1.4 to +0.6) on the months after" in said
    assert "text classifier alone by +1.2 points (p < 0.001), in top 3 by +2.0 points" in said
    assert "text classifier alone by -0.2 points (p = 0.250), in top 3 by +2.0 points" in said
    assert said.count("in log loss by -0.25") == 2
    assert "4,800 of 14,296 rows" in said


def test_a_result_is_kept_under_the_strategy_of_its_run_alone(tmp_path, monkeypatch):
    (tmp_path / "docs/results").mkdir(parents=True)
    monkeypatch.setattr(update, "ROOT", tmp_path)
    monkeypatch.setattr(update, "present_result", lambda: {"strategy": "time", "train_rows": 3})
    update.keep_result("time")
    assert update.kept_result("time") == {"strategy": "time", "train_rows": 3}
    with pytest.raises(SystemExit, match="split by time"):
        update.keep_result("group")


def test_the_kept_results_are_of_the_committed_run_and_of_the_same_run_split_by_time():
    past, future = update.kept_result("stratified"), update.kept_result("time")
    committed = update.read_json("metrics/evaluate/metrics.json")
    assert committed == {name: past["ways"]["coder"][name] for name in committed}
    tokenized = update.kept_report("tokenize")["train"]["rows"]
    assert tokenized == past["language_model_rows"] == future["language_model_rows"]
    assert (past["strategy"], future["strategy"]) == ("stratified", "time")
    assert past.keys() == future.keys()
    for name, way in past["ways"].items():
        assert way.keys() == future["ways"][name].keys(), name


@pytest.mark.parametrize(("path", "kept"), update.KEPT_FILES.items())
def test_the_kept_reports_are_those_of_the_committed_run(path, kept):
    assert update.is_kept(path, kept), "run python docs/update.py"


def test_only_reports_of_the_committed_run_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(update, "ROOT", tmp_path)
    monkeypatch.setattr(update, "committed_md5", lambda path: hashlib.md5(b"<p>").hexdigest())
    for path in update.KEPT_FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("<p>")
    (tmp_path / update.PAGE).write_text("<b>")
    assert update.update_kept(check=True) == len(update.KEPT_FILES)
    with pytest.raises(SystemExit, match=r"report\.html: not that of dvc\.lock"):
        update.update_kept(check=False)
    (tmp_path / update.PAGE).write_text("<p>")
    assert update.update_kept(check=False)
    assert (tmp_path / update.KEPT_PAGE).read_text() == "<p>"
    assert update.update_kept(check=True) == 0


def test_the_picture_of_the_report_is_small():
    assert 20_000 < (ROOT / "docs/results/report.png").stat().st_size < 200_000


def test_the_table_of_stages_has_every_stage_and_its_own_parameters():
    rows = update.stages().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(STAGES)
    (train,) = (row for row in rows if row.startswith("| `train` |"))
    assert all(f"`{section}`" in train for section in ("lora", "deepspeed", "training"))


def test_the_machine_is_named_in_one_place():
    machine = read_yaml(ROOT / "docs/measured.yaml")["machine"]
    for name, text in PRESENT.items():
        outside = update.MARK.sub("", text)
        assert machine not in outside, name


# What is named exists ----------------------------------------------------------------------------


def test_the_readme_has_at_most_120_lines():
    assert len(PAGES["README.md"].splitlines()) <= 120


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), target


def made_by_a_stage(path: str) -> bool:
    """Return whether `path` is an output of dvc.yaml, or below one."""
    outs = []
    for stage in STAGES.values():
        for item in [*stage.get("outs", []), *stage.get("metrics", [])]:
            outs += [item] if isinstance(item, str) else list(item)
    return any(f"{path}/".startswith(f"{out}/") or out.startswith(f"{path}/") for out in outs)


@pytest.mark.parametrize("name", PRESENT)
def test_every_path_that_is_named_exists_or_is_made_by_a_stage(name):
    for text in code(PRESENT[name]):
        quoted = re.findall(rf'"({FOLDERS}/[^"]+)"', text)
        plain = re.findall(rf"(?<![\w/.\"-]){FOLDERS}/[\w./*-]*", text)
        for path in [*quoted, *(path.rstrip("/.") for path in plain)]:
            if "NAME" in path or path in UNTRACKED:
                continue
            exists = any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()
            assert exists or made_by_a_stage(path.removesuffix(".dvc")), path


@pytest.mark.parametrize("name", PRESENT)
def test_every_module_that_is_run_exists(name):
    for module in re.findall(r"python -m ((?:stages|benchmarks)(?:\.[a-z]\w*)+)", PRESENT[name]):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


@pytest.mark.parametrize("name", [*PRESENT, "recipes/qwen3-4b.args"])
def test_every_parameter_that_is_named_exists(name):
    texts = code(PRESENT[name]) if name in PRESENT else [(ROOT / name).read_text("utf-8")]
    files = r"(?!\w*\.(?:py|json|md|html|parquet|yaml)\b)"
    pattern = rf"(?<![\w./-]){files}(?:{'|'.join(SECTIONS)})(?:\.[a-z_]\w*)+"
    for text in texts:
        for key in set(re.findall(pattern, text)) - WRONG_KEYS:
            node = SECTIONS[key.partition(".")[0]]
            for part in key.split("."):
                assert part in node, key
                node = node[part]


def test_every_test_that_is_named_exists():
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name, text in PRESENT.items():
        for test in re.findall(r"`(test_\w+)`", text):
            assert f"def {test}(" in tests, f"{name}: {test}"


def test_every_stage_and_page_is_in_the_readme_or_reached_from_it():
    linked, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in linked:
            continue
        linked.add(name)
        targets = re.findall(r"\]\(([^)#]+\.md)", PAGES.get(name, ""))
        waiting += [str(((ROOT / name).parent / t).resolve().relative_to(ROOT)) for t in targets]
    assert set(PAGES) <= linked


def test_the_notebook_lines_run(tmp_path):
    (lines,) = re.findall(r"^```python\n(.*?)^```", PAGES["docs/ledgers.md"], re.S | re.M)
    write_ledger(copy_project(tmp_path) / "data/raw/ledger.csv", ledger_rows())
    program = f"{lines}\nprint(base.num_rows, len(clean.rejects), ledger.report['rows_read'])"
    done = run([sys.executable, "-c", program], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["60", "0", "60"]


@pytest.mark.slow
def test_dvc_refuses_what_the_documentation_says_in_these_words(tmp_path):
    table = r"^\| `(-S .+?)`.*? \| `(.+?)` \| (.+) \|$"
    rows = re.findall(table, PAGES["docs/experiments.md"], re.M)
    assert len(rows) == 9
    write_ledger(copy_project(tmp_path) / "data/raw/ledger.csv", ledger_rows())
    for command in ("init -q", "add -A", "commit -qm x"):
        assert run(["git", *command.split()], tmp_path).returncode == 0
    for typed, said, instead in rows:
        done = run(["dvc", "exp", "run", *shlex.split(typed)], tmp_path)
        assert done.returncode != 0
        assert said in re.sub(r"\n(?=Cannot|To|cannot)", " ", done.stderr), (typed, done.stderr)
        assert "Running stage" not in done.stdout
        assert run(["git", "status", "--porcelain"], tmp_path).stdout == ""
        if instead.startswith("`-S "):
            for path, values in to_path_overrides(shlex.split(instead.strip("`"))[1:]).items():
                apply_overrides(tmp_path / path, values)
            for command in ("read-tree HEAD", "restore params.yaml params_train.yaml"):
                assert run(["git", *command.split()], tmp_path).returncode == 0


def test_the_licence_is_the_unmodified_apache_licence():
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.md5(text).hexdigest() == "3b83ef96387f14655fc854ddc3c6bd57"


def test_the_readme_says_nothing_of_this_machine():
    for name, text in PAGES.items():
        assert not re.search(r"/(?:tmp/w|work|home|root)\b", text), name
