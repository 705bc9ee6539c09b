"""Clean one column by its role, and say which of its cells refuse their row."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.accounts import find_codes, fits_pattern, unmask_codes
from stages.lib.ledger.amounts import parse_amounts
from stages.lib.ledger.date_doubts import Place, doubtful_days
from stages.lib.ledger.dates import parse_date
from stages.lib.ledger.values import map_values
from stages.lib.normalize import clean_text, is_error
from stages.lib.params.preprocess import Labels, PreprocessParams


class Column(NamedTuple):
    """A clean column.

    Attributes
    ----------
    values : Array, (rows,)
    refused : list of (str, Array of bool)
        Reasons to refuse a row, and the rows; the first reason of a row counts.
    emptied : int
        Cells that had content and are empty now.
    """

    values: pa.Array
    refused: list[tuple[str, pa.Array]]
    emptied: int = 0


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


def clean_amounts(cells: pa.Array, params: PreprocessParams) -> Column:
    """Return amounts as float64, null where a cell is empty or not read."""
    amounts = parse_amounts(cells, params.decimal, params.currency_words, params.credit_words)
    unread = _unread(cells, amounts)
    if params.unreadable_amount == "reject":
        return Column(amounts, [("unreadable amount", unread)])
    return Column(amounts, [], _count(unread))


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
    days = map_values(cells, partial(parse_date, order=params.date_order), pa.date32())
    refused = []
    if places:
        doubtful = doubtful_days(raw, name, places)
        days = pc.if_else(doubtful, None, days)
        refused.append(("five digits: days, or a date without its zero?", doubtful))
    unread = _unread(cells, days)
    if params.unreadable_date == "reject":
        return Column(days, [*refused, ("unreadable date", unread)])
    return Column(days, [], _count(unread))


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
        ("no valid account", pc.invert(fits_pattern(codes, labels.pattern))),
    ]
    return Column(codes, refused)
