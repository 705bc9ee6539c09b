"""The audit file says what a coded file was made from, and verifying finds each change."""

import json
import subprocess
from pathlib import Path

import pytest
from refusals import refused

from stages.lib.checksums import digests_of
from stages.lib.model.manifest import write_manifest
from stages.lib.review import audit
from stages.lib.review.audit import audit_path, make_audit, verify, write_audit

SHA_OF_A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """Return a folder of models beside the file ``out.csv`` and its audit file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    for stage in audit.STAGES:
        (folder / stage).mkdir(parents=True)
        (folder / stage / "weights").write_text(stage)
        write_manifest(folder / stage, {}, base_model={"name": "tiny", "revision": "1"})
    (tmp_path / "new").mkdir()
    for name in ("new/a.csv", "new/b.csv", "out.csv"):
        (tmp_path / name).write_text("a")
    made = make_audit(
        digests_of([Path("new/a.csv"), Path("new/b.csv")]),
        [],
        folder,
        {"predict": {"precision": 0.95}},
        {"posted": 0.5},
    )
    write_audit(made, Path("out.csv"), {"post": 1})
    return folder


def check(models: Path, *inputs: str) -> list[str]:
    return verify(Path("out.csv"), models, [Path(path) for path in inputs])


def test_it_has_digests_counts_and_what_made_the_file(models):
    content = json.loads(Path("out.csv.audit.json").read_text())
    assert list(content) == [
        *("output", "counts", "inputs", "said", "models", "base_model", "git_commit"),
        *("thresholds", "parameters", "versions"),
    ]
    assert content["output"] == {"name": "out.csv", "sha256": SHA_OF_A}
    assert content["inputs"] == [{"name": name, "sha256": SHA_OF_A} for name in ("a.csv", "b.csv")]
    assert content["base_model"] == {"name": "tiny", "revision": "1"}
    assert content["counts"] == {"post": 1} and content["thresholds"] == {"posted": 0.5}
    assert set(content["models"]) == {"train", "classify", "evaluate"}
    assert set(content["versions"]) == set(audit.LIBRARIES)
    assert content["git_commit"] is None


def test_all_is_well(models):
    assert check(models) == check(models, "new/b.csv", "new/a.csv") == []


def test_each_change_is_named(models):
    for path in ("out.csv", "new/b.csv", "models/train/weights", "models/evaluate/manifest.json"):
        Path(path).write_text("b")
    found = check(models, "new/a.csv", "new/b.csv", "new/c.csv")
    assert [line.partition(": ")[0] for line in found] == [
        "out.csv",
        f"{models}/train/weights",
        f"{models}/evaluate",
        "new/b.csv",
        "new/c.csv",
    ]


def test_files_of_one_name_in_two_folders_are_told_apart(models):
    Path("new/more").mkdir()
    Path("new/more/a.csv").write_text("b")
    made = make_audit(digests_of([Path("new/a.csv"), Path("new/more/a.csv")]), [], models, {}, {})
    Path("two.csv").write_text("a")
    write_audit(made, Path("two.csv"), {})
    inputs = [Path("new/a.csv"), Path("new/more/a.csv")]
    assert verify(Path("two.csv"), models, inputs) == []
    Path("new/more/a.csv").write_text("c")
    assert len(verify(Path("two.csv"), models, inputs)) == 1


@pytest.mark.parametrize("path", ["out.csv", "out.csv.audit.json"])
def test_without_the_file_or_its_audit_file_nothing_can_be_said(models, path):
    Path(path).unlink()
    with refused("file-not-found", path):
        check(models)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "[1", '{"output": 1, "models": {}, "inputs": []}']
)
def test_another_file_in_place_of_the_audit_file_is_refused(models, text):
    Path("out.csv.audit.json").write_text(text)
    with refused("damaged-file", "out.csv.audit.json"):
        check(models)


def test_an_audit_file_is_never_overwritten(models):
    before = audit_path(Path("out.csv")).read_bytes()
    with refused("output-exists", "out.csv.audit.json"):
        write_audit({}, Path("out.csv"), {})
    assert audit_path(Path("out.csv")).read_bytes() == before


def test_the_commit_says_whether_files_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert audit.git_commit() is None
    Path("a").write_text("1")
    name = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q"], ["add", "a"], [*name, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], check=True)
    commit = audit.git_commit()
    assert len(commit) == 40
    Path("untracked").touch()
    assert audit.git_commit() == commit
    Path("a").write_text("2")
    assert audit.git_commit() == f"{commit}+"
