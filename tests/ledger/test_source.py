"""The files to read are found, whatever their names are, and others are named."""

import errno
import os
import shutil
import unicodedata
from functools import partial
from pathlib import Path

import pytest
from refusals import refused

from stages.lib.errors import UserError
from stages.lib.ledger.source import (
    OLE2,
    content_digest,
    file_kind,
    file_size,
    find_files,
    fits,
    unchanged_files,
)


def names(folder, patterns) -> list[str]:
    return [name for _, name in find_files(str(folder), patterns).files]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("2019/a.CSV", "b.csv", "notes.md", "~$b.csv", ".hidden.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_files_below_a_folder_are_found_by_patterns(folder):
    source = find_files(str(folder), ["*.csv"])
    assert source.files == [(folder / "2019/a.CSV", "2019/a.CSV"), (folder / "b.csv", "b.csv")]
    assert source.left_out == ["notes.md"]
    assert source.size == len("2019/a.CSV") + len("b.csv")
    assert names(folder, ["2019/*"]) == ["2019/a.CSV"]
    assert names(folder, ["*.md", "b.*"]) == ["b.csv", "notes.md"]


def test_a_source_may_be_one_file(folder):
    path = folder / "b.csv"
    assert find_files(str(path), ["*.xlsx"]) == ([(path, "b.csv")], [])


def test_a_source_without_files_is_refused(folder):
    with refused("file-not-found", str(folder), "*.pdf", "2019/a.CSV", "ingest.files"):
        find_files(str(folder), ["*.pdf"])
    with refused("file-not-found", "elsewhere"):
        find_files(str(folder / "elsewhere"), ["*"])
    with refused("file-not-found", str(folder / "*.csv"), "ingest.files"):
        find_files(str(folder / "*.csv"), ["*"])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a[1].csv", "A[1].csv"),
        ("a[1].csv", "*.CSV"),
        (unicodedata.normalize("NFD", "원장 (2).csv"), "원장 (2).csv"),
        ("2019/a.csv", "*.csv"),
    ],
)
def test_names_match_whatever_their_case_signs_and_normal_form(name, pattern):
    assert fits(name, pattern)
    assert not fits(name, "b" + pattern)


def test_a_link_to_a_folder_is_not_followed(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "c.csv").write_text("c")
    (folder / "linked").symlink_to(other)
    assert find_files(str(folder), ["*.csv"]).left_out == ["linked", "notes.md"]


@pytest.mark.parametrize("name", ["locked.csv", "locked"])
def test_what_may_not_be_read_is_named(tmp_path, monkeypatch, name):
    """The tests may run as root, for whom nothing is locked: the system's answer is imitated."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked.csv").write_text("a")

    def refuse(real):
        def wrapped(path, *args, **kwargs):
            if Path(path).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *args, **kwargs)

        return wrapped

    monkeypatch.setattr("os.scandir", refuse(os.scandir))
    monkeypatch.setattr("builtins.open", refuse(open))
    with refused("file-unreadable", str(tmp_path / name), "Permission denied"):
        for path, _ in find_files(str(tmp_path), ["*"]).files:
            file_kind(path)


def test_what_cannot_be_opened_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.symlink_to(tmp_path / "gone.csv")
    for function in (file_kind, file_size, lambda path: content_digest([path])):
        with refused("file-unreadable", str(path), "No such file"):
            function(path)
    path.unlink()
    os.mkfifo(path)
    with refused("file-not-regular", str(path), "ingest.files"):
        file_kind(path)


@pytest.mark.parametrize("name", [b"\xc7\xd1.csv", b"a\nb.csv"])
def test_a_file_name_that_no_line_can_show_is_refused(tmp_path, name):
    with open(os.fsencode(tmp_path) + b"/" + name, "w") as file:
        file.write("a")
    with refused("file-name", "ingest.source"):
        find_files(str(tmp_path), ["*"])


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"PAR1", "parquet"), (b"PK\x03\x04", "workbook"), (OLE2, "workbook"), (b"a,b", "text"),
     (b"", "text")],
)  # fmt: skip
def test_the_kind_of_a_file_shows_in_its_first_bytes(tmp_path, head, kind):
    path = tmp_path / "a.pdf"
    path.write_bytes(head)
    assert file_kind(path) == kind


@pytest.fixture
def ledger(tmp_path) -> Path:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("Date,Amount\n")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / "b.csv").write_text("Date,Amount\n1,2\n"), "b.csv"),
        # As long as before, and saved as another file that takes its place.
        (lambda folder: os.replace(shutil.copy(folder / "a.csv", folder / "x"), folder / "b.csv"),
         "b.csv"),
        (lambda folder: (folder / "b.csv").unlink(), "b.csv"),
        (lambda folder: shutil.copy(folder / "a.csv", folder / "c.csv"), "c.csv"),
        (shutil.rmtree, "a.csv"),
    ],
)  # fmt: skip
def test_a_ledger_that_changes_while_it_is_read_is_refused(ledger, change, what):
    output = ledger.parent / "output"
    output.touch()
    with (
        refused("file-changed", what),
        unchanged_files(partial(find_files, str(ledger), ["*.csv"]), [output]) as source,
    ):
        assert len(source.files) == 2
        change(ledger)
    assert not output.exists()
    if ledger.exists():
        with unchanged_files(partial(find_files, str(ledger), ["*.csv"])):
            pass


def test_what_does_not_change_the_ledger_is_no_change(ledger):
    output = ledger / "output"
    output.touch()
    with unchanged_files(partial(find_files, str(ledger), ["*.csv"]), [output]):
        (ledger / "notes.md").touch()
        (ledger / "~$a.csv").touch()
        (ledger / "a.csv").chmod(0o444)
    assert output.exists()


def test_an_error_that_a_change_made_is_named_as_a_change(ledger):
    def read(change: bool) -> None:
        with unchanged_files(partial(find_files, str(ledger), ["*"])):
            if change:
                (ledger / "a.csv").write_bytes(b"")
            raise UserError("file-empty", "a.csv", "is empty", "write it again")

    with refused("file-empty"):
        read(change=False)
    with refused("file-changed", "a.csv"):
        read(change=True)


def test_the_digest_depends_on_content_and_order(tmp_path):
    first, second, third = (tmp_path / name for name in "abc")
    first.write_text("1")
    second.write_text("2")
    third.write_text("1")
    digest = content_digest([first, second])
    assert len(digest) == 64
    assert content_digest([third, second]) == digest
    assert content_digest([second, first]) != digest
