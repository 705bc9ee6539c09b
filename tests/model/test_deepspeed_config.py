"""DeepSpeed gets what the parameters say, and nothing that it would ignore."""

from stages.lib.model.deepspeed_config import configure_deepspeed
from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.training import TrainingParams


def deepspeed(stage: int = 2, offload_param: str = "none", enabled: bool = True) -> DeepSpeedParams:
    zero = {
        "stage": stage,
        "offload_optimizer": {"device": "cpu"},
        "offload_param": {"device": offload_param},
    }
    return DeepSpeedParams(enabled=enabled, zero_optimization=zero, bf16={"enabled": True})


TRAINING = TrainingParams.model_construct(
    max_grad_norm=0.5, per_device_train_batch_size=3, gradient_accumulation_steps=7
)


def test_deepspeed_that_is_off_has_no_configuration():
    assert configure_deepspeed(deepspeed(enabled=False), TRAINING) is None


def test_deepspeed_gets_what_the_parameters_say():
    found = configure_deepspeed(deepspeed(3, "cpu"), TRAINING)
    zero = found["zero_optimization"]
    assert (zero["stage"], zero["offload_param"]) == (3, {"device": "cpu"})
    assert zero["offload_optimizer"] == {"device": "cpu"}
    assert zero["stage3_gather_16bit_weights_on_model_save"]
    assert found["bf16"] == {"enabled": True}
    assert found["gradient_clipping"] == 0.5
    assert found["train_micro_batch_size_per_gpu"] == 3
    assert found["gradient_accumulation_steps"] == 7
    assert "optimizer" not in found and "scheduler" not in found  # those are the stage's own
    assert (
        "stage3_gather_16bit_weights_on_model_save"
        not in (configure_deepspeed(deepspeed(2), TRAINING)["zero_optimization"])
    )
