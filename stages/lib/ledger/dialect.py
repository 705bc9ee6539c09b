"""Find the delimiter, the quote and the header of a text file from its beginning."""

from collections import Counter
from itertools import product

from stages.lib.errors import UserError
from stages.lib.ledger.csv_records import DELIMITERS, QUOTES, Dialect, read_records
from stages.lib.ledger.headers import Layout, find_layout
from stages.lib.ledger.text_files import Block
from stages.lib.params.ingest import IngestParams, Reading


def _marked_cells(rows: list[list[str]]) -> int:
    """Return how many cells begin and end with the same quote mark."""
    return sum(len(c) > 1 and c[0] == c[-1] and c[0] in "\"'" for row in rows for c in row)


def find_dialect(
    where: str, sample: Block, encoding: str, reading: Reading, params: IngestParams
) -> tuple[Dialect, Layout]:
    """Return the dialect and the layout of a text file.

    The delimiter and the quote under which the header names the most columns win. Of several, it
    is the pair under which the most lines have as many cells as the header and the fewest cells
    keep quote marks.

    Parameters
    ----------
    where : str
        The file, for messages.
    sample : Block
        Its beginning.

    Raises
    ------
    UserError
        As `find_layout`, for the pair that makes the widest rows.
    """
    delimiters = DELIMITERS if reading.delimiter == "auto" else [reading.delimiter]
    quotes = QUOTES if reading.quote == "auto" else [reading.quote]
    found, failures, tried = [], [], []
    for delimiter, quote in product(delimiters, quotes):
        dialect = Dialect(encoding, delimiter, quote)
        (rows, lines, *_), _ = read_records(sample, dialect, last=False)
        if rows in tried:  # most files have no quotes to differ in
            continue
        tried.append(rows)
        widths = Counter(map(len, rows))
        try:
            layout = find_layout(where, rows, reading, params)
        except UserError as error:
            failures.append((widths.total() and max(widths), error))
            continue
        if layout.header_row:
            layout = layout._replace(header_row=lines[layout.header_row - 1])
        else:
            enough = [w for w in widths if w > max(layout.places.values())]
            layout = layout._replace(width=max(enough, key=widths.get, default=0))
        even = widths[layout.width] - _marked_cells(rows)
        found.append((len(layout.places), even, dialect, layout))
    if not found:
        raise max(failures, key=lambda failure: failure[0])[1]
    return max(found, key=lambda pair: pair[:2])[2:]
