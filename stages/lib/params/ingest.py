"""Parameters of the section ``ingest``: how the ledger's files are read."""

from typing import Annotated, Literal

import re2
from pydantic import AfterValidator, Field, model_validator

from stages.lib.contracts.names import AMOUNT, DATE, LABEL, RESERVED
from stages.lib.params.section import Section

Role = Literal["id", "date", "text", "amount", "category", "label", "label_name", "group"]
MaskKind = Literal["email", "card", "resident_number", "bank_account", "phone"]

# Names that the base table gives to the column of one role.
_ROLE_OF = {DATE: "date", AMOUNT: "amount", LABEL: "label"}


def _regular_expression(pattern: str) -> str:
    # Rows are matched by pyarrow, whose expressions are RE2 too. Its import takes half a second.
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"not a regular expression (RE2): {error.args[0].decode()}") from None
    return pattern


def _free_name(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"the pipeline makes a column called {name} itself; choose another name")
    return name


Pattern = Annotated[str, AfterValidator(_regular_expression)]
Name = Annotated[str, AfterValidator(_free_name), Field(min_length=1)]


class Column(Section):
    """A column to keep: its role, and the header names to look for."""

    role: Role
    names: list[str]


class Reading(Section):
    """How to read the files whose path matches `match`."""

    match: str = Field(min_length=1)
    sheets: list[str] = Field(min_length=1)
    encoding: str = Field(min_length=1)
    delimiter: Literal["auto", "comma", "tab", "semicolon", "pipe"]
    quote: Literal["auto", "double", "single", "none", "backslash", "spaced"]
    line_end: Literal["any", "lf", "crlf"]
    header_row: Literal["auto"] | Annotated[int, Field(ge=0)]
    positions: dict[str, Annotated[int, Field(ge=1)]]
    short_rows: Literal["reject", "fill"]


class IngestParams(Section):
    source: str = Field(min_length=1)
    files: list[str] = Field(min_length=1)
    reading: list[Reading] = Field(min_length=1)
    columns: dict[Name, Column]
    required: list[str] = Field(min_length=1)
    patterns: dict[str, Pattern]
    fill_down: list[str]
    total_words: list[str]
    mask: list[MaskKind]
    min_content_match: float = Field(ge=0, le=1)
    max_reject_fraction: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _names_agree(self) -> "IngestParams":
        roles = list(self.roles.values())
        if roles.count("label") != 1:
            raise ValueError(
                "columns: expected exactly one column of the role label, got "
                f"{roles.count('label')}"
            )
        if roles.count("label_name") > 1:
            raise ValueError("columns: expected at most one column of the role label_name")
        named = {*self.required, *self.patterns, *self.fill_down}
        for reading in self.reading:
            named |= set(reading.positions)
            if reading.header_row == 0 and not reading.positions:
                raise ValueError("reading: header_row 0 means no header, so positions are needed")
        if unknown := sorted(named - set(self.columns)):
            raise ValueError(
                f"columns: has no column {', '.join(unknown)}, which another key names"
            )
        for name, role in _ROLE_OF.items():
            if name in self.columns and self.columns[name].role != role:
                raise ValueError(
                    f"columns.{name}: the base table uses this name for its {role} column; choose "
                    f"another name for this {self.columns[name].role} column"
                )
        return self

    @property
    def label(self) -> str:
        """Name of the column of the role label."""
        return next(name for name, role in self.roles.items() if role == "label")

    @property
    def roles(self) -> dict[str, str]:
        """The role of each column, in their order."""
        return {name: column.role for name, column in self.columns.items()}
