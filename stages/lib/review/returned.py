"""Find the rows of a reviewed sheet, in whatever file it came back."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.csv_records import DELIMITERS, Dialect, read_records
from stages.lib.ledger.encodings import find_encoding
from stages.lib.ledger.opening import DAMAGED, damaged
from stages.lib.ledger.parquet_files import column_names, read_batches
from stages.lib.ledger.text_files import Block, text_blocks
from stages.lib.ledger.workbooks import may_kill_its_reader, workbook_sheets
from stages.lib.normalize import clean_text
from stages.lib.parallel import map_ordered

# The row of titles is looked for in so many rows: a person may have put some above it.
TITLE_ROWS = 50
# How workbooks begin: packed, or Excel 97.
_BOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SHEETS = "a sheet that predict wrote has them: give that one"


class Sheet(NamedTuple):
    """The rows of one reviewed sheet.

    Attributes
    ----------
    where : str
        The file, and the name of its sheet if it has several.
    place : dict of str to int
        The column of each of our keys that the sheet has.
    rows : list of (int, list)
        The number of each row in the sheet (1-based), and its cells: texts, or typed ones.
    delimiter : str
        Of a text file, a key of `DELIMITERS`; else "".
    """

    where: str
    place: dict[str, int]
    rows: list[tuple[int, list]]
    delimiter: str = ""


def read_sheets(path: Path, titles: Mapping[str, str], needed: Sequence[str]) -> list[Sheet]:
    """Return the reviewed sheets of a file: those that have the column `key`.

    Parameters
    ----------
    path : Path
        A workbook, a text file or a parquet file.
    titles : mapping of str to str
        The key of each title, in all languages.
    needed : sequence of str
        Keys of the columns that a sheet must have.

    Raises
    ------
    UserError
        The file cannot be read, or has no such sheet, or one without a column that is needed.
    """
    if not path.is_file():
        raise UserError("file-not-found", path, "there is no such file")
    folded = {clean_text(title, "fold"): key for title, key in titles.items()}
    with open(path, "rb") as file:
        head = file.read(4)
    if head == b"PAR1":
        found = [_read_parquet(path, folded)]
    elif head in _BOOKS:
        found = _read_book(path, folded)
    else:
        found = [_read_text(path, folded)]
    sheets = [sheet for sheet in found if sheet is not None and "key" in sheet.place]
    if not sheets:
        raise UserError("no-key-column", path, "has no column titled 'key'", _hint(found, titles))
    for sheet in sheets:
        if missing := [key for key in needed if key not in sheet.place]:
            raise UserError(
                "column-missing", sheet.where, f"has no column {', '.join(missing)}", _SHEETS
            )
    return sheets


def _hint(found: Iterable[Sheet | None], titles: Mapping[str, str]) -> str:
    if any(sheet is not None and sheet.place for sheet in found):
        return "it belongs to a sheet that predict wrote; do not delete it"
    return "if its titles became question marks, save the sheet as .xlsx or as CSV in UTF-8"


def find_titles(rows: Iterable[Sequence], titles: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """Return the position of the row with the most titles of ours, and the column of each key.

    Parameters
    ----------
    rows : iterable of sequence
    titles : mapping of str to str
        The key of each title, in lower case.

    Raises
    ------
    LookupError
        Two columns of that row have the same title. The text says which.
    """
    best, where, twice = {}, 0, ""
    for number, row in enumerate(rows):
        place, again = {}, ""
        for column, cell in enumerate(row):
            key = titles.get(clean_text(cell_text(cell), "fold"))
            if key in place:
                again = cell_text(cell)
            elif key:
                place[key] = column
        if len(place) > len(best):
            best, where, twice = place, number, again
    if twice and "key" in best:
        raise LookupError(twice)
    return where, best


def _make_sheet(
    where: str,
    numbered: list[tuple[int, list]],
    titles: Mapping[str, str],
    delimiter: str = "",
) -> Sheet:
    try:
        at, place = find_titles((row for _, row in numbered[:TITLE_ROWS]), titles)
    except LookupError as error:
        problem = f"has two columns titled '{error}'"
        action = "give the column that was added another title"
        raise UserError("column-twice", where, problem, action) from None
    return Sheet(where, place, numbered[at + 1 :], delimiter)


def _read_book(path: Path, titles: Mapping[str, str]) -> list[Sheet]:
    workers = 2 if may_kill_its_reader(path) else 1  # if another process dies, this one can say so
    sheets = []
    for _, book in map_ordered(_book_rows, [path], workers, str):
        for name, rows in book:
            numbered = list(enumerate(rows, start=1))
            sheets.append(_make_sheet(f"{path}, sheet '{name}'", numbered, titles))
    return sheets


def _book_rows(path: Path) -> list[tuple[str, list[list]]]:
    return [(sheet.name, list(sheet.rows)) for sheet in workbook_sheets(path, ["*"])]


def _read_text(path: Path, titles: Mapping[str, str]) -> Sheet | None:
    try:
        encoding = find_encoding(path)
        text = "".join(block.text for block in text_blocks(path, encoding, "any"))
    except UserError as error:
        raise UserError(
            error.code, error.where, error.problem, "save it as .xlsx, or as CSV in UTF-8"
        ) from None
    except DAMAGED as error:
        raise damaged(path, error) from None
    best = None
    for delimiter in DELIMITERS:
        block = Block(text, 1, len(text))
        records, _ = read_records(block, Dialect(encoding, delimiter, "double"), last=True)
        sheet = _make_sheet(
            str(path), list(zip(records.lines, records.rows, strict=True)), titles, delimiter
        )
        if records.broken and "key" in sheet.place:
            number, _ = records.broken[0]
            raise UserError(
                "quote-open", f"{path}, line {number}", "its quotes do not match", "save it again"
            )
        if best is None or len(sheet.place) > len(best.place):
            best = sheet
    return best


def _read_parquet(path: Path, titles: Mapping[str, str]) -> Sheet:
    names, _ = column_names(path)
    rows = [names]
    for batch in read_batches(path, None):
        rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return _make_sheet(str(path), [(n, list(row)) for n, row in enumerate(rows)], titles)


def cells_of(sheet: Sheet, row: list) -> dict[str, object]:
    """Return the cells of a row by key. A row may be shorter than its titles."""
    return {key: row[at] if at < len(row) else "" for key, at in sheet.place.items()}
