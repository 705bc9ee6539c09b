"""Parameters of the section ``split``: which rows train, validate and test."""

from typing import Literal

from pydantic import Field, model_validator

from stages.lib.params.section import Section


class SplitParams(Section):
    label_column: Literal["acct_code"]
    seed: int = Field(ge=0)
    test_size: float = Field(gt=0, lt=1)
    val_size: float = Field(gt=0, lt=1)
    strategy: Literal["stratified", "time", "group"]
    min_rows_per_account: int = Field(ge=1)

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> "SplitParams":
        if self.test_size + self.val_size >= 1:
            raise ValueError("test_size + val_size: expected a sum below 1, so that rows train")
        return self
