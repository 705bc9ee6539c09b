"""How OpenMP's threads wait, which is set before torch is imported."""

import ast
import os
import subprocess
import sys

import pytest
from project import ROOT

PRINT = "import stages.lib.openmp, os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize("stage", ["train", "score", "predict"])
def test_it_is_the_first_import_of_the_stages_that_use_torch(stage):
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    assert ast.unparse(first) == "import stages.lib.openmp"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "10000"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
    ],
)
def test_what_the_user_has_set_stays(given, found):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", PRINT]
    printed = subprocess.check_output(command, cwd=ROOT, env={**environment, **given}, text=True)
    assert printed.strip() == found
