"""The configuration of DeepSpeed, made from our parameters."""

from stages.lib.params.deepspeed import DeepSpeedParams
from stages.lib.params.training import TrainingParams


def compile_nothing() -> None:
    """Keep DeepSpeed from compiling C++ when it starts on a CPU.

    It would take minutes, fail without a compiler, and gain nothing: the operation is an all-reduce
    for inference. In a training the ranks add their gradients with PyTorch's own.
    """
    from deepspeed.ops import __compatible_ops__

    __compatible_ops__["deepspeed_shm_comm"] = False


def configure_deepspeed(deepspeed: DeepSpeedParams, training: TrainingParams) -> dict | None:
    """Return the DeepSpeed configuration, or None when it is off."""
    if not deepspeed.enabled:
        return None
    zero = deepspeed.zero_optimization
    settings = zero.model_dump()
    if zero.stage == 3:  # else checkpoints would lack the adapter as a file of its own
        settings["stage3_gather_16bit_weights_on_model_save"] = True
    # The optimizer is ours (configure_optimizer). DeepSpeed must not replace it by its own, which
    # needs a compiler for offloading; the adapters are so small that this costs nothing.
    return {
        "zero_optimization": settings,
        "bf16": {"enabled": deepspeed.bf16.enabled},
        "gradient_clipping": training.max_grad_norm,
        "train_micro_batch_size_per_gpu": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
