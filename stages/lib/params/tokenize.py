"""Parameters of the section ``tokenize``: how rows become prompts."""

from collections.abc import Sequence

from pydantic import Field

from stages.lib.errors import UserError
from stages.lib.params.section import Section


class TokenizeParams(Section):
    max_train_rows: int | None = Field(ge=1)
    seed: int = Field(ge=0)
    max_tokens: int = Field(ge=8, le=4096)


def check_prompt_length(tokenize: TokenizeParams, fields: Sequence[str]) -> list[UserError]:
    """Return an error if a prompt of `fields` cannot have a token and a separator for each."""
    least = 2 * len(fields)
    if tokenize.max_tokens >= least:
        return []
    return [
        UserError(
            "prompt-too-short",
            "params_train.yaml: tokenize.max_tokens",
            f"{tokenize.max_tokens}; expected at least {least}, two for each of the "
            f"{len(fields)} feature.fields",
            "raise it, or list fewer fields",
        )
    ]
