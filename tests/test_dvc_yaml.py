"""dvc.yaml against the code: a stage reruns when what it imports or reads changes, no other."""

import ast
import sys
from pathlib import Path

import pytest
from project import ROOT, run
from ruamel.yaml import YAML

from stages.lib.params.files import PARAM_FILES, read_yaml

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
WAY = ["ingest", "preprocess", "feature", "split", "tokenize", "train", "evaluate"]


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


def test_the_stages_stand_in_the_order_of_the_data():
    assert [name for name in STAGES if name in WAY] == WAY
    files = {path.stem for path in (ROOT / "stages").glob("*.py")}
    assert files - set(STAGES) == {"__init__", "predict"}  # which runs when new rows arrive


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_a_stage_depends_on_is_the_code_it_imports(stage):
    code = closure(stage)
    # a file that lies beside a module under its name is read by it
    code |= {other for path in code for other in path.parent.glob(f"{path.stem}.*")}
    expected = {path.relative_to(ROOT).as_posix() for path in code}
    declared = {path for path in paths(STAGES[stage]["deps"]) if path.startswith("stages")}
    assert declared == expected


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
def test_each_listed_parameter_stands_in_its_file(stage):
    contents = {file: read_yaml(ROOT / file) for file in PARAM_FILES}
    for file, key in declared_params(stage):
        node = contents[file]
        for part in key.split("."):
            assert part in node, f"{file}: {key}"
            node = node[part]


@pytest.mark.parametrize("stage", STAGES)
def test_the_listed_parameters_are_those_that_the_stage_reads(stage):
    """A whole section, or the keys of the model that reads a part of one."""
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8"))
    partial = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "value='ignore'" in ast.dump(node):
            keys = [line.target.id for line in node.body if isinstance(line, ast.AnnAssign)]
            partial[node.name] = keys
    read = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_params":
            for keyword in node.keywords:
                keys = partial.get(keyword.value.id)
                read |= {f"{keyword.arg}.{key}" for key in keys} if keys else {keyword.arg}
    declared = {key for _, key in declared_params(stage)}
    if stage == "tokenize":  # validates the whole section, but no token depends on the dtype
        assert {"model.name", "model.revision", "model.trust_remote_code"} <= declared
        declared = {"model" if key.startswith("model.") else key for key in declared}
    assert declared == read


@pytest.mark.parametrize("stage", ["ingest", "preprocess", "feature", "split", "tokenize"])
def test_a_stage_without_a_model_imports_no_torch(stage):
    heavy = "{'torch', 'transformers', 'peft', 'sklearn', 'datasets'}"
    code = f"import sys, stages.{stage}; print({heavy} & {{*sys.modules}})"
    assert run([sys.executable, "-c", code], ROOT).stdout == "set()\n"


def test_packages_of_the_project_are_empty():
    """An __init__ file runs for every stage, and no stage lists it."""
    sizes = {path.parent.name: path.stat().st_size for path in ROOT.glob("stages/**/__init__.py")}
    assert sizes == dict.fromkeys(("stages", "lib", "ledger", "model", "evaluation"), 0)


def test_a_section_stands_in_one_file_only():
    first, second = (set(read_yaml(ROOT / file)) for file in PARAM_FILES)
    assert first & second == set()
    assert "lora" in first  # `dvc exp run -S lora.r=32` edits params.yaml
