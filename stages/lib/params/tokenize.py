"""Parameters of the section ``tokenize``: how rows become prompts."""

from pydantic import Field

from stages.lib.params.section import Section


class TokenizeParams(Section):
    max_tokens: int = Field(ge=8, le=4096)
