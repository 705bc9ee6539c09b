"""Say what may have caused the most frequent reason of refused rows, and what cures it."""

import re
from itertools import pairwise
from typing import NamedTuple

from stages.lib.ledger.csv_records import DELIMITERS, Dialect
from stages.lib.ledger.sheets import Sheet
from stages.lib.params.ingest import IngestParams

_SHOWN_CHARS = 200
_FOR_THIS_FILE = "for this file in ingest.reading"


class Example(NamedTuple):
    """A refused row: its sheet, its number, and its cells with personal data masked."""

    sheet: Sheet
    row: int
    cells: list[str]

    @property
    def place(self) -> str:
        """The file and the row."""
        return f"{self.sheet.file} row {self.row}"

    @property
    def text(self) -> str:
        """The row as it is in the file, or its beginning."""
        dialect = self.sheet.dialect
        between = DELIMITERS.get(dialect.delimiter, dialect.delimiter) if dialect else " | "
        return between.join(self.cells)[:_SHOWN_CHARS]


def cure(reason: str, examples: list[Example], params: IngestParams) -> str:
    """Return what to do about rows that were refused for `reason`.

    Parameters
    ----------
    reason : str
        As in the table of refused rows.
    examples : list of Example
        The first of them; at least one.
    """
    example = examples[0]
    if reason == "too few cells":
        return _too_few(examples)
    if reason == "too many cells":
        return _too_many(example)
    if reason == "stray quote":
        return (
            "if texts have quotes that are not doubled, set quote: none or backslash "
            f"{_FOR_THIS_FILE}"
        )
    if reason == "undecodable bytes":
        return (
            f"it was read in {_dialect(example).encoding}: set another encoding {_FOR_THIS_FILE}, "
            "or export it again as UTF-8"
        )
    if reason == "subtotal":
        return _no_label(example, params)
    if reason == "above the header":
        return f"set header_row to the row above the first transaction {_FOR_THIS_FILE}"
    name = reason.removeprefix("no ")
    if name in params.columns:
        return _not_filled(name, example, params)
    return f"correct these rows, or how they are read {_FOR_THIS_FILE}"


def _dialect(example: Example) -> Dialect:
    return example.sheet.dialect or Dialect("", "", "")


def _too_few(examples: list[Example]) -> str:
    first, width = examples[0], examples[0].sheet.layout.width
    found = f"it has {len(first.cells)} cells instead of {width}"
    if any(b.row == a.row + 1 for a, b in pairwise(examples)):
        both = sum(len(example.cells) for example in examples[:2])
        if both in (width, width + 1):
            return (
                f"{found}, as if a text of it went on in the next line: set line_end: lf or crlf "
                f"{_FOR_THIS_FILE}, or export texts in quotes; if the last cells are just not "
                f"written, set short_rows: fill {_FOR_THIS_FILE}"
            )
    return f"{found}: if the last cells are just not written, set short_rows: fill {_FOR_THIS_FILE}"


def _too_many(example: Example) -> str:
    dialect, width = _dialect(example), example.sheet.layout.width
    found = f"it has {len(example.cells)} cells instead of {width}"
    pairs = pairwise(example.cells)
    if dialect.delimiter == "comma" and any(
        re.fullmatch(r"[-+(€$£ ]*\d[\d.’' ]*", a) and re.fullmatch(r"\d\d\)? *-?", b)
        for a, b in pairs
    ):
        return (
            f"{found}, as if its amounts had a decimal comma, which is the delimiter too: export "
            "it with another delimiter, or with quotes around the amounts"
        )
    if dialect.quote == "none" and any(cell.strip().startswith('"') for cell in example.cells):
        return f"{found}, because its quotes are not read: set quote: double {_FOR_THIS_FILE}"
    return (
        f"{found}: if a text has the delimiter in it, export texts in quotes, or set quote or "
        f"delimiter (now {dialect.quote} and {dialect.delimiter}) {_FOR_THIS_FILE}; if the header "
        f"lacks a cell, set positions there"
    )


def _heading(name: str, example: Example, params: IngestParams) -> str:
    if name not in example.sheet.layout.places:
        return "no column"
    return f"column {example.sheet.heading(name, params)}"


def _no_label(example: Example, params: IngestParams) -> str:
    label = params.label
    return (
        f"its account ({_heading(label, example, params)}) is empty or a word of "
        f"ingest.total_words: if the account is named once above its rows, add {label} to "
        f"ingest.fill_down; if it is in another column, correct ingest.columns.{label}.names or "
        f"set positions {_FOR_THIS_FILE}"
    )


def _not_filled(name: str, example: Example, params: IngestParams) -> str:
    return (
        f"its {name} ({_heading(name, example, params)}) is empty: if it is written once above its "
        f"rows, add {name} to ingest.fill_down; if transactions may lack it, take it out of "
        f"ingest.required; if it is in another column, set positions {_FOR_THIS_FILE}"
    )
