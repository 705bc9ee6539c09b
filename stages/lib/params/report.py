"""Keys of other sections that the evaluation report tells or follows."""

from typing import Literal

from stages.lib.params.section import PartOfSection


class LedgerSource(PartOfSection):
    """Where the ledger is."""

    source: str


class SplitStrategy(PartOfSection):
    """How the test rows were chosen."""

    strategy: Literal["stratified", "time", "group"]


class BaseModelName(PartOfSection):
    """The base model, and what pins its bytes."""

    name: str
    revision: str | None


class ReportLanguage(PartOfSection):
    """The language of what people read: the review sheet's, and the report's."""

    language: Literal["en", "ko"]
