"""Read and check the parameter files, and turn a user's mistake into one clear line.

``params.yaml`` and ``params_train.yaml`` form one namespace: each top-level section stands in
exactly one of them. A stage declares its sections as strict models and asks for them by name::

    class SplitParams(Section):
        seed: int = Field(ge=0)

    def main():
        params = load_params(split=SplitParams)
        params.split.seed

    if __name__ == "__main__":
        run_stage(main)  # of stages.lib.process
"""

from pathlib import Path
from types import SimpleNamespace

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAM_FILES = ("params.yaml", "params_train.yaml")


class UserError(Exception):
    """A mistake that the user can mend: its message is all that the user needs to see."""


class Section(BaseModel):
    """One section of a parameter file: unknown, missing and mistyped keys are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_yaml(path: Path) -> dict:
    """Return the mapping in `path`, parsed as DVC parses it (YAML 1.2: ``1e-4`` is a number,
    ``NO`` and ``0101`` are not a boolean and not an octal number).

    Raises
    ------
    UserError
        The file is missing, is not YAML, holds a key twice, or is not a mapping.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the top folder of the repository") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text, got another encoding ({error})") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else "?"
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}, line {line}: not valid YAML: {problem}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected sections such as 'split:', got {content!r}")
    return content


def read_param_files(folder: Path) -> dict[str, tuple[str, object]]:
    """Return ``{section: (file name, content)}`` over both parameter files in `folder`."""
    sections: dict[str, tuple[str, object]] = {}
    for name in PARAM_FILES:
        for key, content in read_yaml(folder / name).items():
            if key in sections:
                raise UserError(
                    f"section '{key}' stands in both {sections[key][0]} and {name}; keep it in one"
                )
            sections[key] = (name, content)
    return sections


def _problems(file: str, section: str, error: ValidationError) -> list[str]:
    lines = []
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
        lines.append(f"{file}: {key}: {text}")
    return lines


def load_params(folder: Path | str = ".", **models: type[Section]) -> SimpleNamespace:
    """Return the named sections, each checked by its model, as attributes of one object.

    Parameters
    ----------
    folder : path
        Where the parameter files lie.
    **models : type of Section
        ``section name = model``.

    Raises
    ------
    UserError
        Something is wrong; the message has one line a problem: file, key, what was expected
        and what was found.
    """
    sections = read_param_files(Path(folder))
    problems, values = [], {}
    for section, model in models.items():
        if section not in sections:
            problems.append(f"{' or '.join(PARAM_FILES)}: section '{section}' is missing")
            continue
        file, content = sections[section]
        try:
            values[section] = model.model_validate(content)
        except ValidationError as error:
            problems += _problems(file, section, error)
    if problems:
        raise UserError("\n".join(problems))
    return SimpleNamespace(**values)
