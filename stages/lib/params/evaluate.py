"""Parameters of the section ``evaluate``: how the scores are judged."""

from pydantic import Field, model_validator

from stages.lib.params.section import Section


class EvaluateParams(Section):
    bootstrap_resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)
    middle_account_rows: int = Field(ge=1)
    frequent_account_rows: int = Field(ge=1)
    description_field: str | None
    suspect_probability: float = Field(gt=0, lt=1)
    currency: str | None

    @model_validator(mode="after")
    def _sizes_rise(self) -> "EvaluateParams":
        if self.frequent_account_rows <= self.middle_account_rows:
            raise ValueError(
                "frequent_account_rows: expected more than middle_account_rows "
                f"({self.middle_account_rows}), got {self.frequent_account_rows}"
            )
        return self
