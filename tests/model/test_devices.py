"""A machine that lacks what the parameters ask for is named before any work."""

import pytest
import torch
from base_models import model_params
from refusals import refused

from stages.lib.model.devices import check_bfloat16, check_packed
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


def test_a_cpu_computes_in_bfloat16():
    check_bfloat16(model_params("./tiny", dtype="bfloat16"), deepspeed(True))


@pytest.mark.parametrize("section", ["training", "score"])
def test_rows_end_to_end_need_a_gpu(section, monkeypatch):
    with refused("cannot-pack", f"{section}.packed", "there is no GPU", "set it to false"):
        check_packed(section, "bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with refused("cannot-pack", f"{section}.packed", "model.dtype is float32"):
        check_packed(section, "float32")
    check_packed(section, "bfloat16")
