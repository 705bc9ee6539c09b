"""Parameters of the section ``deepspeed``.

Keys that DeepSpeed would accept and ignore are refused by name.
"""

from typing import Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from stages.lib.errors import UserError
from stages.lib.params.model import ModelParams
from stages.lib.params.section import Section


def _refuse_keys(section: object, instead: dict[str, str]) -> object:
    """Return `section` unless it has a key that DeepSpeed knows, but that is set elsewhere."""
    for key in section if isinstance(section, dict) else ():
        if key in instead:
            text = "'{key}' does not belong here: {instead}"
            raise PydanticCustomError("misplaced", text, {"key": key, "instead": instead[key]})
    return section


class OffloadParams(Section):
    device: Literal["none", "cpu"]


class ZeroParams(Section):
    stage: Literal[0, 1, 2, 3]
    offload_optimizer: OffloadParams
    offload_param: OffloadParams

    @model_validator(mode="before")
    @classmethod
    def _no_key_without_effect(cls, section: object) -> object:
        instead = {
            "cpu_offload": "it is the old name of offload_optimizer.device: cpu",
            "cpu_offload_params": "it is the old name of offload_param.device: cpu",
            "gradient_checkpointing": "DeepSpeed ignores it; set training.gradient_checkpointing",
            "stage3_gather_16bit_weights_on_model_save": "remove it; the stage sets it",
        }
        return _refuse_keys(section, instead)


class BF16Params(Section):
    enabled: bool


class DeepSpeedParams(Section):
    enabled: bool
    zero_optimization: ZeroParams
    bf16: BF16Params

    @model_validator(mode="before")
    @classmethod
    def _no_key_of_other_sections(cls, section: object) -> object:
        batch = "it follows from training.per_device_train_batch_size and"
        instead = {
            "gradient_checkpointing": "DeepSpeed ignores it; set training.gradient_checkpointing",
            "activation_checkpointing": "set training.gradient_checkpointing",
            "fp16": "only bf16 is supported; set bf16.enabled and model.dtype: bfloat16",
            "optimizer": "it is AdamW; set training.learning_rate and training.weight_decay",
            "scheduler": "set training.lr_scheduler_type and training.warmup_steps",
            "train_batch_size": f"{batch} gradient_accumulation_steps; set those",
            "train_micro_batch_size_per_gpu": "set training.per_device_train_batch_size",
            "gradient_accumulation_steps": "set training.gradient_accumulation_steps",
            "gradient_clipping": "set training.max_grad_norm",
            "zero_force_ds_cpu_optimizer": "remove it; DeepSpeed's own optimizer, which needs a "
            "compiler, is never used",
            "zero_allow_untested_optimizer": "remove it; the stage sets it",
            "stage": "move it to zero_optimization",
            "offload_optimizer": "move it to zero_optimization",
            "offload_param": "move it to zero_optimization",
        }
        return _refuse_keys(section, instead)

    @model_validator(mode="after")
    def _offload_fits_stage(self) -> "DeepSpeedParams":
        zero = self.zero_optimization
        if not self.enabled:
            return self
        if zero.stage != 3 and zero.offload_param.device != "none":
            raise ValueError(
                "zero_optimization.offload_param: only stage 3 offloads parameters, got stage "
                f"{zero.stage}; set stage: 3, or offload_param.device: none"
            )
        if zero.stage == 0 and zero.offload_optimizer.device != "none":
            raise ValueError(
                "zero_optimization.offload_optimizer: needs stage 1, 2 or 3, got stage 0; "
                "set stage: 2, or offload_optimizer.device: none"
            )
        return self


def check_precision(deepspeed: DeepSpeedParams, model: ModelParams) -> list[UserError]:
    """Return an error if DeepSpeed and the base model would compute in different precisions."""
    if not deepspeed.enabled or deepspeed.bf16.enabled == (model.dtype == "bfloat16"):
        return []
    return [
        UserError(
            "precision-mismatch",
            "params_train.yaml: deepspeed.bf16.enabled",
            f"{str(deepspeed.bf16.enabled).lower()} contradicts model.dtype: {model.dtype}",
            "set them to true and bfloat16, or to false and float32",
        )
    ]
