"""The one key of the section ``feature`` that the stages after it read."""

from pydantic import Field

from stages.lib.params.section import PartOfSection


class VisibleFields(PartOfSection):
    fields: list[str] = Field(min_length=1)
