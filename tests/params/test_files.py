"""Reading the parameter files: every mistake is one clear line."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field
from refusals import refused

from stages.lib.errors import UserError
from stages.lib.params.files import check_places, load_params, read_yaml
from stages.lib.params.section import Section


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
        ("seed: 1", "sede: 1", "params.yaml: example.sede: unknown key; .*seed"),
        ("seed: 1", "", "params.yaml: 1 key is missing.*example.seed"),
        ("seed: 1", "seed: 1.5", "params.yaml: example.seed: .*integer.*got 1.5"),
        ("seed: 1", "seed: '1'", "params.yaml: example.seed: .*integer.*got '1'"),
        ("seed: 1", "seed: true", "params.yaml: example.seed: .*integer.*got True"),
        ("seed: 1", "seed:", "params.yaml: example.seed: .*integer.*got None"),
        ("share: 1e-4", "share: .nan", "params.yaml: example.share: .*finite.*got nan"),
        ("share: 1e-4", "share: .inf", "params.yaml: example.share: .*finite.*got inf"),
        ('code: "0101"', "code: 0101", "params.yaml: example.code: .*string.*got 101.*quotes"),
        ('code: "0101"', "code: [0-9]", "params.yaml: example.code: .*string.*0-9.*quotes"),
        ('code: "0101"', "code: {a}", "params.yaml: example.code: .*string.*a.*quotes"),
        ("on: true", "on: yes", "params.yaml: example.on: .*boolean.*got 'yes'"),
        ("on: true", "on: 1", "params.yaml: example.on: .*boolean.*got 1"),
        ("rate: 2", "rate: 0", "params.yaml: example.inner.rate: .*greater than 0.*got 0"),
        ("rate: 2", "rat: 2", "params.yaml: example.inner.rat: unknown key; .*rate"),
        ("rate: 2", "rate: 2, x: 1", "params.yaml: example.inner.x: unknown key"),
        ("{rate: 2}", "3", "params.yaml: example.inner: .*got 3"),
        ("kind: a", "kind: c", "params.yaml: example.kind: .*'a' or 'b'.*got 'c'"),
    ],
)
def test_each_mistake_names_file_key_expected_and_found(tmp_path, old, new, expected):
    assert old in GOOD
    found = message(write(tmp_path, GOOD.replace(old, new)))
    with pytest.raises(UserError, match=expected):
        load_params(tmp_path, example=Example)
    both = "unknown" in expected and ", x" not in new  # the key it lacks, too
    assert len(found.splitlines()) == 1 + both


def test_all_problems_of_all_sections_are_in_one_message(tmp_path):
    folder = write(
        tmp_path,
        GOOD.replace("seed: 1", "seed: x").replace("kind: a", "kind: c"),
        "second: {rate: -1}\n",
    )
    lines = message(folder, example=Example, second=Inner, third=Inner).splitlines()
    assert [line.split(":")[0:2] for line in lines] == [
        ["params.yaml or params_train.yaml", " third"],
        ["params.yaml", " example.seed"],
        ["params.yaml", " example.kind"],
        ["params_train.yaml", " second.rate"],
    ]


def test_a_section_in_both_files_is_refused_with_the_form_to_type(tmp_path):
    stray = "example: {seed: 3}\n"
    with refused("section-twice", "params.yaml: ", "-S params_train.yaml:example.seed="):
        load_params(write(tmp_path, stray, GOOD), example=Example)
    with refused("section-twice", "params_train.yaml: ", "-S example.seed="):
        load_params(write(tmp_path, GOOD, stray), example=Example)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: [1", "params.yaml, line 2"),
        ("a: 1\na: 2\n", "params.yaml, line 2"),
        ("a: \t- b\n c", "params.yaml, line 1"),
        ("- 1\n", "params.yaml"),
        ("", "params.yaml"),
        ("a: \x07\n", "params.yaml, line ?"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path, content, expected):
    folder = write(tmp_path, content)
    with refused("invalid-yaml", f"{expected}: "):
        load_params(folder, example=Example)
    assert "\n" not in message(folder)


def test_a_file_that_is_missing_or_not_utf8_is_refused_by_name(tmp_path):
    with refused("no-parameter-file", "params.yaml"):
        load_params(tmp_path, example=Example)
    write(tmp_path)
    (tmp_path / "params.yaml").write_bytes("example: {code: 여비}".encode("cp949"))
    with refused("invalid-yaml", "params.yaml", "UTF-8"):
        load_params(tmp_path, example=Example)


def test_a_folder_in_place_of_a_file_is_refused_by_name(tmp_path):
    (write(tmp_path) / "params.yaml").unlink()
    (tmp_path / "params.yaml").mkdir()
    with refused("no-parameter-file", "params.yaml"):
        load_params(tmp_path, example=Example)


def test_a_section_that_no_model_describes_is_named(tmp_path):
    write(tmp_path)
    places = {"example": "params.yaml"}
    assert [e.where for e in check_places(places, tmp_path)] == ["params_train.yaml: other"]
    assert check_places({**places, "other": "params_train.yaml"}, tmp_path) == []


def test_a_section_in_the_wrong_file_is_named_with_the_form_to_type(tmp_path):
    write(tmp_path, "other: {}\n", GOOD)
    (error,) = check_places({"example": "params.yaml", "other": "params.yaml"}, tmp_path)
    assert (error.code, error.where) == ("section-misplaced", "params_train.yaml: example")
    assert "-S example.seed=" in str(error)


class Item(Section):
    name: str


class Nested(Section):
    items: list[Item]
    by_name: dict[str, Item]


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("{items: [{name: a, naem: b}], by_name: {}}", "nested.items.0.naem"),
        ("{items: [], by_name: {x: {name: a, naem: b}}}", "nested.by_name.x.naem"),
    ],
)
def test_the_nearest_key_is_named_in_lists_and_mappings(tmp_path, content, where):
    write(tmp_path, f"nested: {content}\n")
    with refused("invalid-parameter", where, "name, or"):
        load_params(tmp_path, nested=Nested)


# How other files are read


class Ingest(Section):
    columns: dict[str, dict[str, str | list[str]]]
    wrapped: list[str]
    mask: list[str]


INGEST = """
ingest:
  columns: {day: {role: date, names: [day]}, shop: {role: group, names: [shop]}}
  wrapped: [shop]
  mask: [email]
"""


def read_as(folder: Path, other: str) -> Ingest:
    write(folder, INGEST)
    (folder / "bank.yaml").write_text(other, encoding="utf-8")
    return load_params(folder, folder / "bank.yaml", ingest=Ingest).ingest


def test_a_mapping_changes_the_keys_that_it_has_and_a_list_is_replaced(tmp_path):
    found = read_as(tmp_path, "ingest: {columns: {shop: {names: [payee]}}, wrapped: []}")
    assert found.columns == {
        "day": {"role": "date", "names": ["day"]},
        "shop": {"role": "group", "names": ["payee"]},
    }
    assert (found.wrapped, found.mask) == ([], ["email"])
    assert read_as(tmp_path, "preprocess: {decimal: comma}").wrapped == ["shop"]


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ("ingest: {mask: []}", "ingest.mask"),
        ("ingest: {source: elsewhere}", "ingest.source"),
        ("preprocess: {labels: {retire: []}}", "preprocess.labels"),
        ("feature: {fields: []}", "feature"),
        ("lora: 1", "lora"),
    ],
)
def test_what_does_not_say_how_files_are_read_is_refused_by_name(tmp_path, other, key):
    with refused("invalid-parameter", f"bank.yaml: {key}: ", "ingest.columns, "):
        read_as(tmp_path, other)


def test_a_mistake_in_the_other_file_is_named_there(tmp_path):
    with refused("invalid-parameter", "bank.yaml: ingest.wrapped: "):
        read_as(tmp_path, "ingest: {wrapped: shop}")
    with refused("invalid-parameter", "bank.yaml: ingest: "):
        read_as(tmp_path, "ingest: 3")
    with refused("no-parameter-file", "nowhere.yaml"):
        load_params(tmp_path, tmp_path / "nowhere.yaml", ingest=Ingest)
