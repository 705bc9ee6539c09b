"""The benchmarks start, and their table names each of them. What they measure is not tested."""

import importlib
import sys

import pytest
from project import ROOT

NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
# Of the GPU kit, what is started by hand or by its run.py.
NAMES += [f"gpu.{name}" for name in ("ledger", "losses", "memory", "prepare", "shape")]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_in_the_table_and_has_help(name, monkeypatch, capsys):
    readme = "benchmarks/gpu/README.md" if name.startswith("gpu.") else "benchmarks/README.md"
    assert f"python -m benchmarks.{name}" in (ROOT / readme).read_text()
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in module.__doc__
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_there_are_benchmarks():
    first = ["classify", "encodings", "ingest", "predict"]
    assert [*first, "score", "store", "train"] == [n for n in NAMES if "." not in n]
