"""The base of all parameter models."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of a parameter file: unknown, missing and mistyped keys are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PartOfSection(Section, extra="ignore"):
    """The keys of a section that a stage reads, where it does not read all of them."""
