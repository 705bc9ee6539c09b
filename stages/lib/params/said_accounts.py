"""The keys that a stage reads to use corrections."""

from pydantic import Field

from stages.lib.params.preprocess import Labels
from stages.lib.params.section import PartOfSection


class AccountRules(PartOfSection):
    """Of the section ``preprocess``."""

    labels: Labels


class FieldsAndVendor(PartOfSection):
    """Of the section ``feature``."""

    fields: list[str] = Field(min_length=1)
    group_column: str | None
