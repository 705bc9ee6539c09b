"""What a coded file was made from, so that another person can check it later."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from stages.lib.checksums import file_sha256
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.errors import UserError
from stages.lib.model.manifest import verify_manifest
from stages.lib.review.new_file import new_file
from stages.lib.tables import read_json

STAGES = ("train", "classify", "evaluate")
LIBRARIES = ("torch", "transformers", "peft", "numpy", "pyarrow", "python-calamine", "XlsxWriter")


def audit_path(out: Path) -> Path:
    """Return where the audit file of a coded file is: beside it."""
    return out.with_name(f"{out.name}.audit.json")


def model_digests(models: Path) -> dict[str, str]:
    """Return the SHA-256 of the manifest of each model, which has those of its files."""
    return {stage: file_sha256(models / stage / MANIFEST) for stage in STAGES}


def git_commit() -> str | None:
    """Return the commit of the repository, with ``+`` where files differ from it; None: no git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_audit(
    inputs: list[dict[str, str]],
    said: list[dict[str, str]],
    models: Path,
    sections: Mapping[str, object],
    thresholds: Mapping[str, float | None],
) -> dict:
    """Return what is known before the first row is coded.

    Parameters
    ----------
    inputs, said : list of dict
        As `digests_of` returns them: of the new rows, and of what people said since the training.
    models : Path
    sections : mapping
        Parameters, by section.
    thresholds : mapping
    """
    return {
        "inputs": inputs,
        "said": said,
        "models": model_digests(models),
        "base_model": read_json(models / "train" / MANIFEST)["base_model"],
        "git_commit": git_commit(),
        "thresholds": dict(thresholds),
        "parameters": dict(sections),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def write_audit(audit: dict, out: Path, counts: Mapping[str, int]) -> None:
    """Write the audit file of the coded file `out`, which is whole.

    Raises
    ------
    UserError
        It cannot be written, or is there already.
    """
    output = {"name": out.name, "sha256": file_sha256(out)}
    content = {"output": output, "counts": dict(counts), **audit}
    with new_file(audit_path(out)) as partial:
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        partial.write_text(text, encoding="utf-8", newline="\n")


def verify(out: Path, models: Path, inputs: Sequence[Path]) -> list[str]:
    """Return a line for each thing that is not as the audit file says; none: all is.

    Parameters
    ----------
    out : Path
        The coded file.
    models : Path
    inputs : sequence of Path
        Files of new rows that are compared; they may be left out.

    Raises
    ------
    UserError
        There is no coded file, or no audit file beside it.
    """
    for path in (out, audit_path(out)):
        if not path.is_file():
            raise UserError("file-not-found", path, "there is no such file")
    try:
        audit = json.loads(audit_path(out).read_text(encoding="utf-8"))
        output, made = audit["output"]["sha256"], [*audit["models"].items()]
        known = {(entry["name"], entry["sha256"]) for entry in audit["inputs"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        problem = "is not the audit file of a coded file"
        raise UserError("damaged-file", audit_path(out), problem, "fetch it again") from None
    wrong = []
    if file_sha256(out) != output:
        wrong.append(f"{out}: its content is not what was written")
    for stage, digest in made:
        path = models / stage / MANIFEST
        if not path.is_file() or file_sha256(path) != digest:
            wrong.append(f"{models / stage}: is not the model that made {out.name}")
            continue
        try:
            verify_manifest(models / stage)
        except UserError as error:
            wrong.append(f"{error.where}: {error.problem}")
    for path in inputs:
        if not path.is_file() or (path.name, file_sha256(path)) not in known:
            wrong.append(f"{path}: is not a file that {out.name} was made from")
    return wrong
