"""A machine that lacks what the parameters ask for is named before any work."""

from pathlib import Path

import pytest
import torch
from base_models import model_params
from refusals import refused

from stages.lib.model.devices import check_bfloat16, check_compiler, check_packed, check_scoring
from stages.lib.params.deepspeed import DeepSpeedParams


def deepspeed(enabled: bool) -> DeepSpeedParams:
    return DeepSpeedParams.model_construct(enabled=enabled)


@pytest.fixture
def old_card(monkeypatch):
    """A GPU that emulates bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")


@pytest.mark.parametrize("enabled", [False, True])
def test_a_gpu_without_bfloat16_is_refused_by_name(old_card, enabled):
    model = model_params("./tiny", dtype="bfloat16")
    with refused("no-bfloat16", "model.dtype", "Tesla T4") as caught:
        check_bfloat16(model, deepspeed(enabled=enabled))
    assert ("deepspeed.bf16.enabled" in str(caught.value)) == enabled
    check_bfloat16(model_params("./tiny"), deepspeed(enabled=enabled))  # float32


def test_a_trained_model_that_the_gpu_would_emulate_is_refused_by_name(old_card):
    with refused("no-bfloat16", "models/train", "Tesla T4", "CUDA_VISIBLE_DEVICES="):
        check_scoring(Path("models/train"), "bfloat16")
    check_scoring(Path("models/train"), "float32")


def test_a_cpu_computes_in_bfloat16():
    check_bfloat16(model_params("./tiny", dtype="bfloat16"), deepspeed(True))
    check_scoring(Path("models/train"), "bfloat16")


@pytest.mark.parametrize("section", ["training", "score"])
def test_rows_end_to_end_need_a_gpu(section, monkeypatch):
    with refused("cannot-pack", f"{section}.packed", "there is no GPU", "set it to false"):
        check_packed(section, "bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with refused("cannot-pack", f"{section}.packed", "model.dtype is float32"):
        check_packed(section, "float32")
    check_packed(section, "bfloat16")


@pytest.mark.slow
def test_a_machine_without_a_compiler_cannot_compile(monkeypatch, tmp_path):
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with (
        config.patch("cpp.cxx", (None, str(tmp_path / "g++"))),
        refused("cannot-compile", "training.compile", "compiler") as caught,
    ):
        check_compiler()
    assert "\n" not in str(caught.value)
