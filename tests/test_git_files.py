"""A clone has the same bytes everywhere, and what systems leave in folders is no input."""

import subprocess
from pathlib import Path

import pytest
from project import copy_project, environment


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Return a git repository of the project with a ledger of Windows' line ends."""
    folder = copy_project(tmp_path_factory.mktemp("git") / "repository")
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/ledger.csv").write_bytes(b"date,amount\r\n2020-01-01,1\r\n")
    (folder / "data/raw/export.txt").write_bytes(b"date;amount\n2020-01-01;1\r\n")
    for command in ("init -q", "add -A", "commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=folder, env=environment(), check=True)
    return folder


@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
def test_a_clone_has_the_same_bytes_whatever_autocrlf_says(repository, tmp_path, autocrlf):
    clone = ["git", "clone", "-q", "-c", f"core.autocrlf={autocrlf}", repository, tmp_path / "c"]
    subprocess.run(clone, check=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True).stdout
    names = names.decode().rstrip("\0").split("\0")
    assert {"params.yaml", "data/raw/ledger.csv", "tests/data/ledger.xls"} <= set(names)
    changed = [
        n for n in names if (tmp_path / "c" / n).read_bytes() != (repository / n).read_bytes()
    ]
    assert changed == []
    status = ["git", "status", "--porcelain"]
    assert subprocess.run(status, cwd=tmp_path / "c", capture_output=True).stdout == b""


def folder_md5(repository: Path) -> str:
    """Return what dvc.lock would say of data/raw."""
    from dvc.repo import Repo
    from dvc_data.hashfile.build import build

    with Repo(str(repository)) as repo:
        _, _, found = build(
            repo.cache.local, str(repository / "data/raw"), repo.fs, "md5", ignore=repo.dvcignore
        )
    return found.hash_info.value


def test_what_systems_and_excel_leave_in_a_folder_does_not_change_the_ledger(repository):
    before = folder_md5(repository)
    for name in (".DS_Store", "Thumbs.db", "~$march.xlsx"):
        (repository / "data/raw" / name).write_bytes(b"x")
    assert folder_md5(repository) == before
    (repository / "data/raw/march.csv").write_bytes(b"date,amount\n")
    assert folder_md5(repository) != before
