"""The accounts that may be proposed."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.lib.errors import UserError
from stages.lib.ledger.encodings import find_encoding
from stages.lib.normalize import clean_text
from stages.lib.params.preprocess import Labels
from stages.lib.review.account_finder import AccountFinder


def allowed_accounts(
    path: Path | str | None, accounts: Sequence[str], labels: Labels, trained: int | None = None
) -> tuple[np.ndarray, list[str]]:
    """Return which accounts may be proposed, and what the user should know about the file.

    Parameters
    ----------
    path : Path or str or None
        One code a line, or a table with a column of codes. None: all that are not closed.
    accounts : sequence of str
    labels : Labels
        ``preprocess.labels``: the closed accounts are never allowed.
    trained : int, optional
        How many of the accounts, from the first, have training rows. Of these one must be left.

    Returns
    -------
    allowed : ndarray of bool, (accounts,)
    remarks : list of str

    Raises
    ------
    UserError
        The file cannot be read, or leaves no account.
    """
    remarks, allowed = [], np.array([code not in labels.retire for code in accounts], bool)
    if path is not None:
        listed, unknown = _listed_codes(Path(path), accounts, labels)
        allowed &= np.array([code in listed for code in accounts], bool)
        if unknown:
            shown = ", ".join(f"'{text}'" for text in unknown[:5])
            shown += f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
            remarks.append(f"{path}: the model has no account {shown}")
    if not allowed[:trained].any():
        raise UserError(
            "no-account",
            path or "preprocess.labels.retire",
            "leaves no account that can be proposed",
            "list accounts that have training rows, one code a line"
            if path
            else "open one, or train on rows of other accounts",
        )
    return allowed, remarks


def _listed_codes(
    path: Path, accounts: Sequence[str], labels: Labels
) -> tuple[set[str], list[str]]:
    if not path.is_file():
        raise UserError("file-not-found", path, "there is no such file")
    text = path.read_bytes().decode(find_encoding(path), "replace").removeprefix("\ufeff")
    lines = [line for line in text.splitlines() if line.strip()]
    finder = AccountFinder(dict.fromkeys(accounts, ""), labels)
    columns = [_find_codes(cells, finder) for cells in _columns_of(lines)]
    return max(columns, key=lambda column: len(column[0]), default=(set(), []))


def _columns_of(lines: list[str]) -> list[list[str]]:
    delimiter = max(",;\t|", key=lambda sign: sum(sign in line for line in lines))
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    width = max(map(len, rows), default=0)
    return [[row[i] if i < len(row) else "" for row in rows] for i in range(width)]


def _find_codes(cells: Sequence[str], finder: AccountFinder) -> tuple[set[str], list[str]]:
    """Return the accounts in a column, and its cells that are none, but for its title."""
    found, unknown = set(), []
    for number, cell in enumerate(cells):
        try:
            found.add(finder.find(cell))
        except LookupError:
            if cell.strip() and number:
                unknown.append(clean_text(cell, "keep"))
    return found, unknown
