"""The parameter models and the shipped files: every key is typed, known and explained."""

import ast
import sys
from itertools import takewhile
from typing import get_args

import pytest
from project import ROOT, run
from pydantic import BaseModel
from refusals import refused
from ruamel.yaml import YAML

from stages.check import SECTIONS
from stages.lib.params.files import PARAM_FILES, load_params, read_yaml
from stages.lib.params.section import PartOfSection, Section

PARAMS = ROOT / "stages/lib/params"


def section_classes() -> dict[str, type[Section]]:
    """Return all models by name, those of parts of sections included."""
    found, waiting = {}, [Section]
    for path in sorted(PARAMS.glob("*.py")):
        __import__(f"stages.lib.params.{path.stem}")
    while waiting:
        for model in waiting.pop().__subclasses__():
            if model.__module__.startswith("stages.lib.params."):
                found[model.__name__] = model
                waiting.append(model)
    return found


def stage_models() -> list[tuple[str, str]]:
    """Return (section, name of model) for every ``load_params(section=Model)`` of the stages."""
    found = []
    for path in sorted((ROOT / "stages").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_params":
                found += [
                    (k.arg, k.value.id) for k in node.keywords if k.arg not in (None, "reading")
                ]
    return found


def submodels(annotation) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in submodels(part)]


def fields(model: type[BaseModel]):
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}", field
        for inner in submodels(field.annotation):
            yield from fields(inner)


def test_every_shipped_section_has_a_model_and_every_model_a_section():
    assert sorted(SECTIONS) == sorted(s for name in PARAM_FILES for s in read_yaml(ROOT / name))
    assert load_params(ROOT, **SECTIONS)


def test_a_stage_reads_a_section_by_its_model_or_by_a_part_of_it():
    classes = section_classes()
    assert len(stage_models()) > 15
    for section, name in stage_models():
        model = classes[name]
        assert model is SECTIONS[section] or issubclass(model, PartOfSection), (section, name)
        if issubclass(model, PartOfSection):
            assert model.model_fields.keys() <= SECTIONS[section].model_fields.keys()
            assert load_params(ROOT, **{section: model})


def test_no_default_hides_in_code():
    """With unknown keys refused, this makes the keys of files and models the same."""
    models = [*SECTIONS.values(), *section_classes().values()]
    optional = {n for m in models for n, field in fields(m) if not field.is_required()}
    # An entry of other_formats says only what differs.
    assert {n for n in optional if not n.startswith("OtherFormat.")} == set()


def leaf_keys(model: type[BaseModel], node, parents: tuple):
    """Yield (key, the mapping that holds it, the mappings around it) for keys a model declares."""
    for name, field in model.model_fields.items():
        inner = submodels(field.annotation)
        if not inner:
            yield name, node, parents
            continue
        below, around = node[name], (*parents, (node, name))
        if isinstance(below, dict):
            is_one = below.keys() <= inner[0].model_fields.keys()
            below = [below] if is_one else below.values()
        for value in below:
            yield from leaf_keys(inner[0], value, around)


def is_comment(line: str) -> bool:
    return line.strip().startswith("#")


def test_every_key_has_a_comment():
    """Above it, in its line, below it if it is a mapping, or where a key around it or beside it
    mentions it as `key`."""
    missing = []
    for file in PARAM_FILES:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        content = YAML().load(ROOT / file)

        def comment(node, key, lines=lines):
            line = node.lc.key(key)[0]
            text = [lines[line].partition("  # ")[2]]
            above = takewhile(is_comment, reversed(lines[:line]))
            below = takewhile(is_comment, lines[line + 1 :]) if isinstance(node[key], dict) else ()
            return " ".join([*text, *above, *below]).strip()

        for section in content:
            around = ((content, section),)
            for key, node, parents in leaf_keys(SECTIONS[section], content[section], around):
                beside = [
                    (around, other) for around in (node, content[section]) for other in around
                ]
                told = any(f"`{key}`" in comment(*other) for other in (*parents, *beside))
                if not comment(node, key) and not told:
                    missing.append(f"{file}: {section} ... {key}")
    assert missing == []


def test_no_parameter_model_imports_anything_heavy():
    """Every stage imports some at its start, and `check` all of them."""
    models = [f"stages.lib.params.{path.stem}" for path in sorted(PARAMS.glob("*.py"))]
    heavy = "{'torch', 'numpy', 'pandas', 'pyarrow', 'transformers', 'sklearn'}"
    code = f"import sys, {', '.join(models)}; print({heavy} & {{*sys.modules}})"
    assert run([sys.executable, "-c", code], ROOT).stdout == "set()\n"


def changed(section: str, **values) -> dict:
    """Return the shipped content of a section with other values."""
    content = next(
        c[section] for c in map(read_yaml, map(ROOT.joinpath, PARAM_FILES)) if section in c
    )
    return content | values


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("ingest", {"patterns": {"acct_code": "(?=a)"}}, "patterns.acct_code"),
        ("ingest", {"required": ["nobody"]}, "nobody"),
        ("ingest", {"columns": {"a": {"role": "text", "names": []}}}, "label"),
        ("ingest", {"columns": {"group": {"role": "label", "names": []}}}, "group"),
        ("feature", {"fields": ["merchant", "merchant"]}, "fields"),
        ("feature", {"amount_edges": [2.0, 1.0]}, "amount_edges"),
        ("feature", {"credit_column": "amount"}, "credit_column"),
        ("feature", {"fields": ["acct_code"]}, "acct_code"),
        ("split", {"test_size": 0.9, "val_size": 0.1}, "test_size + val_size"),
        ("model", {"name": "Qwen/Qwen3-4B", "revision": "main"}, "revision"),
        ("model", {"name": "a==1", "revision": None}, "revision"),
        ("model", {"name": "./a", "revision": "0" * 40}, "revision"),
        ("training", {"keep_best": None, "early_stopping_patience": 2}, "early_stopping_patience"),
        ("training", {"save_strategy": "no"}, "keep_best"),
        ("evaluate", {"frequent_account_rows": 10}, "frequent_account_rows"),
        ("lora", {"r": "abc"}, "lora.r"),
        ("lora", {"top_layers": 3}, "lora.top_layers"),
    ],
)
def test_keys_of_a_section_that_contradict_each_other_are_refused(tmp_path, section, values, key):
    first, second = tmp_path / "params.yaml", tmp_path / "params_train.yaml"
    YAML().dump({section: changed(section, **values)}, first)
    YAML().dump({"other": {}}, second)
    with refused("invalid-parameter", f"params.yaml: {section}", key):
        load_params(tmp_path, **{section: SECTIONS[section]})


@pytest.mark.parametrize(
    "revision",
    [("./a", None), ("/a", "0" * 64), ("a==1", "0" * 64), ("Qwen/Qwen3-4B", "0" * 40)],
)
def test_each_kind_of_base_model_has_its_own_form_of_revision(revision):
    name, digits = revision
    model = SECTIONS["model"].model_validate(changed("model", name=name, revision=digits))
    assert (model.is_folder, model.is_package) == (name[0] in "./", "==" in name)
