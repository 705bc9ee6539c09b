"""Parameters of the section ``training``: the training run."""

from typing import Literal

from pydantic import Field, model_validator

from stages.lib.params.section import Section


class TrainingParams(Section):
    launcher: str = Field(min_length=1)
    threads: int | None = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    label_smoothing: float = Field(ge=0, lt=1)
    num_train_epochs: float = Field(gt=0)
    per_device_train_batch_size: int = Field(ge=1)
    train_batch_tokens: int | None = Field(ge=1)
    packed: bool
    compile: bool
    per_device_eval_batch_size: int = Field(ge=1)
    gradient_accumulation_steps: int = Field(ge=1)
    gradient_checkpointing: bool
    max_grad_norm: float = Field(gt=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"]
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0, lt=1)
    logging_steps: int = Field(ge=1)
    eval_strategy: Literal["no", "steps", "epoch"]
    eval_steps: int = Field(ge=1)
    max_eval_rows: int = Field(ge=1)
    save_strategy: Literal["no", "steps", "epoch"]
    save_steps: int = Field(ge=1)
    keep_best: Literal["val_loss", "val_accuracy"] | None
    early_stopping_patience: int | None = Field(ge=1)
    seed: int = Field(ge=0, lt=2**32)

    @model_validator(mode="after")
    def _best_step_can_be_kept(self) -> "TrainingParams":
        if self.early_stopping_patience is not None and self.keep_best is None:
            raise ValueError(
                "early_stopping_patience: needs keep_best, the metric that must improve; set "
                "keep_best, or early_stopping_patience to null"
            )
        if self.keep_best and "no" in (self.eval_strategy, self.save_strategy):
            raise ValueError(
                f"keep_best: {self.keep_best} needs validations and checkpoints, got "
                f"eval_strategy: {self.eval_strategy} and save_strategy: {self.save_strategy}; "
                "set both to steps or epoch, or keep_best to null"
            )
        return self
