"""A stage that is started as a file says how it is started."""

import sys

import pytest
from project import ROOT, run

FILES = sorted(path.name for path in (ROOT / "stages").glob("[a-z]*.py"))


@pytest.mark.parametrize("file", [name for name in FILES if name != "stages.py"])
def test_a_stage_that_is_run_as_a_file_names_the_right_command_and_stops(file):
    module = f"stages.{file.removesuffix('.py')}"
    for folder, path in ((ROOT, f"stages/{file}"), (ROOT / "stages", file)):
        done = run([sys.executable, path, "새 거래.csv"], folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"error[started-as-file]: stages/{file}: cannot be run as a file; "
            f"run python -m {module} '새 거래.csv' in the top folder\n"
        )
