"""Everything that is installed is pinned, in one list that says nothing of where it comes from."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from project import ROOT

# No package has this name. Where Python is another one, pip names it and stops: for a list of
# requirements it does not look at requires-python.
NEEDS = 'python==3.11 ; python_version != "3.11"'
# The build of torch that an index serves decides whether these are needed; torch pins them itself.
BY_TORCH = re.compile(r"nvidia-(?!ml-py)|cuda-|triton$")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    """Return ``{package: version}`` of a requirements file that has nothing but exact pins."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line != NEEDS]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    assert len({normalized(match[1]) for match in found}) == len(lines)
    return {normalized(match[1]): match[2] for match in found}


def direct() -> dict[str, str]:
    """Return ``{package: version}`` of the packages that the project itself names."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = [*content["project"]["dependencies"], *content["dependency-groups"]["dev"]]
    parts = [item.split("==") for item in listed]
    return {normalized(name): version for name, version in parts}


def test_the_pins_are_those_of_pyproject_and_what_these_need():
    pinned = pins("requirements.txt")
    assert direct().items() <= pinned.items()
    waiting, seen = [(name, frozenset()) for name in direct()], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or BY_TORCH.match(name):
            continue
        seen.add((name, extras))
        assert name in pinned, f"{name} is needed and not pinned"
        found = distribution(name)
        assert found.version.split("+")[0] == pinned[name], name
        for line in found.requires or []:
            need = Requirement(line)
            markers = (
                [need.marker.evaluate({"extra": e}) for e in (*extras, "")] if need.marker else [1]
            )
            if any(markers):
                waiting.append((normalized(need.name), frozenset(need.extras)))
    assert {name for name, _ in seen} == set(pinned)


def test_another_python_is_refused_by_name_before_anything_is_downloaded():
    first = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()[0]
    assert first == NEEDS
    marker = Requirement(NEEDS).marker
    refused = [
        v for v in ("3.10", "3.11", "3.12", "3.13") if marker.evaluate({"python_version": v})
    ]
    assert refused == ["3.10", "3.12", "3.13"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.12"


def test_what_shapes_a_models_numbers_is_pinned_in_a_file_of_its_own():
    model, every = pins("requirements-model.txt"), pins("requirements.txt")
    assert {"torch", "transformers", "tokenizers", "peft", "accelerate", "numpy"} <= set(model)
    assert model.items() <= every.items()
    assert not {"pytest", "dvc"} & set(model)
    text = pins("requirements-classify.txt")
    assert {"numpy", "scikit-learn", "scipy"} == set(text) and text.items() <= every.items()


def test_the_package_for_4_bit_weights_is_pinned_apart_from_the_others():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (line,) = content["project"]["optional-dependencies"]["quantize"]
    assert (ROOT / "requirements-quantize.txt").read_text(encoding="utf-8") == f"{line}\n"
    assert not pins("requirements-quantize.txt").keys() & pins("requirements.txt").keys()
    assert "-r requirements-quantize.txt" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_pinned_packages_are_installed():
    listed = pins("requirements-model.txt") | pins("requirements-classify.txt")
    for name, version in listed.items():
        try:
            assert distribution(name).version.split("+")[0] == version
        except PackageNotFoundError:
            raise AssertionError(f"{name} is not installed") from None


def test_uv_makes_the_environment_from_the_same_list_and_its_lock_file_is_not_in_git():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert content["tool"]["uv"] == {"package": False}
    assert all(line.count("==") == 1 for line in content["project"]["dependencies"])
    assert "/uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
