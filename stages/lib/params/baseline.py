"""Parameters of the section ``baseline``: the classifiers that the model is compared with."""

from pydantic import Field

from stages.lib.params.section import Section


class BaselineParams(Section):
    max_train_rows: int | None = Field(ge=1)
    lookup_columns: list[str] | None = Field(min_length=1)
    character_fields: list[str] | None
    word_ngrams: int = Field(ge=1, le=3)
    character_ngrams: int = Field(ge=3, le=6)
    regularization: float = Field(gt=0)
