"""Parameter files: every mistake is one clear line, and every key is typed, known and explained."""

import ast
import importlib
import sys
from pathlib import Path
from typing import Literal, get_args

import pytest
from project import ROOT, copy_project, run
from pydantic import BaseModel, Field
from ruamel.yaml import YAML

from stages.lib.errors import UserError
from stages.lib.params.files import PARAM_FILES, load_params, read_yaml
from stages.lib.params.section import Section
from stages.lib.process import run_stage


class Inner(Section):
    rate: float = Field(gt=0)


class Example(Section):
    seed: int
    share: float
    code: str
    on: bool
    inner: Inner
    kind: Literal["a", "b"]


GOOD = """
example:
  seed: 1
  share: 1e-4
  code: "0101"
  on: true
  inner: {rate: 2}
  kind: a
"""


def write(folder: Path, first: str = GOOD, second: str = "other: {}\n") -> Path:
    (folder / "params.yaml").write_text(first, encoding="utf-8")
    (folder / "params_train.yaml").write_text(second, encoding="utf-8")
    return folder


def message(folder: Path, **models) -> str:
    with pytest.raises(UserError) as caught:
        load_params(folder, **(models or {"example": Example}))
    return str(caught.value)


def test_values_are_those_of_yaml_1_2(tmp_path):
    example = load_params(write(tmp_path), example=Example).example
    assert example.share == 0.0001
    assert example.code == "0101"
    assert example.inner.rate == 2.0


def test_a_section_of_either_file_is_found(tmp_path):
    folder = write(tmp_path, "other: {}\n", GOOD)
    assert load_params(folder, example=Example).example.seed == 1


def test_words_and_leading_zeros_are_not_converted(tmp_path):
    (tmp_path / "a.yaml").write_text("a: NO\nb: 0101\nc: on\nd: 1e-4\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": "NO", "b": 101, "c": "on", "d": 1e-4}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seed: 1", "sede: 1", "params.yaml: example.sede: unknown key"),
        ("seed: 1", "", "params.yaml: example.seed: missing key"),
        ("seed: 1", "seed: 1.5", "params.yaml: example.seed: .*integer.*got 1.5"),
        ("seed: 1", "seed: '1'", "params.yaml: example.seed: .*integer.*got '1'"),
        ("seed: 1", "seed: true", "params.yaml: example.seed: .*integer.*got True"),
        ("seed: 1", "seed:", "params.yaml: example.seed: .*integer.*got None"),
        ("share: 1e-4", "share: .nan", "params.yaml: example.share: .*finite.*got nan"),
        ("share: 1e-4", "share: .inf", "params.yaml: example.share: .*finite.*got inf"),
        ('code: "0101"', "code: 0101", "params.yaml: example.code: .*string.*got 101"),
        ("on: true", "on: yes", "params.yaml: example.on: .*boolean.*got 'yes'"),
        ("on: true", "on: 1", "params.yaml: example.on: .*boolean.*got 1"),
        ("rate: 2", "rate: 0", "params.yaml: example.inner.rate: .*greater than 0.*got 0"),
        ("rate: 2", "rat: 2", "params.yaml: example.inner.rat: unknown key"),
        ("{rate: 2}", "3", "params.yaml: example.inner: .*got 3"),
        ("kind: a", "kind: c", "params.yaml: example.kind: .*'a' or 'b'.*got 'c'"),
    ],
)
def test_each_mistake_names_file_key_expected_and_found(tmp_path, old, new, expected):
    assert old in GOOD
    found = message(write(tmp_path, GOOD.replace(old, new)))
    with pytest.raises(UserError, match=expected):
        load_params(tmp_path, example=Example)
    assert len(found.splitlines()) == (2 if "unknown" in expected else 1)  # and the key it lacks


def test_all_problems_of_all_sections_stand_in_one_message(tmp_path):
    folder = write(
        tmp_path,
        GOOD.replace("seed: 1", "seed: x").replace("kind: a", "kind: c"),
        "second: {rate: -1}\n",
    )
    lines = message(folder, example=Example, second=Inner, third=Inner).splitlines()
    assert [line.split(":")[0:2] for line in lines] == [
        ["params.yaml", " example.seed"],
        ["params.yaml", " example.kind"],
        ["params_train.yaml", " second.rate"],
        ["params.yaml or params_train.yaml", " section 'third' is missing"],
    ]


def test_a_section_in_both_files_is_refused(tmp_path):
    found = message(write(tmp_path, GOOD, GOOD))
    assert found == (
        "section 'example' stands in both params.yaml and params_train.yaml; keep it in one"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: [1", "params.yaml, line [0-9]+: not valid YAML"),
        ("a: 1\na: 2\n", "params.yaml, line [0-9]+: not valid YAML"),
        ("a: \t- b\n c", "params.yaml, line [0-9]+: not valid YAML"),
        ("- 1\n", "params.yaml: expected sections"),
        ("", "params.yaml: expected sections"),
        ("a: \x07\n", "params.yaml, line [?]: not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path, content, expected):
    folder = write(tmp_path, content)
    with pytest.raises(UserError, match=expected):
        load_params(folder, example=Example)
    assert "\n" not in message(folder)


def test_a_file_that_is_missing_or_not_utf8_is_refused_by_name(tmp_path):
    assert "params.yaml: not found" in message(tmp_path)
    write(tmp_path)
    (tmp_path / "params.yaml").write_bytes("example: {code: 여비}".encode("cp949"))
    assert "params.yaml: expected UTF-8" in message(tmp_path)


def test_a_user_error_ends_a_stage_with_one_line_and_exit_code_1(capsys):
    def main():
        raise UserError("params.yaml: x: wrong")

    with pytest.raises(SystemExit) as caught:
        run_stage(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: params.yaml: x: wrong\n"


def test_any_other_error_keeps_its_traceback():
    def main():
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_stage(main)


@pytest.mark.slow
def test_dvc_refuses_a_section_in_both_files(tmp_path):
    folder = copy_project(tmp_path)
    with (folder / "params_train.yaml").open("a") as file:
        file.write("lora:\n  r: 4\n")
    run(["git", "init", "-q"], folder)
    done = run(["dvc", "repro", "--dry"], folder)
    assert done.returncode != 0
    assert "lora" in done.stderr


# The shipped files ------------------------------------------------------------------------------


def stage_models() -> list[tuple[str, type[Section]]]:
    """Return (section, model) for every ``load_params(section=Model)`` in the stage files."""
    found = []
    for path in sorted((ROOT / "stages").glob("*.py")):
        module = importlib.import_module(f"stages.{path.stem}")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_params":
                found += [(k.arg, getattr(module, k.value.id)) for k in node.keywords]
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


def is_whole(model: type[Section]) -> bool:
    return model.model_config["extra"] == "forbid"


def test_every_section_has_one_whole_model_and_every_model_a_section():
    whole = [(section, model) for section, model in stage_models() if is_whole(model)]
    shipped = [section for name in PARAM_FILES for section in read_yaml(ROOT / name)]
    assert len(set(whole)) == len({section for section, _ in whole})
    assert sorted(set(section for section, _ in whole)) == sorted(shipped)


def test_every_shipped_value_is_valid():
    for section, model in stage_models():
        load_params(ROOT, **{section: model})


def test_no_default_hides_in_code():
    """With unknown keys refused, this makes the keys of files and models the same."""
    hidden = [
        name
        for _, model in stage_models()
        for name, field in fields(model)
        if not field.is_required()
    ]
    assert hidden == []


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


def test_every_key_has_a_comment():
    """Right above it, or above a key around it where that comment speaks of it as `key`."""
    models = dict(item for item in stage_models() if is_whole(item[1]))
    missing = []
    for file in PARAM_FILES:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        content = YAML().load(ROOT / file)

        def comment(node, key, lines=lines):
            line, text = node.lc.key(key)[0], []
            while line and lines[line - 1].strip().startswith("#"):
                line -= 1
                text.append(lines[line])
            return " ".join(text)

        for section in content:
            around = ((content, section),)
            for key, node, parents in leaf_keys(models[section], content[section], around):
                told = any(f"`{key}`" in comment(*parent) for parent in parents)
                if not comment(node, key) and not told:
                    missing.append(f"{file}: {section} ... {key}")
    assert missing == []


def test_the_parameter_reader_stays_light():
    """Every stage imports it at start."""
    code = "import sys, stages.lib.params; print({'torch', 'numpy', 'pandas'} & {*sys.modules})"
    assert run([sys.executable, "-c", code], ROOT).stdout == "set()\n"
