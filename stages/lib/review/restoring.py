"""Restore cells that a spreadsheet rewrote, where the key of the row proves what they were."""

import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice, product

from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.dates import parse_date
from stages.lib.normalize import clean_text
from stages.lib.review.keys import row_key
from stages.lib.spreadsheet import spreadsheet_cell

# Leading zeros that a spreadsheet may have dropped, and how many combinations are tried for a row.
_ZEROS = 6
_TRIED = 4_000
_ORDERS = ("ymd", "dmy", "mdy")
# A key of digits alone, or with one e, may have become a number of three digits: 1.23E+15.
_SHOWN_DIGITS = 5e-3


def plain_text(cell: object) -> str:
    """Return a cell as text, without the apostrophe that keeps a spreadsheet from running it."""
    text = clean_text(cell_text(cell), "keep")
    bare = text.removeprefix("'")
    return bare if spreadsheet_cell(bare) == text else text


def find_days(cell: object) -> set[str]:
    """Return the days that a cell may show, in ISO form."""
    if isinstance(cell, datetime):
        return {cell.date().isoformat()}
    if isinstance(cell, date):
        return {cell.isoformat()}
    text = cell_text(cell)
    if text.isdigit():
        return set()
    return {day.isoformat() for day in (parse_date(text, order) for order in _ORDERS) if day}


def _forms(cell: object) -> list[str]:
    """Return what a cell may have been before a spreadsheet saved it; first, what it is."""
    text = plain_text(cell)
    forms = [text]
    if text.isdigit():
        forms += [text.zfill(len(text) + zeros) for zeros in range(1, _ZEROS + 1)]
    elif re.fullmatch(r"-?\d+,\d+", text):
        forms.append(text.replace(",", "."))
    elif text[:1].isdigit() or isinstance(cell, date):
        forms += sorted(find_days(cell))
    return list(dict.fromkeys(forms))


def read_row_number(cell: object) -> int | None:
    """Return the number of a row, which a spreadsheet may show as 1,234 or 12.0."""
    text = re.sub(r"(?<=\d)[.,]0+$", "", cell_text(cell).strip())
    text = re.sub(r"(?<=\d)[.,' \u00a0\u202f’](?=\d{3}(?:\D|$))", "", text)
    return int(text) if text.isdigit() and text.isascii() else None


def _is_key(cell: object, key: str) -> bool:
    text = cell_text(cell).strip().lower()
    if text == key:
        return True
    try:
        shown, real = float(text.replace(",", ".")), float(key)
    except ValueError:
        return False
    if math.isinf(real) or math.isinf(shown):
        return False
    return "e" in text and math.isclose(shown, real, rel_tol=_SHOWN_DIGITS)


def restore_fields(
    key: object, file: object, sheet: object, row: object, fields: Sequence[object]
) -> tuple[str, list[str]] | None:
    """Return the key of a row and what the model saw, None if they do not belong together.

    Leading zeros, dates and decimal signs that a spreadsheet changed are restored where the key
    proves it.

    Parameters
    ----------
    key, file, sheet, row, fields : object
        Cells of one row of a reviewed sheet.
    """
    number = read_row_number(row)
    if number is None:
        return None
    choices = product(*(_forms(cell) for cell in (file, sheet, *fields)))
    for file_text, sheet_text, *texts in islice(choices, _TRIED):
        found = row_key(file_text, sheet_text, number, texts)
        if _is_key(key, found):
            return found, texts
    return None
