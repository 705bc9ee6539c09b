"""Write tables that people open in a spreadsheet."""

import csv
import io
from pathlib import Path

from stages.lib.tables import replace_file


def spreadsheet_cell(value: object) -> object:
    """Return `value`; an apostrophe is put before text that a spreadsheet would run as a formula.

    Source: OWASP, CSV Injection.
    """
    dangerous = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
    if isinstance(value, str) and value.lstrip(" ").startswith(dangerous):
        return "'" + value
    return value


def write_csv(header: list[str], rows: list[list], path: Path, encoding: str = "utf-8") -> None:
    """Write a table as CSV, atomically. With ``utf-8-sig`` Excel reads Hangul."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([spreadsheet_cell(cell) for cell in row] for row in [header, *rows])
    with replace_file(path) as partial:
        partial.write_text(text.getvalue(), encoding=encoding, newline="")
