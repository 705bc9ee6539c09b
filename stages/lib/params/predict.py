"""Parameters of the section ``predict``: which new rows are posted unseen."""

from typing import Literal

from pydantic import Field

from stages.lib.params.section import Section


class Review(Section):
    """What a person always looks at."""

    amount_above: float | None = Field(gt=0)
    accounts: list[str]
    vendors: list[str]
    fewer_rows_than: int = Field(ge=0)
    share: float = Field(ge=0, le=1)
    seed: int = Field(ge=0)


class PredictParams(Section):
    language: Literal["en", "ko"]
    precision: float = Field(gt=0.5, lt=1)
    review: Review
