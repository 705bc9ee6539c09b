"""Name the columns that a sheet lacks and other sheets have, where it may have them too, under a
header that no name fits."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import compress

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.cells import writable_cells
from stages.lib.ledger.content import CHECKED_CELLS, expected_pattern, fitting, vocabulary
from stages.lib.ledger.header_names import header_key, name_cells, similarity
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.sheets import Sheet
from stages.lib.params.ingest import IngestParams

# A header that is so similar to a name of the column is another spelling of it.
_SIMILAR = 0.7
# A column with this share of its cells among the values that other sheets have is the same one.
_KNOWN = 0.4
# Columns of these roles have other values in every sheet, so a header that is new counts as well.
_FREE = ("text", "group", "date", "amount")
# Share of the cells that look like dates, or amounts.
_MOST = 0.8


def lacking_columns(layout: Layout, params: IngestParams) -> list[str]:
    """Return the columns that have names, of which none is in the header."""
    return [n for n, column in params.columns.items() if column.names and n not in layout.places]


def unused_columns(
    rows: list[list], good: Iterable[bool], layout: Layout, params: IngestParams
) -> dict[str, Counter]:
    """Return the most frequent values of each column that no name fits, by its header or, if that
    is empty, its number; nothing where no column is lacking.

    Parameters
    ----------
    good : iterable of bool
        Which rows are transactions.
    """
    if not layout.places or not lacking_columns(layout, params):
        return {}
    rows = list(map(writable_cells, compress(rows, good)))[: 10 * CHECKED_CELLS]
    names = dict(enumerate(name_cells(layout.header)))
    used, found = set(layout.places.values()), {}
    for place in range(max(map(len, rows), default=0)):
        if place not in used:
            cells = pa.array([row[place] if place < len(row) else "" for row in rows], pa.string())
            if words := vocabulary(cells):
                found[names.get(place) or f"column {place + 1}"] = words
    return found


def missing_columns(sheets: list[Sheet], params: IngestParams) -> list[str]:
    """Return one line for each column that is empty in a sheet, though another sheet has it and
    this one has a header that may be it.

    A header that a sheet with the column has, too, is another column. Of the others, one counts
    if it is spelt almost like the column, if it has the same values, or, where values differ from
    sheet to sheet anyway, if its values are of the same kind.
    """
    sheets = [sheet for sheet in sheets if sheet.layout.places]
    alike = defaultdict(list)
    for sheet in sheets:
        for column, header in _likeliest(sheet, sheets, params).items():
            alike[column, header].append(sheet)
    lines = []
    for (column, header), found in alike.items():
        others = f" and {len(found) - 1} other sheets" if len(found) > 1 else ""
        rows = sum(sheet.rows_read - sheet.reasons.total() for sheet in found)
        shown = mask_personal(header, params.mask)[0]
        lines.append(
            f"{found[0].where}{others}: no header fits {column}, which is empty in {rows:,} rows; "
            f"likeliest: {shown!r}. If it is {column}, add it to ingest.columns.{column}.names"
        )
    return lines


def _likeliest(sheet: Sheet, sheets: list[Sheet], params: IngestParams) -> dict[str, str]:
    """Return the likeliest header of each column that `sheet` lacks; no header counts twice."""
    ranks = []
    for column in lacking_columns(sheet.layout, params):
        peers = [peer for peer in sheets if column in peer.layout.places]
        taken = {header_key(name) for peer in peers for name in name_cells(peer.layout.header)}
        names = [*params.columns[column].names, *(_name(peer, column) for peer in peers)]
        for header, words in sheet.unused.items():
            if peers and header_key(header) not in taken:
                likeness = similarity(header_key(header), names)
                if rank := _rank(words, column, peers, likeness, params):
                    ranks.append((rank, column, header))
    found = {}
    for _, column, header in sorted(ranks, key=lambda rank: -rank[0]):
        if column not in found and header not in found.values():
            found[column] = header
    return {column: found[column] for column in params.columns if column in found}


def _name(sheet: Sheet, column: str) -> str:
    place = sheet.layout.places[column]
    return sheet.layout.header[place] if place < len(sheet.layout.header) else ""


def _rank(
    words: Counter, column: str, peers: list[Sheet], likeness: float, params: IngestParams
) -> float:
    """Return how likely a column with the values `words` is `column`; 0 if it is not."""
    role, values = params.columns[column].role, list(words)
    expected = expected_pattern(column, params)
    if expected and _share(values, expected) < _MOST:
        return 0
    of_peers = sum((peer.vocabulary.get(column, Counter()) for peer in peers), Counter())
    known = sum(n for word, n in words.items() if word in of_peers) / words.total()
    if likeness >= _SIMILAR or known >= _KNOWN:
        return 1 + likeness + known
    same_kind = role in _FREE and (expected or _same_kind(values, list(of_peers)))
    return 0.1 + likeness / 2 + known if same_kind else 0


def _share(values: list[str], pattern: str) -> float:
    return pc.mean(fitting(pa.array(values, pa.string()), pattern)).as_py() or 0


def _same_kind(values: list[str], others: list[str]) -> bool:
    """Return whether both are texts with letters, or both are none, and of a similar length."""
    if not others:
        return False
    letters = [_share(cells, r"\pL\pL") for cells in (values, others)]
    short, long = sorted(sum(map(len, cells)) / len(cells) for cells in (values, others))
    return abs(letters[0] - letters[1]) < 0.5 and long < 4 * short
