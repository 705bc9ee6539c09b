"""Read and check the parameter files.

``params.yaml`` and ``params_train.yaml`` form one namespace: each top-level section is in exactly
one of them. A stage names the sections that it reads, each with its model::

    params = load_params(split=SplitParams, feature=VisibleFields)
    params.split.seed
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.errors import UserError, UserErrors, first_line
from stages.lib.params.older_files import MISSING_KEY, MISSING_SECTION, add_values
from stages.lib.params.section import Section

PARAM_FILES = ("params.yaml", "params_train.yaml")
# Keys that say how files are read: those of a bank may be read in another way than the ledger.
READING = {
    "ingest": (
        *("files", "reading", "columns", "required", "patterns", "fill_down", "voucher"),
        *("wrapped", "total_words", "min_content_match"),
    ),
    "preprocess": (
        *("decimal", "currency_words", "credit_words", "date_order", "other_formats"),
        *("unreadable_amount", "unreadable_date"),
    ),
}


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
                raise _section_twice(key, *sections[key], content)
            sections[key] = (name, content)
    return sections


def _section_twice(section: str, first_file: str, first: object, second: object) -> UserError:
    """Return the error for a section that is in both files: the smaller one is out of place."""
    (out, content), (at, _) = sorted(
        zip(PARAM_FILES, (first, second), strict=True), key=lambda item: len(str(item[1]))
    )
    problem = f"section '{section}' is in {at} too"
    return UserError(
        "section-twice", out, problem, f"remove it from {out}; {_form(at, section, content)}"
    )


def _form(file: str, section: str, content: object) -> str:
    """Return how a key of a section is written on the command line."""
    key = section
    while isinstance(content, dict) and content:
        name, content = next(iter(content.items()))
        key += f".{name}"
    prefix = "" if file == PARAM_FILES[0] else f"{file}:"
    return f"with dvc exp run, write -S {prefix}{key}=..."


def check_places(places: Mapping[str, str], folder: Path | str = ".") -> list[UserError]:
    """Return an error for each section of the parameter files that is unknown or out of place.

    Parameters
    ----------
    places : mapping of str to str
        The file of each section. DVC looks for changes there.
    folder : path
        Where the parameter files are.
    """
    errors = []
    for section, (file, content) in read_param_files(Path(folder)).items():
        if section not in places:
            action = _nearest(section, list(places)) or "remove it"
            errors.append(
                UserError("invalid-parameter", f"{file}: {section}", "unknown section", action)
            )
        elif file != places[section]:
            action = f"move it there; {_form(places[section], section, content)}"
            problem = f"the section belongs in {places[section]}"
            errors.append(UserError("section-misplaced", f"{file}: {section}", problem, action))
    return errors


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"write {near[0]}, or remove it" if near else ""


def _known_keys(model: type[Section], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys beside the one at `loc`."""
    kind: object = model
    for part in loc[:-1]:
        fields = getattr(kind, "model_fields", None)
        kind = fields[part].annotation if fields else (get_args(kind) or (None,))[-1]
    return list(getattr(kind, "model_fields", ()))


def _problem(model: type[Section], item: dict) -> str:
    """Return what is wrong with a value, and what to do about it."""
    found = item["input"]
    match item["type"]:
        case "extra_forbidden":
            nearest = _nearest(str(item["loc"][-1]), _known_keys(model, item["loc"]))
            return f"unknown key; {nearest or 'remove it or correct its spelling'}"
        case "missing":
            return "missing key; add it"
        case "misplaced":
            return item["msg"]
        case "string_type" if found is not None and not isinstance(found, bool):
            what = "codes such as 0100" if isinstance(found, int | float) else "brackets and braces"
            quotes = "need quotes, and with -S quotes within quotes: -S 'a.b=\"0100\"'"
            return f"{item['msg']}; got {found!r}; {what} {quotes}"
    # A whole section says nothing.
    got = "" if isinstance(found, dict) else f"; got {found!r}"
    return item["msg"].removeprefix("Value error, ") + got


def _problems(
    file: str, section: str, model: type[Section], error: ValidationError
) -> list[UserError]:
    errors = []
    for item in error.errors():
        code = MISSING_KEY if item["type"] == "missing" else "invalid-parameter"
        key = ".".join([section, *map(str, item["loc"])])
        errors.append(UserError(code, f"{file}: {key}", _problem(model, item)))
    return errors


def _with_other_keys(
    sections: dict[str, tuple[str, object]], path: Path
) -> dict[str, tuple[str, object]]:
    changed, errors = dict(sections), []
    for name, content in read_yaml(path).items():
        allowed = READING.get(name, ())
        keys = content if isinstance(content, dict) else {}
        for key in keys if allowed else [None]:
            if key in allowed:
                continue
            where = ".".join(filter(None, (name, key)))
            expected = ", ".join(f"{section}.{k}" for section in READING for k in READING[section])
            problem = f"does not say how files are read; expected some of {expected}"
            errors.append(
                UserError("invalid-parameter", f"{path}: {where}", problem, "take it out")
            )
        if name in sections:
            changed[name] = (str(path), _merged(sections[name][1], content))
    if errors:
        raise UserErrors(errors)
    return changed


def _merged(old: object, new: object) -> object:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def load_params(
    folder: Path | str = ".", reading: Path | str | None = None, **models: type[Section]
) -> SimpleNamespace:
    """Return the named sections, each checked by its model, as attributes of one object.

    Parameters
    ----------
    folder : path
        Where the parameter files are.
    reading : path, optional
        A file whose keys stand in for those of the parameter files. A mapping there changes the
        keys that it has, anything else is replaced.
    **models : type of Section
        ``section name = model``.

    Raises
    ------
    UserError
        Something is wrong; the message has one line a problem: file, key, what was expected
        and what was found. All keys that a file lacks are one line, with the values to write.
    """
    sections = read_param_files(Path(folder))
    if reading is not None:
        sections = _with_other_keys(sections, Path(reading))
    errors, values = [], {}
    for section, model in models.items():
        if section not in sections:
            where = f"{' or '.join(PARAM_FILES)}: {section}"
            errors.append(UserError(MISSING_SECTION, where, "the section is missing", "add it"))
            continue
        file, content = sections[section]
        try:
            values[section] = model.model_validate(content)
        except ValidationError as error:
            errors += _problems(file, section, model, error)
    if errors:
        raise UserErrors(add_values(errors, PARAM_FILES, folder))
    return SimpleNamespace(**values)
