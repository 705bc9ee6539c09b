"""dvc.yaml against the code: a stage reruns when what it imports or reads changes, no other."""

import ast
import importlib
import sys
from pathlib import Path

import pytest
from project import ROOT, copy_project, run
from ruamel.yaml import YAML

from stages.lib.params.files import PARAM_FILES, read_yaml
from stages.lib.params.section import PartOfSection

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PIPELINE = [
    *("check", "ingest", "preprocess", "feature", "split"),
    *("tokenize", "train", "score", "classify", "baseline", "evaluate"),
]


def paths(entries: list) -> list[str]:
    """Return the paths of deps, outs or metrics, with or without options."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def imported(path: Path) -> set[Path]:
    """Return the files of the project that `path` imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    candidates = (ROOT / f"{name.replace('.', '/')}.py" for name in names)
    return {candidate for candidate in candidates if candidate.is_file()}


def closure(stage: str) -> set[Path]:
    found, waiting = set(), {ROOT / f"stages/{stage}.py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= imported(path) - found
    return found


def test_the_stages_are_listed_in_the_order_of_the_data():
    assert list(STAGES) == PIPELINE
    files = {path.stem for path in (ROOT / "stages").glob("*.py")}
    # The others run when new rows arrive, their reviewed sheet comes back, a month has been posted,
    # or experiments are shown to others; `stages` when a stage is started as a file.
    assert files - set(STAGES) == {"__init__", "stages", "predict", "learn", "month", "track"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_a_stage_depends_on_is_the_code_it_imports(stage):
    code = closure(stage)
    # a module reads the file of the same name beside it, or the words in a folder of that name
    code |= {other for path in code for other in path.parent.glob(f"{path.stem}.*")}
    code |= {other for path in code for other in path.parent.glob(f"{path.stem}/*.yaml")}
    code = {path for path in code if path.is_file()}
    expected = {path.relative_to(ROOT).as_posix() for path in code}
    declared = {path for path in paths(STAGES[stage]["deps"]) if path.startswith("stages")}
    assert declared == expected, (declared - expected, expected - declared)


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_stage_and_lib_imports_none(stage):
    stages = set((ROOT / "stages").glob("*.py"))
    assert closure(stage) & stages == {ROOT / f"stages/{stage}.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_description_and_runs_as_a_module(stage):
    assert len(STAGES[stage]["desc"]) > 20
    assert STAGES[stage]["cmd"].endswith(f" -m stages.{stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_writes_only_its_own_folders(stage):
    written = paths([*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])])
    assert written
    for path in written:
        place, owner = path.split("/")[:2]
        assert place in ("data", "models", "metrics") and owner == stage


@pytest.mark.parametrize("stage", STAGES)
def test_only_metrics_are_kept_by_git_so_that_the_run_cache_has_every_stage(stage):
    """DVC keeps no run of a stage that has another output with ``cache: false``."""
    assert all(isinstance(out, str) for out in STAGES[stage]["outs"])


def declared_params(stage: str) -> set[tuple[str, str]]:
    """Return (file, key) for each parameter that dvc.yaml lists for `stage`."""
    found = set()
    for entry in STAGES[stage].get("params", []):
        if isinstance(entry, dict):
            found |= {(file, key) for file, keys in entry.items() for key in keys}
        else:
            found.add(("params.yaml", entry))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_each_listed_parameter_is_in_its_file(stage):
    contents = {file: read_yaml(ROOT / file) for file in PARAM_FILES}
    for file, key in declared_params(stage):
        node = contents[file]
        for part in key.split("."):
            assert part in node, f"{file}: {key}"
            node = node[part]


def read_params(stage: str) -> set[str]:
    """Return ``section``, or ``section.key`` where a part of it is read, for each model that the
    stage hands to `load_params`."""
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8"))
    module, found = importlib.import_module(f"stages.{stage}"), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_params":
            for keyword in node.keywords:
                model = getattr(module, keyword.value.id)
                keys = model.model_fields if issubclass(model, PartOfSection) else None
                found |= {f"{keyword.arg}.{key}" for key in keys} if keys else {keyword.arg}
    return found


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "check"])
def test_the_listed_parameters_are_those_that_the_stage_reads(stage):
    declared = {key for _, key in declared_params(stage)}
    if stage == "tokenize":  # validates the whole section, but no token depends on the dtype
        assert {"model.name", "model.revision", "model.trust_remote_code"} <= declared
        declared = {"model" if key.startswith("model.") else key for key in declared}
    assert declared == read_params(stage)


def test_check_depends_on_both_files_as_a_whole_and_all_others_on_check():
    assert {"params.yaml", "params_train.yaml"} <= set(STAGES["check"]["deps"])
    assert STAGES["check"]["outs"] == ["data/check/valid.txt"]
    for stage in STAGES.keys() - {"check"}:
        assert "data/check/valid.txt" in STAGES[stage]["deps"]


def test_only_train_and_score_import_torch():
    stages = [f"stages.{stage}" for stage in STAGES if stage not in ("train", "score")]
    heavy = "{'torch', 'transformers', 'peft', 'datasets', 'sklearn'}"
    code = f"import sys, {', '.join(stages)}; print({heavy} & {{*sys.modules}})"
    assert run([sys.executable, "-c", code], ROOT).stdout == "set()\n"


@pytest.mark.parametrize("stage", STAGES)
def test_only_train_and_score_depend_on_the_libraries_that_shape_a_model(stage):
    assert ("requirements-model.txt" in STAGES[stage]["deps"]) == (stage in ("train", "score"))
    assert ("requirements-quantize.txt" in STAGES[stage]["deps"]) == (stage in ("train", "score"))
    assert ("requirements-classify.txt" in STAGES[stage]["deps"]) == (stage == "classify")


def test_packages_of_the_project_are_empty():
    """An __init__ file runs for every stage, and no stage lists it."""
    sizes = [path.stat().st_size for path in ROOT.glob("stages/**/__init__.py")]
    assert len(sizes) >= 7 and set(sizes) == {0}


def test_a_hand_over_is_imported_by_its_two_ends_alone():
    """So that a new column of the scores reruns no stage before them."""
    writers = {path.stem for path in (ROOT / "stages/lib/contracts").glob("*.py")} & set(STAGES)
    data = {name: set(paths(STAGES[name]["deps"])) for name in STAGES}
    for writer in writers:
        contract = f"stages/lib/contracts/{writer}.py"
        written = paths([*STAGES[writer]["outs"], *STAGES[writer].get("metrics", [])])
        for reader in {name for name in STAGES if contract in data[name]} - {writer}:
            assert any(dep.startswith(tuple(written)) for dep in data[reader]), (writer, reader)


def test_imports_go_down_from_the_rooms_to_what_is_for_all():
    above = {"ledger", "split", "model", "evaluation"}
    floor = {"params": {"params", "contracts", "lib"}, "contracts": {"contracts"}}
    for path in (ROOT / "stages/lib").rglob("*.py"):
        room = path.parent.name
        rooms = {other.parent.name for other in imported(path)}
        if room in floor:
            assert rooms <= floor[room], path
        elif room == "lib" and path.name != "coding.py":  # what predict calls uses all rooms
            assert rooms <= {"lib"}, path
        elif room in above:
            assert rooms & above <= {room}, path


def test_a_section_is_in_one_file_only():
    first, second = (set(read_yaml(ROOT / file)) for file in PARAM_FILES)
    assert first & second == set()
    assert "lora" in first  # `dvc exp run -S lora.r=32` edits params.yaml


@pytest.mark.slow
def test_dvc_refuses_a_section_in_both_files(tmp_path):
    folder = copy_project(tmp_path)
    with (folder / "params_train.yaml").open("a") as file:
        file.write("lora:\n  r: 4\n")
    run(["git", "init", "-q"], folder)
    done = run(["dvc", "repro", "--dry"], folder)
    assert done.returncode != 0
    assert "lora" in done.stderr
