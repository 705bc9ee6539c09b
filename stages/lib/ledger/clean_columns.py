"""Clean one column by its role, and say which of its cells refuse their row."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.accounts import find_codes, fits_pattern, unmask_codes
from stages.lib.ledger.amounts import parse_amounts
from stages.lib.ledger.date_doubts import Place, doubtful_days
from stages.lib.ledger.date_orders import is_typed, swap_day
from stages.lib.ledger.dates import parse_date
from stages.lib.ledger.formats import Format, read_by_format
from stages.lib.ledger.values import map_values
from stages.lib.ledger.zero_dates import is_zero_date
from stages.lib.normalize import clean_text, is_error
from stages.lib.params.preprocess import Labels, PreprocessParams

UNREAD_AMOUNT, UNREAD_DATE = "unreadable amount", "unreadable date"
DOUBTFUL_DATE = "five digits: days, or a date without its zero?"
ZERO_DATE, LOST_SIGN = "date of zeros", "lost currency sign"
NO_ACCOUNT = "no valid account"


class Column(NamedTuple):
    """A clean column.

    Attributes
    ----------
    values : Array, (rows,)
    refused : list of (str, Array of bool)
        Reasons to refuse a row, and the rows; the first reason of a row counts.
    emptied : int
        Cells that had content and are empty now.
    noted : list of (str, Array of bool)
        What a user should know of cells that refuse no row, and the rows.
    """

    values: pa.Array
    refused: list[tuple[str, pa.Array]]
    emptied: int = 0
    noted: Sequence[tuple[str, pa.Array]] = ()


def _count(chosen: pa.Array) -> int:
    return pc.sum(chosen).as_py() or 0


def _errors(cells: pa.Array) -> pa.Array:
    return map_values(cells, is_error, pa.bool_()).fill_null(False)


def clean_texts(cells: pa.Array, case: str) -> Column:
    """Return texts in one form. A spreadsheet's error is emptied."""
    error = _errors(cells)
    texts = pc.if_else(error, "", cells)
    clean: Callable[[str], str] = partial(clean_text, case=case)
    return Column(map_values(texts, clean, pa.string()), [], _count(error))


def clean_amounts(raw: pa.Table, name: str, params: PreprocessParams) -> Column:
    """Return amounts as float64, null where a cell is empty or not read."""

    def read(cells: pa.Array, how: Format) -> pa.Array:
        return parse_amounts(cells, how.decimal, params.currency_words, params.credit_words)

    cells = raw[name].combine_chunks()
    amounts = read_by_format(raw, name, params, read)
    unread = _unread(cells, amounts)
    lost = (LOST_SIGN, pc.and_(pc.match_substring(cells, "\ufffd"), pc.is_valid(amounts)))
    if params.unreadable_amount == "reject":
        return Column(amounts, [(UNREAD_AMOUNT, unread)], 0, [lost])
    return Column(amounts, [], _count(unread), [lost, (UNREAD_AMOUNT, unread)])


def clean_dates(raw: pa.Table, name: str, params: PreprocessParams, places: set[Place]) -> Column:
    """Return days as date32, null where a cell is empty or not read.

    Parameters
    ----------
    raw : Table
    name : str
    params : PreprocessParams
    places : set of (file, column)
        Where five digits may be Excel's count of days, or a date that lost its zero.
    """
    cells = raw[name].combine_chunks()
    days, refused = read_by_format(raw, name, params, _days), []
    if places:
        doubtful = doubtful_days(raw, name, places)
        days = pc.if_else(doubtful, None, days)
        refused.append((DOUBTFUL_DATE, doubtful))
    zero = is_zero_date(cells)
    days = pc.if_else(zero, None, days)
    unread = pc.and_not(_unread(cells, days), zero)
    if params.unreadable_date == "reject":
        return Column(days, [*refused, (UNREAD_DATE, unread)], _count(zero), [(ZERO_DATE, zero)])
    emptied = _count(zero) + _count(unread)
    return Column(days, [], emptied, [(ZERO_DATE, zero), (UNREAD_DATE, unread)])


def _days(cells: pa.Array, how: Format) -> pa.Array:
    def read(text: str) -> date | None:
        day = parse_date(text, how.date_order)
        if day and how.typed_dates == "swapped" and is_typed(text):
            return swap_day(day)
        return day

    return map_values(cells, read, pa.date32())


def _unread(cells: pa.Array, values: pa.Array) -> pa.Array:
    filled = pc.not_equal(pc.utf8_trim_whitespace(cells), "")
    return pc.and_(filled, pc.is_null(values))


def clean_labels(
    raw: pa.Table, cells: pa.Array, labels: Labels, code_of_name: dict[str, str]
) -> Column:
    """Return account codes in one form.

    Parameters
    ----------
    raw : Table
    cells : Array of string, (rows,)
        The codes of `raw`.
    labels : Labels
    code_of_name : dict of str to str
        The codes of account names, by which masked codes are found.
    """
    codes = find_codes(cells, labels)
    hidden = fits_pattern(codes, labels.masked)
    if labels.masked_rule == "from_name":
        codes = unmask_codes(raw, codes, hidden, code_of_name)
        hidden = fits_pattern(codes, labels.masked)
    refused = [
        ("spreadsheet error", _errors(cells)),
        ("masked account", hidden),
        ("retired account", pc.is_in(codes, pa.array(labels.retire, pa.string()))),
        (NO_ACCOUNT, pc.invert(fits_pattern(codes, labels.pattern))),
    ]
    return Column(codes, refused)
