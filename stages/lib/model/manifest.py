"""The manifest of a model: its files, what it was made from, and the libraries that made it."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stages.lib.checksums import file_sha256
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.errors import UserError, first_line

LIBRARIES = Path("requirements-model.txt")


def installed_version(name: str) -> str:
    """Return the version of the installed package `name`, or ``none``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def library_versions(path: Path = LIBRARIES) -> dict[str, str]:
    """Return the installed version of each library that shapes a model's numbers.

    Parameters
    ----------
    path : Path
        The file that names them, one ``name==version`` a line.

    Raises
    ------
    UserError
        There is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(
            "file-not-found", path, "not found", "run from the top folder of the repository"
        ) from None
    names = (line.partition("#")[0].partition("==")[0].strip() for line in lines)
    return {name: installed_version(name) for name in names if name}


def changed_libraries(noted: dict[str, str]) -> list[str]:
    """Return the libraries of another version than `noted`, each with both versions.

    The build that follows a plus sign (``2.13.0+cpu``) makes no difference: a model that was
    trained on a GPU may score on a CPU.
    """
    found = {name: installed_version(name) for name in noted}
    return [
        f"{name} {noted[name]} (installed: {found[name]})"
        for name in noted
        if noted[name].partition("+")[0] != found[name].partition("+")[0]
    ]


def write_manifest(folder: Path, versions: dict[str, str], **made_from: object) -> None:
    """Write the manifest of the files that are in `folder`, which must have none yet.

    Parameters
    ----------
    folder : Path
    versions : dict of str to str
        Of the libraries that shape the model's numbers.
    **made_from : object
        Such as ``base_model``.
    """
    manifest = {
        **made_from,
        "versions": versions,
        "files": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def verify_manifest(folder: Path) -> dict:
    """Return the manifest in `folder` after checking every file that it names.

    Raises
    ------
    UserError
        A file is missing, or its bytes are not those that were saved.
    """

    def damaged(path: Path, problem: str) -> UserError:
        stage = folder.name
        action = f"fetch it with 'dvc pull {stage}', or rebuild it with 'dvc repro --force {stage}'"
        return UserError("damaged-model", path, problem, action)

    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(folder / MANIFEST, f"cannot be read: {first_line(error)}") from None
    for name, sha256 in files:
        path = folder / name
        if not path.is_file():
            raise damaged(path, "missing, but the manifest names it")
        if (found := file_sha256(path)) != sha256:
            raise damaged(path, f"sha256 is {found}, but the manifest has {sha256}")
    return manifest
