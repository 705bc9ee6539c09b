"""The GPU kit: its parts run with tiny shapes on a CPU, and one that fails leaves its reason."""

import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from project import ROOT, copy_project, run, set_params, tiny_params
from small_ledger import ledger_rows, write_ledger

from benchmarks.gpu import machine, memory
from benchmarks.gpu import run as kit
from stages.lib.model.packed_rows import plain_attention

# One of each kind; the others differ in numbers alone, and take minutes more.
KINDS = ["packed-8192", "zero2-losses", "ledger-chosen", "recipe", "packed-8192-nf4"]
KINDS += ["packed-8192-peft-compiled"]


@pytest.mark.slow
def test_the_kit_runs_with_tiny_shapes(tmp_path, tiny_model):
    project = copy_project(tmp_path / "project")
    set_params(project, {**tiny_params(tiny_model), "lora.lora_dropout": 0.0})
    write_ledger(tmp_path / "ledger/장부.csv", ledger_rows())
    kit_folder, results = tmp_path / "kit", tmp_path / "results"
    words = ["prepare", str(tmp_path / "ledger"), str(kit_folder), "--tiny", "--rows", "30"]
    command = [sys.executable, "-m", f"benchmarks.gpu.{words[0]}", *words[1:]]
    done = run(command, project, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(kit_folder / "data.npz") as data:
        assert data["tokens"].dtype == np.uint16
        assert data["lengths"].sum() == len(data["tokens"])
        assert data["chosen"].sum() == 30
        assert len(data["baseline_right"]) == (data["side"] == 1).sum()

    command = [sys.executable, str(kit_folder / "run.py"), str(results), "--tiny"]
    command += ["--minutes", "30", "--only", *KINDS]
    done = run(command, tmp_path, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    table = (results / "table.md").read_text(encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if line[:1] == "|"}
    assert list(lines)[2:] == [part for part in kit.PARTS if part in KINDS]
    failed = {part for part, line in lines.items() if "failed" in line or "no result" in line}
    without = set() if find_spec("bitsandbytes") else {"packed-8192-nf4"}
    assert failed == without, table
    assert "TF-IDF" in lines["ledger-chosen"] and "largest difference" in lines["zero2-losses"]


def test_a_part_that_fails_or_takes_too_long_leaves_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(kit, "KIT", tmp_path)
    (tmp_path / "code").mkdir()

    def result(code: str, seconds: float = 60) -> dict:
        command = [sys.executable, "-c", code]
        return kit.run_part(command, tmp_path / "log", seconds, dict(os.environ))

    assert result("print('hello'); print('{\"rows\": 2.5}')") == {"rows": 2.5}
    found = result("raise ValueError('이 카드에는 없다')")
    assert found == {"remark": "failed: ValueError: 이 카드에는 없다"}
    assert result("import os; os.abort()")["remark"].startswith("failed: ")
    assert "no result; see log" in result("print('hello')")["remark"]
    assert result("import time; time.sleep(60)", 0.5) == {"remark": "no result within 0 s"}


def test_a_line_has_what_was_found():
    found = {"rows": 767.04, "tokens": 30680.6, "share": 0.4512, "memory": 45.66}
    cells = [cell.strip() for cell in kit.line_of("packed-8192", found).split("|")]
    assert cells == ["", "packed-8192", "767.0", "30,681", "45.1%", "45.7", "", ""]
    cells = [cell.strip() for cell in kit.line_of("recipe", {"remark": "failed: x"}).split("|")]
    assert cells == ["", "recipe", "", "", "", "", "failed: x", ""]


def test_the_model_s_parts_are_put_together_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(kit, "KIT", tmp_path)
    (tmp_path / "model").mkdir()
    for number in range(11):
        (tmp_path / f"model/a.whl.{number}").write_bytes(bytes([number]))
    kit.join_model(tmp_path / "scratch")
    assert (tmp_path / "scratch/a.whl").read_bytes() == bytes(range(11))


def test_what_is_copied_into_the_kit_imports_the_standard_library_alone(tmp_path):
    copy = shutil.copy(ROOT / "benchmarks/gpu/run.py", tmp_path)
    done = run([sys.executable, "-I", "-S", str(copy), "--help"], tmp_path)
    assert done.returncode == 0 and "--minutes" in done.stdout


def old_kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False):
    """The call of PyTorch 2.10: no scale, no grouped heads."""
    assert is_causal and query.shape == key.shape == value.shape
    return plain_attention(query, key, value, cu_seq_q, max_q, query.shape[-1] ** -0.5)


def new_kernel(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size, enable_gqa
):
    assert window_size == (-1, 0) and enable_gqa
    return plain_attention(query, key, value, cu_seq_q, max_q, scale)


@pytest.mark.parametrize("kernel", [old_kernel, new_kernel])
def test_attention_is_the_same_with_either_form_of_the_kernel(kernel, monkeypatch):
    monkeypatch.setattr(machine, "device", lambda: "cuda")
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    torch.manual_seed(0)
    query, key, value = (torch.randn(6, heads, 8) for heads in (4, 2, 2))
    given = query, key, value, torch.tensor([0, 2, 6], dtype=torch.int32), 64, 0.3
    torch.testing.assert_close(machine.row_attention()(*given), plain_attention(*given))


def test_the_table_of_cards_in_the_docs_is_the_computed_one():
    assert memory.table() in (ROOT / "docs/results.md").read_text(encoding="utf-8")
    measured = memory.training_memory(memory.Setting("none", False, 3712)) / 1e9
    assert measured == pytest.approx(25, abs=0.5)  # the other of the two that were measured


def test_the_parts_of_the_shape_benchmark_are_its_variants():
    from benchmarks.gpu.shape import VARIANTS

    assert {part for part, (_, module) in kit.PARTS.items() if module == kit.SHAPE} == set(VARIANTS)
