"""What a person said of the rows of a reviewed sheet."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from stages.lib.ledger.amounts import amount_marks, parse_amount
from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.dates import parse_date
from stages.lib.normalize import clean_text
from stages.lib.review.account_finder import AccountFinder
from stages.lib.review.corrections import CONFIRMED, Correction
from stages.lib.review.restoring import find_days, plain_text, restore_fields
from stages.lib.review.returned import Sheet, cells_of
from stages.lib.review.words import LANGUAGES, load_words

ORDERS = ("ymd", "dmy", "mdy")


def needed_columns(fields: Sequence[str]) -> list[str]:
    """Return the keys of the columns that a reviewed sheet must have."""
    seen = [f"seen_{name}" for name in fields]
    own = ["acct_code", "corrected", "source_file", "source_sheet", "source_row"]
    return [*own, "seen_date", "seen_amount", *seen, "key"]


class Style(NamedTuple):
    """How a sheet that was saved as text writes numbers and dates.

    Attributes
    ----------
    decimal : "point" or "comma"
    order : str or None
        One of `ORDERS`; None: it cannot be told.
    """

    decimal: str
    order: str | None


class Taken(NamedTuple):
    """What a sheet says.

    Attributes
    ----------
    corrections : list of (str, Correction)
        Each with its place, for messages.
    problems : list of str
        Rows that are not taken: where, what was found, what was expected.
    remarks : list of str
        What was understood that a person should know.
    untouched : int
        Rows with a key that nobody corrected or confirmed.
    checks : dict of str to int
        Rows of the random check: ``corrected``, ``confirmed`` and ``untouched``.
    """

    corrections: list[tuple[str, Correction]]
    problems: list[str]
    remarks: list[str]
    untouched: int
    checks: dict[str, int]


def find_style(sheet: Sheet) -> Style:
    """Return how a sheet writes numbers and dates, by the cells that predict wrote."""
    cells = [cells_of(sheet, row) for _, row in sheet.rows]
    names = [name for name in sheet.place if name.startswith("probability")]
    chances = {cell_text(row[name]).strip() for row in cells for name in names}
    signs = Counter(text[1] for text in chances if re.fullmatch(r"[01][.,]\d+", text))
    by_delimiter = "comma" if sheet.delimiter == "semicolon" else "point"
    decimal = by_delimiter
    if signs[","] != signs["."]:
        decimal = "comma" if signs[","] > signs["."] else "point"
    days = {
        cell_text(row.get("seen_date", ""))
        for row in cells
        if not isinstance(row.get("seen_date"), date)
    } - {""}
    read = {order: [parse_date(text, order) for text in sorted(days)] for order in ORDERS}
    orders = [order for order in ORDERS if None not in read[order]]
    same = all(read[order] == read[orders[0]] for order in orders)
    if not same and all(re.match(r"\d{1,2}\.\d{1,2}\.\d", text) for text in days):
        orders, same = ["dmy"], True  # with points the day is first
    return Style(decimal, orders[0] if orders and same else None)


def read_day(cell: object, style: Style) -> date | None:
    """Return the day of a cell, None if it has none or cannot be read."""
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    return parse_date(cell_text(cell), style.order) if style.order else None


def read_number(cell: object, style: Style) -> float | None:
    """Return the amount of a cell, None if it has none or cannot be read."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell) if cell == cell else None
    return parse_amount(cell_text(cell).strip(), style.decimal, *amount_marks((), ()))


def find_account(cell: object, finder: AccountFinder) -> tuple[str, str]:
    """Return the account that a cell of the column `corrected` means, and a remark or "".

    Raises
    ------
    LookupError
        It means none, or several. The text says which.
    """
    text = plain_text(cell)
    try:
        return finder.find_open(text), ""
    except LookupError as error:
        days = find_days(cell)
        if not days:
            raise
        codes = {
            code
            for day in map(date.fromisoformat, days)
            for code in finder.find_dates(day.month, day.day)
        }
        if len(codes) != 1:
            known = f"; the date may have been any of {', '.join(sorted(codes))}" if codes else ""
            raise LookupError(f"{error}{known}") from None
        return finder.find_open(*codes), f"the date '{text}' is read as account {codes.pop()}"


def _proposal(cell: object, finder: AccountFinder) -> str:
    try:
        return find_account(cell, finder)[0]
    except LookupError:
        return plain_text(cell)


def read_row(
    cells: dict[str, object], fields: Sequence[str], finder: AccountFinder, style: Style
) -> tuple[Correction, list[str]]:
    """Return what a person said of a row, and remarks.

    Raises
    ------
    LookupError
        The row cannot be taken. The text says what was found and what was expected.
    """
    if not cell_text(cells["key"]).strip():
        raise LookupError("it has no key: it was not coded, so nothing can be learned from it")
    seen = [cells[f"seen_{name}"] for name in fields]
    origin = (cells[name] for name in ("source_file", "source_sheet", "source_row"))
    restored = restore_fields(cells["key"], *origin, seen)
    if restored is None:
        raise LookupError(
            f"its key {cell_text(cells['key'])} is not that of its source_ and seen_ cells; "
            "expected these as predict wrote them (not sorted apart, typed over or lost as ????)"
        )
    remarks = []
    try:
        account, remark = find_account(cells["corrected"], finder)
    except LookupError as error:
        shown = clean_text(cell_text(cells["corrected"]), "keep")[:80]
        raise LookupError(f"'{shown}': {error}; expected an account of the chart") from None
    remarks += [remark] if remark else []
    day, amount = (
        read(cells[name], style)
        for read, name in ((read_day, "seen_date"), (read_number, "seen_amount"))
    )
    for name, value in (("seen_date", day), ("seen_amount", amount)):
        if value is None and (text := cell_text(cells[name]).strip()):
            remarks.append(f"{name} '{text[:40]}' cannot be read and is left empty")
    key, texts = restored
    proposed = _proposal(cells["acct_code"], finder)
    said = dict(zip(fields, texts, strict=True))
    return Correction(key, account, proposed, day, amount, said), remarks


def _is_check(cell: object) -> bool:
    text = clean_text(cell_text(cell), "fold")
    words = (load_words(language)["reasons"]["random_check"] for language in LANGUAGES)
    return any(clean_text(word, "fold") in text for word in words)


def take_rows(sheet: Sheet, fields: Sequence[str], finder: AccountFinder) -> Taken:
    """Return what a person said of the rows of a sheet.

    Rows whose column `corrected` is empty say nothing. Two rows of one key with different accounts
    are not taken.
    """
    style, untouched, checks = find_style(sheet), 0, Counter()
    found, problems, remarks = [], [], []
    for number, row in sheet.rows:
        cells, place = cells_of(sheet, row), f"{sheet.where}, row {number}"
        kind = "untouched"
        if cell_text(cells["corrected"]).strip():
            try:
                correction, said = read_row(cells, fields, finder, style)
            except LookupError as error:
                problems.append(f"{place}: {error}")
                continue
            found.append((place, correction))
            remarks += [f"{place}: {remark}" for remark in said]
            kind = correction.kind
        elif cell_text(cells["key"]).strip():
            untouched += 1
        if _is_check(cells.get("reason", "")):
            checks[kind] += 1
    found, twice = _one_answer(found)
    return Taken(found, problems + twice, remarks, untouched, dict(checks))


def _one_answer(
    found: Iterable[tuple[str, Correction]],
) -> tuple[list[tuple[str, Correction]], list[str]]:
    accounts, first = {}, {}
    for place, row in found:
        accounts.setdefault(row.key, set()).add(row.account)
        first.setdefault(row.key, place)
    problems = [
        f"{place}: this row is there several times, with the accounts "
        f"{', '.join(sorted(accounts[key]))}; expected one"
        for key, place in first.items()
        if len(accounts[key]) > 1
    ]
    return [pair for pair in found if len(accounts[pair[1].key]) == 1], problems


def checked_precision(checks: dict[str, int]) -> str:
    """Return what the random checks of a sheet say, "" if it has none."""
    right, looked = checks.get(CONFIRMED, 0), sum(checks.values()) - checks.get("untouched", 0)
    if not checks:
        return ""
    untouched = checks.get("untouched", 0)
    if not looked:
        return f"random checks: none of {untouched:,} looked at"
    said = f"random checks: {right:,} of {looked:,} right ({right / looked:.1%})"
    return f"{said}; {untouched:,} not looked at"
