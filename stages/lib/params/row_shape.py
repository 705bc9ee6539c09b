"""The keys of ``ingest`` and ``preprocess`` that decide what the model sees of a row.

`feature` notes them beside the base table, so that `predict` prepares new rows in the same way.
Guards such as ``max_reject_fraction`` are not among them: they refuse rows or runs, but change no
row.
"""

from typing import Literal

from stages.lib.params.section import PartOfSection


class MaskedKinds(PartOfSection):
    """Of the section ``ingest``."""

    mask: list[str]


class ReadingRules(PartOfSection):
    """Of the section ``preprocess``."""

    case: Literal["fold", "keep"]
    decimal: Literal["point", "comma"]
    currency_words: list[str]
    credit_words: list[str]
    date_order: Literal["ymd", "dmy", "mdy"]
