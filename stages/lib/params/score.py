"""Parameters of the section ``score``: how the trained model scores rows."""

from pydantic import Field

from stages.lib.params.section import Section


class ScoreParams(Section):
    batch_tokens: int = Field(ge=1)
    threads: int | None = Field(ge=1)
    packed: bool
