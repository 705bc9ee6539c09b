"""Parameters of the section ``classify``: the experts that are no language model."""

from pydantic import Field

from stages.lib.params.section import Section


class TextClassifierParams(Section):
    """How the text classifier reads and learns."""

    word_ngrams: int = Field(ge=1, le=3)
    character_ngrams: int = Field(ge=3, le=6)
    hidden: int = Field(ge=1, le=4096)
    networks: int = Field(ge=1, le=20)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    dropout: float = Field(ge=0, lt=1)
    seed: int = Field(ge=0)


class PastPostingsParams(Section):
    """How past postings are compared."""

    neighbours: int = Field(ge=1, le=1000)
    power: float = Field(gt=0, le=100)
    keep_text: bool


class ClassifyParams(Section):
    text_classifier: TextClassifierParams
    past_postings: PastPostingsParams
