"""A review sheet appears whole or not at all, and is refused before any work if it cannot be."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT
from refusals import refused
from review_rows import LAYOUT, batch, write

from stages.lib.review.words import load_words
from stages.lib.review.writing import (
    ENDINGS,
    MOST_COLUMNS,
    MOST_ROWS,
    check_ending,
    check_size,
    review_writer,
)

EN = load_words("en")


def test_a_result_longer_than_a_sheet_is_refused_with_the_other_endings():
    check_size(Path("a.xlsx"), MOST_ROWS, MOST_COLUMNS)
    with refused("too-large-for-a-sheet", "a.xlsx", "1,048,576", "1,048,575", ".csv", ".parquet"):
        check_size(Path("a.xlsx"), MOST_ROWS + 1, 0)
    with refused("too-large-for-a-sheet", "a.xlsx", "16,385", "16,384", ".csv", ".parquet"):
        check_size(Path("a.xlsx"), 0, MOST_COLUMNS + 1)
    for ending in (".csv", ".parquet"):
        check_size(Path(f"a{ending}"), 10**9, 10**6)


def test_rows_that_were_not_announced_are_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.lib.review.writing.MOST_ROWS", 3)
    with refused("too-large-for-a-sheet", "a.xlsx", "4"):
        write(tmp_path / "a.xlsx", batch(["post"] * 2), batch(["post"] * 2))
    assert os.listdir(tmp_path) == []
    write(tmp_path / "a.csv", batch(["post"] * 2), batch(["post"] * 2))


@pytest.mark.parametrize("name", ["a.xls", "a", "a.csv.gz", ".xlsx"])
def test_another_ending_is_refused(name):
    with refused("unsuitable-output", name, ".xlsx", ".csv", ".parquet"):
        check_ending(Path(name))
    assert check_ending(Path("A.XLSX")) == ".xlsx"


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_cut_texts_and_totals_are_counted(tmp_path, ending):
    review = write(tmp_path / f"a{ending}", batch(["post", "none"], "x" * 40_000))
    assert (review.rows, review.cut) == (2, 2 if ending == ".xlsx" else 0)
    assert review.totals.of("0101") == (1, 1.5)
    assert os.listdir(tmp_path) == [f"a{ending}"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, OSError])
def test_nothing_stays_after_an_error(tmp_path, ending, error):
    with (
        pytest.raises(error),
        review_writer(tmp_path / f"a{ending}", LAYOUT, EN) as review,
    ):
        review.write(batch(["post"] * 3_000))
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_sheet_that_was_not_finished_does_not_appear(tmp_path, ending):
    with (
        pytest.raises(RuntimeError, match="not finished"),
        review_writer(tmp_path / f"a{ending}", LAYOUT, EN) as review,
    ):
        review.write(batch(["post"]))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_appears_in_the_meantime_stays(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    with refused("output-exists", str(path)), review_writer(path, LAYOUT, EN) as review:
        review.write(batch(["post"]))
        path.write_text("mine")
        review.finish([])
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_leaves_nothing_and_is_one_line(tmp_path, ending):
    path, script = tmp_path / f"a{ending}", tmp_path / "fill.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from review_rows import batch, write\n"
        "from stages.lib.errors import UserError\n"
        "texts = [os.urandom(2_000).hex() for _ in range(100)]\n"
        "try:\n"
        "    write(Path(sys.argv[1]), *(batch(['post'], text) for text in texts))\n"
        "except UserError as error:\n"
        "    print(error.code, error)\n"
    )
    done = subprocess.run(
        [sys.executable, script, path],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path]),
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"cannot-write {path}: ") and done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert os.listdir(tmp_path) == ["fill.py"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_run_leaves_no_sheet_and_the_next_one_works(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    child = os.fork()
    if not child:
        with review_writer(path, LAYOUT, EN) as review:
            review.write(batch(["post"] * 3_000))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(f"{path.name}.") and left.endswith(".partial")
    write(path, batch(["post"]))
    assert path.is_file()


def test_an_empty_result_is_a_sheet_with_a_header(tmp_path):
    for ending in ENDINGS:
        review = write(tmp_path / f"a{ending}", batch([]))
        assert review.rows == 0
        write(tmp_path / f"b{ending}")
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
