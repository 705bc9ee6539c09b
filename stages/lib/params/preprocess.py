"""Parameters of the section ``preprocess``: how raw text becomes clean rows."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stages.lib.normalize import padded
from stages.lib.params.section import Section


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_regular_expression)]


class Labels(Section):
    pattern: Pattern = Field(min_length=1)
    pad_to: int = Field(ge=0, le=32)
    masked: Pattern
    masked_rule: Literal["reject", "from_name"]
    merge: dict[str, str]
    retire: list[str]

    @model_validator(mode="after")
    def _in_one_form(self) -> "Labels":
        """Write all codes as the ledger's will be written, and follow chains of `merge`."""
        steps, ends = {}, {}
        for old, new in self.merge.items():
            old, new = padded(old, self.pad_to), padded(new, self.pad_to)
            if steps.setdefault(old, new) != new:
                raise ValueError(f"merge: {old} is listed twice, with two new codes")
        retire = [padded(code, self.pad_to) for code in self.retire]
        for old in steps:
            path = [old]
            while path[-1] in steps:
                path.append(steps[path[-1]])
                if path[-1] in path[:-1]:
                    raise ValueError(f"merge: {' becomes '.join(path)}, which never ends")
            if closed := [code for code in path if code in retire]:
                raise ValueError(
                    f"merge: {' becomes '.join(path)}, and retire closes {closed[0]}; keep one"
                )
            if not re.fullmatch(self.pattern, path[-1]):
                raise ValueError(f"merge: {path[-1]} does not fit labels.pattern")
            ends[old] = path[-1]
        masked = self.masked or "(?!)"  # matches no code, not even an empty one
        return self.model_copy(update={"merge": ends, "retire": retire, "masked": masked})


class OtherFormat(Section):
    """How some files write dates and amounts, where they differ from the others."""

    match: str = Field(min_length=1)
    columns: list[str] | None = Field(default=None, min_length=1)
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    decimal: Literal["point", "comma"] | None = None
    typed_dates: Literal["swapped", "as_is"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "OtherFormat":
        if self.date_order is None and self.decimal is None and self.typed_dates is None:
            raise ValueError("expected date_order, decimal or typed_dates")
        return self

    @property
    def roles(self) -> list[str]:
        """The roles of the columns that this says something of."""
        dates = self.date_order is not None or self.typed_dates is not None
        return ["date"] * dates + ["amount"] * (self.decimal is not None)


class PreprocessParams(Section):
    case: Literal["fold", "keep"]
    decimal: Literal["point", "comma"]
    currency_words: list[str]
    credit_words: list[str]
    date_order: Literal["ymd", "dmy", "mdy"]
    other_formats: list[OtherFormat]
    unreadable_amount: Literal["reject", "empty"]
    unreadable_date: Literal["reject", "empty"]
    labels: Labels
    duplicates: Literal["reject", "reject_all", "keep"]
    max_reject_fraction: float = Field(ge=0, le=1)
