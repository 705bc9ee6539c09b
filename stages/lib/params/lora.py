"""Parameters of the section ``lora``: the adapters that are trained."""

from typing import Literal

from pydantic import Field

from stages.lib.params.section import Section


class LoraParams(Section):
    enabled: bool
    r: int = Field(ge=1, le=1024)
    lora_alpha: int = Field(ge=1)
    lora_dropout: float = Field(ge=0, lt=1)
    target_modules: Literal["all-linear"] | list[str]
    bias: Literal["none", "all", "lora_only"]
    use_rslora: bool
    use_dora: bool
    task_type: Literal["CAUSAL_LM"]
    train_label_head: bool
