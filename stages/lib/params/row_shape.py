"""The parameters that decide what the model sees of a row.

`feature` notes them beside the base table, so that `predict` prepares new rows in the same way.
How files are read is not among them: new files may have other headers, dates and decimal signs.
Nor are guards such as ``max_reject_fraction``: they refuse rows or runs, but change no row.
"""

from types import SimpleNamespace
from typing import Literal

from stages.lib.params.section import PartOfSection


class MaskedKinds(PartOfSection):
    """Of the section ``ingest``."""

    mask: list[str]


class TextCase(PartOfSection):
    """Of the section ``preprocess``."""

    case: Literal["fold", "keep"]


_FEATURE = ("fields", "amount_column", "credit_column", "group_column", "amount_edges")


def row_shape_of(sections: SimpleNamespace, roles: dict[str, str]) -> dict[str, object]:
    """Return ``{"section.key": value}`` of the parameters that shape a row.

    Parameters
    ----------
    sections : SimpleNamespace
        ``ingest`` and ``preprocess``, whole or only the keys above, and ``feature``.
    roles : dict of str to str
        The role of each column of the ledger.
    """
    keys = {
        "ingest": [*MaskedKinds.model_fields],
        "preprocess": [*TextCase.model_fields],
        "feature": [*_FEATURE],
    }
    if any(roles.get(field) == "date" for field in sections.feature.fields):
        keys["feature"].append("date_column")
    return {
        f"{section}.{key}": getattr(getattr(sections, section), key)
        for section, names in keys.items()
        for key in names
    }
