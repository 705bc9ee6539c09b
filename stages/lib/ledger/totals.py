"""Find the rows of a sheet that only sum up others."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.cells import cell_text
from stages.lib.params.ingest import IngestParams


def _any_word(words: list[str]) -> str:
    return "|".join(re.escape(" ".join(w.casefold().split())) for w in words) or "(?!)"


def _total_patterns(words: list[str]) -> tuple[re.Pattern, re.Pattern]:
    """Return what finds the name of a total at the beginning or end of a cell, and what finds a
    cell that has nothing but such a name and numbers."""
    word = _any_word(words)
    return (
        re.compile(rf"^[\W_]*(?:{word})(?![^\W\d_])|(?<![^\W\d_])(?:{word})[\W_]*$"),
        re.compile(rf"[\W\d_]*(?:{word})[\W\d_]*"),
    )


def _folded(cell: object) -> str:
    return " ".join(unicodedata.normalize("NFKC", cell_text(cell)).casefold().split())


def _speaking_columns(roles: dict[str, str], may_lack_label: bool) -> list[str]:
    """Return the columns in which a transaction says something and a total does not."""
    chosen = {"id", "date", "text", "group", *(["category"] if may_lack_label else [])}
    found = [name for name, role in roles.items() if role in chosen]
    return found or [name for name, role in roles.items() if role == "category"]


def find_totals(
    rows: list[list],
    columns: dict[str, pa.Array],
    filled: dict[str, np.ndarray],
    params: IngestParams,
    has_labels: bool = True,
) -> np.ndarray:
    """Return which rows are totals.

    A row without a label is one if it has amounts and nothing else, or the name of a total. Then
    the columns of the roles id, text and group must say nothing else, so a transaction with "Total
    Wine" that lacks its account is none. A date is allowed if the cell with the name has no other
    word. A row with a label is a transaction, even where the vendor is called Total; but a label
    that is itself the name of a total is none.

    Where a transaction may lack its label, dates and categories tell it from a total, too. That is
    where labels are filled from above, or the rows have none yet. Without labels, the further lines
    of a voucher may have an amount only: then only a name makes a total.

    Parameters
    ----------
    rows : list of list
        Raw cells.
    columns, filled : dict
        The columns of the ledger, and which of their cells are filled.
    has_labels : bool
        Transactions have labels.

    Returns
    -------
    np.ndarray of bool, shape (rows,)
    """
    label, roles = params.label, params.roles
    total, bare = _total_patterns(params.total_words)
    is_filled_down = not {*params.label_parts}.isdisjoint(params.fill_down)
    may_lack_label = is_filled_down or not has_labels
    speaking = _speaking_columns(roles, may_lack_label)
    mute = ~np.any([filled[name] for name in speaking], axis=0) if speaking else ~filled[label]
    amounts = [filled[name] for name, role in roles.items() if role == "amount"]
    summed = np.any(amounts, axis=0) if amounts else np.ones(len(rows), bool)
    found = ~filled[label] & mute & summed
    voucher = params.voucher_column
    if not has_labels and voucher in params.fill_down and filled[voucher].any():
        found[:] = False
    for i in np.flatnonzero(~filled[label] & ~found):
        cells = [_folded(cell) for cell in rows[i]]
        if named := [cell for cell in cells if total.search(cell)]:
            spoken = {n: _folded(columns[n][i].as_py()) for n in speaking if filled[n][i]}
            others = [name for name, cell in spoken.items() if not total.search(cell)]
            dated = [name for name in others if roles[name] == "date"]
            found[i] = others == dated and (
                not dated or (not may_lack_label and any(map(bare.fullmatch, named)))
            )
    if is_filled_down or len(params.label_parts) > 1:
        found |= mute & summed & _totals_of_headings(columns[label], params)
    return found | _total_labels(columns[label], total, params)


def is_bare_total(text: str, params: IngestParams) -> bool:
    """Return whether a cell has nothing but the name of a total and numbers."""
    return _total_patterns(params.total_words)[1].fullmatch(_folded(text)) is not None


def _totals_of_headings(column: pa.Array, params: IngestParams) -> np.ndarray:
    """Return which labels are the name of a total and another label, as "Total X" or "Total for X
    with sub-accounts" is below X."""
    word = _any_word(params.total_words)
    name = re.compile(rf"^[\W_]*(?:{word})(?![^\W\d_])[\W_]*|[\W_]*(?<![^\W\d_])(?:{word})[\W_]*$")
    labels = {text: _folded(text) for text in pc.unique(column).to_pylist()}
    known = {*labels.values()} - {""}
    totals = []
    for text, folded in labels.items():
        rest = name.sub("", folded)
        if rest != folded and any(f" {label} " in f" {rest} " for label in known):
            totals.append(text)
    return pc.is_in(column, pa.array(totals, pa.string())).to_numpy(zero_copy_only=False)


def _total_labels(column: pa.Array, total: re.Pattern, params: IngestParams) -> np.ndarray:
    """Return which labels are names of totals."""
    cells = pc.utf8_trim_whitespace(column)
    if params.label in params.patterns:
        fit = pc.match_substring_regex(cells, rf"^(?:{params.patterns[params.label]})$")
        odd = pc.invert(fit)
    else:
        odd = pc.is_in(pc.utf8_lower(cells), pa.array(params.total_words, pa.string()))
    odd = pc.and_(odd, pc.not_equal(cells, "")).to_numpy(zero_copy_only=False)
    for i in np.flatnonzero(odd):
        odd[i] = total.search(_folded(cells[i].as_py())) is not None
    return odd
