"""Parameters of DeepSpeed: what it would accept and ignore is refused by key."""

import pytest
from pydantic import ValidationError

from stages.lib.params.deepspeed import DeepSpeedParams

MISPLACED = [
    "gradient_checkpointing",
    "activation_checkpointing",
    "fp16",
    "optimizer",
    "scheduler",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "zero_force_ds_cpu_optimizer",
    "zero_allow_untested_optimizer",
    "stage",
    "offload_optimizer",
    "offload_param",
    "zero_optimization.cpu_offload",
    "zero_optimization.cpu_offload_params",
    "zero_optimization.gradient_checkpointing",
    "zero_optimization.stage3_gather_16bit_weights_on_model_save",
]


def section(**values) -> dict:
    """Return a valid section, with other values for keys such as ``zero_optimization__stage``."""
    content = {
        "enabled": True,
        "zero_optimization": {
            "stage": 2,
            "offload_optimizer": {"device": "cpu"},
            "offload_param": {"device": "none"},
        },
        "bf16": {"enabled": True},
    }
    for key, value in values.items():
        *middle, last = key.split("__")
        node = content
        for part in middle:
            node = node[part]
        node[last] = value
    return content


def mistakes(content: dict) -> list[dict]:
    with pytest.raises(ValidationError) as caught:
        DeepSpeedParams.model_validate(content)
    return caught.value.errors()


@pytest.mark.parametrize("key", MISPLACED)
def test_a_key_that_deepspeed_knows_but_that_is_set_elsewhere_is_refused(key):
    (mistake,) = mistakes(section(**{key.replace(".", "__"): True}))
    *middle, last = key.split(".")
    assert (mistake["type"], list(mistake["loc"])) == ("misplaced", middle)
    assert f"'{last}'" in mistake["msg"]


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("zero_optimization__stage", 4, "literal_error"),
        ("zero_optimization__offload_optimizer", {"device": "nvme"}, "literal_error"),
        ("zero_optimization__reduce_bucket_size", 5e8, "extra_forbidden"),
    ],
)
def test_a_value_that_deepspeed_would_not_take_is_refused(key, value, kind):
    (mistake,) = mistakes(section(**{key: value}))
    assert mistake["type"] == kind


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"zero_optimization__offload_param": {"device": "cpu"}}, "offload_param"),
        ({"zero_optimization__stage": 0}, "offload_optimizer"),
    ],
)
def test_offloading_that_the_stage_does_not_do_is_refused(values, key):
    (mistake,) = mistakes(section(**values))
    assert f"zero_optimization.{key}" in mistake["msg"]
    assert not DeepSpeedParams.model_validate(section(**values, enabled=False)).enabled
