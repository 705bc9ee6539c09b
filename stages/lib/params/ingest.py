"""Parameters of the section ``ingest``: how the ledger's files are read."""

from typing import Annotated, Literal

import re2
from pydantic import AfterValidator, Field, model_validator

from stages.lib.contracts.names import AMOUNT, DATE, LABEL, RESERVED
from stages.lib.params.section import Section

Role = Literal[
    "id", "date", "text", "amount", "category", "label", "label_part", "label_name", "group"
]
MaskKind = Literal["email", "card", "resident_number", "bank_account", "phone"]

# Names that the base table gives to the column of one role.
_ROLE_OF = {DATE: "date", AMOUNT: "amount", LABEL: "label"}
# Texts that may go on in the next row.
MAY_WRAP = ("text", "group", "category", "label_name")
OF_LABELS = ("label", "label_part", "label_name")


def _regular_expression(pattern: str) -> str:
    # Rows are matched by pyarrow, whose expressions are RE2 too. Its import takes half a second.
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"not a regular expression (RE2): {error.args[0].decode()}") from None
    return pattern


def _delimiter(text: str) -> str:
    if text in ("auto", "comma", "tab", "semicolon", "pipe"):
        return text
    if not 1 <= len(text) <= 4 or any(
        (c.isascii() and c.isalnum()) or c in "\"'\r\n\0" for c in text
    ):
        raise ValueError(
            "expected auto, comma, tab, semicolon, pipe, or the delimiter itself: 1 to 4 signs, "
            'none of them a letter, a digit or a quote mark, such as "^" or "\\x1F"'
        )
    return text


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
    hidden: Literal["keep", "leave_out"]
    encoding: str = Field(min_length=1)
    delimiter: Annotated[str, AfterValidator(_delimiter)]
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
    voucher: str | None
    wrapped: list[str]
    label_separator: str | None = Field(min_length=1)
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
                f"{roles.count('label')}; if the account is in several columns, the others have "
                "the role label_part"
            )
        if roles.count("label_name") > 1:
            raise ValueError("columns: expected at most one column of the role label_name")
        named = {*self.required, *self.patterns, *self.fill_down, *self.wrapped}
        named |= {self.voucher} - {"auto", None}
        for reading in self.reading:
            named |= set(reading.positions)
            if reading.header_row == 0 and not reading.positions:
                raise ValueError("reading: header_row 0 means no header, so positions are needed")
        if unknown := sorted(named - set(self.columns)):
            raise ValueError(
                f"columns: has no column {', '.join(unknown)}, which another key names"
            )
        self._check_rows_above()
        for name, role in _ROLE_OF.items():
            if name in self.columns and self.columns[name].role != role:
                raise ValueError(
                    f"columns.{name}: the base table uses this name for its {role} column; choose "
                    f"another name for this {self.columns[name].role} column"
                )
        return self

    def _check_rows_above(self) -> None:
        """Check the keys by which a cell depends on the rows above it."""
        for name in self.wrapped:
            if (role := self.columns[name].role) not in MAY_WRAP:
                raise ValueError(
                    f"wrapped: {name} has the role {role}; expected {', '.join(MAY_WRAP)}"
                )
        if parts := [name for name in self.patterns if self.columns[name].role == "label_part"]:
            raise ValueError(
                f"patterns: {parts[0]} is a part of the account; give the pattern of the whole "
                f"account as {self.label}"
            )
        numbers = self._voucher_columns
        ending = [n for n in self.fill_down if self.columns[n].role not in ("id", *OF_LABELS)]
        if self.voucher == "auto" and len(numbers) > 1 and ending:
            raise ValueError(
                f"voucher: {' and '.join(numbers)} have the role id; name the one at whose change "
                f"{ending[0]} is no longer filled from above, or null if there is none"
            )

    @property
    def label(self) -> str:
        """Name of the column of the role label."""
        return next(name for name, role in self.roles.items() if role == "label")

    @property
    def label_parts(self) -> list[str]:
        """Names of the columns that give the account together, in their order."""
        return [n for n, c in self.columns.items() if c.role in ("label", "label_part")]

    @property
    def roles(self) -> dict[str, str]:
        """The role of each column, in their order; the parts of the account are the label."""
        return {n: column.role for n, column in self.columns.items() if column.role != "label_part"}

    @property
    def _voucher_columns(self) -> list[str]:
        numbers = [name for name, role in self.roles.items() if role == "id"]
        return [name for name in numbers if name in self.fill_down] or numbers

    @property
    def voucher_column(self) -> str | None:
        """Name of the column at whose change nothing more is filled from above, if there is one."""
        if self.voucher == "auto":
            return self._voucher_columns[0] if len(self._voucher_columns) == 1 else None
        return self.voucher if self.voucher in self.columns else None

    @property
    def depends_on_rows_above(self) -> bool:
        """Whether a row may need any of the rows above it, so that a sheet is read in one piece."""
        return bool(self.fill_down or self.wrapped)
