"""Read and check the parameter files.

``params.yaml`` and ``params_train.yaml`` form one namespace: each top-level section is in exactly
one of them. A stage names the sections that it reads, each with its model::

    params = load_params(split=SplitParams, feature=VisibleFields)
    params.split.seed
"""

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.errors import UserError, UserErrors, first_line
from stages.lib.params.section import Section

PARAM_FILES = ("params.yaml", "params_train.yaml")


def read_yaml(path: Path) -> dict:
    """Return the mapping in `path`, parsed as DVC parses it (YAML 1.2: ``1e-4`` is a number, and
    ``NO`` and ``0101`` are neither a boolean nor an octal number).

    Raises
    ------
    UserError
        The file cannot be read, is not YAML, has a key twice, or is not a mapping.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "no-parameter-file", path, "not found", "run from the top folder of the repository"
        ) from None
    except OSError as error:
        raise UserError(
            "no-parameter-file",
            path,
            f"cannot be read: {error.strerror}",
            "correct its permissions",
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            "invalid-yaml", path, f"expected UTF-8 text: {error}", "save it as UTF-8"
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:  # such as the day 2018-13-45
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else "?"
        problem = getattr(error, "problem", None) or first_line(error)
        raise UserError(
            "invalid-yaml", f"{path}, line {line}", f"not valid YAML: {problem}"
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            "invalid-yaml", path, f"expected sections such as 'split:', got {content!r}"
        )
    return content


def read_param_files(folder: Path) -> dict[str, tuple[str, object]]:
    """Return ``{section: (file name, content)}`` over both parameter files in `folder`."""
    sections: dict[str, tuple[str, object]] = {}
    for name in PARAM_FILES:
        for key, content in read_yaml(folder / name).items():
            if key in sections:
                raise UserError(
                    "section-twice",
                    name,
                    f"section '{key}' is in {sections[key][0]} too",
                    "keep one",
                )
            sections[key] = (name, content)
    return sections


def check_no_other_sections(known: Collection[str], folder: Path | str = ".") -> list[UserError]:
    """Return an error for each section of the parameter files in `folder` that is not `known`."""
    return [
        UserError("invalid-parameter", f"{file}: {section}", "unknown section", "remove it")
        for section, (file, _) in read_param_files(Path(folder)).items()
        if section not in known
    ]


def _problems(file: str, section: str, error: ValidationError) -> list[UserError]:
    errors = []
    for item in error.errors():
        key = ".".join([section, *map(str, item["loc"])])
        match item["type"]:
            case "extra_forbidden":
                text = "unknown key; remove it or correct its spelling"
            case "missing":
                text = "missing key; add it"
            case "misplaced":
                text = item["msg"]
            case _:
                text = item["msg"].removeprefix("Value error, ")
                if not isinstance(item["input"], dict):  # a whole section says nothing
                    text += f"; got {item['input']!r}"
        errors.append(UserError("invalid-parameter", f"{file}: {key}", text))
    return errors


def load_params(folder: Path | str = ".", **models: type[Section]) -> SimpleNamespace:
    """Return the named sections, each checked by its model, as attributes of one object.

    Parameters
    ----------
    folder : path
        Where the parameter files are.
    **models : type of Section
        ``section name = model``.

    Raises
    ------
    UserError
        Something is wrong; the message has one line a problem: file, key, what was expected
        and what was found.
    """
    sections = read_param_files(Path(folder))
    errors, values = [], {}
    for section, model in models.items():
        if section not in sections:
            files = " or ".join(PARAM_FILES)
            errors.append(UserError("invalid-parameter", files, f"section '{section}' is missing"))
            continue
        file, content = sections[section]
        try:
            values[section] = model.model_validate(content)
        except ValidationError as error:
            errors += _problems(file, section, error)
    if errors:
        raise UserErrors(errors)
    return SimpleNamespace(**values)
