"""Say which values to write into a parameter file of an older version, which lacks some keys.

The values are those that git has: a file that lacks a key took the place of one that had it.
"""

import io
import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.errors import UserError

# Codes of errors.
MISSING_KEY, MISSING_SECTION = "missing-key", "missing-section"
# So many versions of a file are searched, the newest first.
VERSIONS = 100


def add_values(
    errors: Sequence[UserError], files: Sequence[str], folder: Path | str = "."
) -> list[UserError]:
    """Return `errors` with one error a file for all its missing keys, and the values to write.

    Parameters
    ----------
    errors : sequence of UserError
        Where a key is missing, `where` is ``file: key``; where a section is, ``files: section``.
    files : sequence of str
        The names of the parameter files.
    folder : path
        Where they are, in a git repository.
    """
    keys, sections = defaultdict(list), []
    for error in errors:
        file, _, key = error.where.partition(": ")
        if error.code == MISSING_KEY:
            keys[file].append(key)
        elif error.code == MISSING_SECTION:
            sections.append(key)
    told = [_missing_keys(file, names, folder) for file, names in keys.items()]
    told += [_missing_section(name, files, folder) for name in sections]
    return [*told, *(e for e in errors if e.code not in (MISSING_KEY, MISSING_SECTION))]


def _missing_keys(file: str, keys: list[str], folder: Path | str) -> UserError:
    found = committed_values(file, keys, folder)
    lines = ", ".join(
        f"{key}: {json.dumps(found[key][1], ensure_ascii=False)}" if key in found else key
        for key in keys
    )
    what = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
    problem = f"{what} missing, as in a file of an older version: {lines}"
    commit = next((found[key][0] for key in keys if key in found), None)
    action = f"add what is missing; 'git show {commit}:./{file}' has the comments" if commit else ""
    return UserError(MISSING_KEY, file, problem, action or "add what is missing")


def _missing_section(section: str, files: Sequence[str], folder: Path | str) -> UserError:
    where, action = " or ".join(files), "add it"
    for file in files:
        if found := committed_values(file, [section], folder):
            where, action = file, f"copy it from 'git show {found[section][0]}:./{file}'"
    return UserError(MISSING_SECTION, f"{where}: {section}", "the section is missing", action)


def committed_values(
    file: str, keys: Sequence[str], folder: Path | str
) -> dict[str, tuple[str, object]]:
    """Return for each key the newest commit whose version of `file` has it, and its value there.

    Keys without such a commit are left out, and so are all of them where there is no git.
    """
    found: dict[str, tuple[str, object]] = {}
    log = _git(["log", "--format=%h", f"-n{VERSIONS}", "--", file], folder)
    for commit in log.split():
        left = [key for key in keys if key not in found]
        if not left:
            break
        try:
            content = YAML(typ="safe").load(
                io.StringIO(_git(["show", f"{commit}:./{file}"], folder))
            )
        except (YAMLError, ValueError):
            continue
        for key in left:
            with suppress(LookupError, TypeError):
                found[key] = commit, _value(content, key)
    return found


def _value(content: object, key: str) -> object:
    for part in key.split("."):
        # Of a list, the last entry speaks for those that follow it.
        content = content[min(int(part), len(content) - 1) if isinstance(content, list) else part]
    return content


def _git(words: list[str], folder: Path | str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
