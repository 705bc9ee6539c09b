"""DVC's experiments, the last commit and the workspace, as a tracking server is told of them."""

import csv
import io
import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import dvc.api
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.index import DataIndexError
from ruamel.yaml import YAML

from stages.lib.contracts.evaluate import CALIBRATION
from stages.lib.contracts.train import CURVES
from stages.lib.errors import UserError, first_line

LOCK = "dvc.lock"
MODELS = CALIBRATION.parents[1]
# The path of the ledger is one of a machine.
LEFT_OUT = ("ingest.source",)
REPORTS = "metrics/*/report.html"


class Named(NamedTuple):
    """Where a result is.

    Attributes
    ----------
    name : str
        Of the experiment in DVC, else the branch and the commit, or ``workspace-…``.
    revision : str
        Its commit; with ``+`` where files differ from it.
    rev : str or None
        What DVC reads it from; None: the workspace.
    experiment : bool
        It is an experiment of DVC.
    """

    name: str
    revision: str
    rev: str | None
    experiment: bool


class Result(NamedTuple):
    """What is told of one result.

    Attributes
    ----------
    lock : str
        SHA-256 of its dvc.lock, which names the bytes of everything.
    seconds : int
        When it was committed, since 1970.
    params : dict of str to str
    metrics : dict of str to float
    curves : dict of str to list of (int, float)
        By name, the value at each optimizer step.
    digests : dict of str to str
        DVC's md5 of the base table and of each model, by path.
    """

    lock: str
    seconds: int
    params: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    digests: dict[str, str]


@contextmanager
def reading_dvc(where: str) -> Iterator[None]:
    """Turn what DVC says of a result that is not whole here into a UserError about `where`."""
    try:
        yield
    except (DvcException, DataIndexError, FileNotFoundError) as error:
        raise UserError(
            "not-here",
            where,
            f"cannot be read: {first_line(error)}",
            "run 'dvc pull', or for an experiment 'dvc exp pull REMOTE NAME'",
        ) from None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        said = first_line(ValueError(done.stderr))
        raise UserError("no-commit", "git", said, "commit the results first")
    return done.stdout.strip()


def _lock_at(revision: str) -> bytes | None:
    done = subprocess.run(["git", "show", f"{revision}:{LOCK}"], capture_output=True)
    return None if done.returncode else done.stdout


def all_experiments() -> list[Named]:
    """Return all experiments of DVC in this repository, of every commit, by name."""
    with reading_dvc("experiments"), Repo() as repo:
        found = repo.experiments.ls(all_commits=True)
    return sorted({Named(n, rev, rev, True) for pairs in found.values() for n, rev in pairs})


def workspace() -> Named:
    """Return what the workspace is: an experiment or the last commit, if it has their results.

    Raises
    ------
    UserError
        ``no-result``: nothing has run. ``not-up-to-date``: stages must run before the parameters
        are those of the results.
    """
    if not Path(LOCK).is_file():
        raise UserError("no-result", LOCK, "there is none: nothing has run", "run 'dvc repro'")
    with reading_dvc("workspace"), Repo() as repo:
        if changed := sorted(name.partition(":")[0] for name in repo.status()):
            raise UserError(
                "not-up-to-date",
                "workspace",
                f"{', '.join(changed)} would run again",
                "run 'dvc repro', or 'dvc pull' if results are missing",
            )
    lock, head = Path(LOCK).read_bytes(), _git("rev-parse", "HEAD")
    for one in all_experiments():
        if _lock_at(one.revision) == lock:
            return one
    if _lock_at(head) == lock:
        branch = _git("rev-parse", "--abbrev-ref", "HEAD")
        name = head[:7] if branch == "HEAD" else f"{branch}-{head[:7]}"
        return Named(name, head, head, False)
    return Named(f"workspace-{sha256(lock).hexdigest()[:7]}", f"{head}+", None, False)


def flat_params(section: Mapping, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``section.key`` and the value of each parameter, lists and free mappings as JSON.

    A mapping whose keys are no names, such as ``{"*.csv": …}``, is one value.
    """
    for key, value in section.items():
        name = f"{prefix}{key}"
        if name in LEFT_OUT:
            continue
        if isinstance(value, Mapping) and value and all(map(_is_name, value)):
            yield from flat_params(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield name, text


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isidentifier()


def read_curve(text: str, name: str) -> list[tuple[int, float]]:
    """Return the points of a curve as dvclive writes them: ``step``, and the value `name`."""
    lines = csv.DictReader(io.StringIO(text), delimiter="\t")
    return [(int(line["step"]), float(line[name])) for line in lines]


def locked_digests(lock: bytes) -> dict[str, str]:
    """Return DVC's md5 of the base table and of each model that a dvc.lock names."""
    stages = YAML(typ="safe").load(lock)["stages"].values()
    outs = (out for stage in stages for out in stage.get("outs", []))
    wanted = ("data/feature", f"{MODELS}/")
    return {out["path"]: out["md5"] for out in outs if out["path"].startswith(wanted)}


def read_result(named: Named) -> Result:
    """Return what is told of a result, out of git and DVC's cache.

    Raises
    ------
    UserError
        ``not-here``: a part of it is not on this machine, nor in the store.
    """
    with reading_dvc(named.name), Repo(rev=named.rev) as repo:
        files = repo.dvcfs
        lock = files.read_bytes(LOCK)
        curves = {
            Path(path).stem: read_curve(files.read_text(path, encoding="utf-8"), Path(path).stem)
            for path in sorted(files.glob(f"{CURVES}/*.tsv"))
        }
        params = dvc.api.params_show(deps=True, rev=named.rev)
        metrics = dvc.api.metrics_show(rev=named.rev)
    seconds = int(_git("show", "-s", "--format=%ct", named.revision.rstrip("+")))
    digests = locked_digests(lock)
    return Result(
        sha256(lock).hexdigest(),
        seconds,
        dict(flat_params(params)),
        numbers(metrics),
        curves,
        digests,
    )


def numbers(metrics: Mapping, prefix: str = "") -> dict[str, float]:
    """Return the metrics that are finite numbers, those of a mapping as ``name.key``."""
    found = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and math.isfinite(value):
            found[f"{prefix}{key}"] = float(value)
    return found


def copy_files(named: Named, folder: Path, with_model: bool) -> None:
    """Copy the report of a result to `folder`, and with `with_model` the folder of the models.

    Raises
    ------
    UserError
        As `read_result`; or it has no report.
    """
    with reading_dvc(named.name), Repo(rev=named.rev) as repo:
        reports = repo.dvcfs.glob(REPORTS)
        if not reports:
            raise FileNotFoundError(f"it has no {REPORTS}")
        copied = {path: folder / Path(path).name for path in reports}
        if with_model:
            models = repo.dvcfs.find(str(MODELS))
            copied |= {path: folder / path for path in models if repo.dvcfs.isdvc(path)}
        for path, copy in copied.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            repo.dvcfs.get_file(path, str(copy))
