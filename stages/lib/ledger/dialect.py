"""Find the delimiter, the quote and the header of a text file from its beginning."""

from collections import Counter
from itertools import product
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.cells import Records
from stages.lib.ledger.csv_records import DELIMITERS, QUOTES, Dialect, read_records
from stages.lib.ledger.delimiters import even_delimiters, fixed_width_header, header_delimiters
from stages.lib.ledger.header_hints import in_one_cell
from stages.lib.ledger.headers import HEADER_SEARCH_ROWS, Layout, find_layout
from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.text_files import Block
from stages.lib.params.ingest import IngestParams, Reading

# A smaller share of the rows than this has lost a cell.
_FEW = 0.05


class _Try(NamedTuple):
    """What one pair of delimiter and quote makes of a file.

    `score` is larger for a better pair. `layout` is None where none was found.
    """

    score: tuple
    dialect: Dialect
    layout: Layout | None


def _marked_cells(rows: list[list[str]]) -> int:
    """Return how many cells begin and end with the same quote mark."""
    cells = (cell.strip(" ") for row in rows for cell in row)
    return sum(len(c) > 1 and c[0] == c[-1] and c[0] in "\"'" for c in cells)


def _widths(rows: list[list[str]], most: int) -> Counter:
    """Return how many rows have how many cells; empty ones beyond the `most` do not count."""
    return Counter(
        most if len(row) > most and not any(map(str.strip, row[most:])) else len(row)
        for row in rows
    )


def _usual_width(layout: Layout, rows: list[list[str]], positions: dict[str, int]) -> int:
    """Return how many cells a row should have: as many as the header, or as many as most rows where
    the header does not say it.

    The last header cells may be nameless, because its line ends in a delimiter. There may be no
    header, or columns that are not under their names.
    """
    most = len(layout.header)
    if layout.header_row and not positions:
        named = max((at for at, cell in enumerate(layout.header, 1) if cell.strip()), default=most)
        filled = _widths(rows, named)
        width = max(range(most, named - 1, -1), key=lambda width: filled[width])
        if width > named:
            return width
        raw = Counter(map(len, rows))
        return next((w for w in range(named, most) if raw[w] > _FEW * len(rows)), most)
    widths = _widths(rows, most) if most else Counter(map(len, rows))
    enough = [width for width in widths if width > max(layout.places.values())]
    return max(enough, key=lambda width: widths[width], default=most)


def _try(
    where: str, records: Records, dialect: Dialect, reading: Reading, params: IngestParams
) -> _Try:
    rows, lines, *_ = records
    try:
        layout = find_layout(where, rows, reading, params, explain=False)
    except UserError:
        return _Try((max(map(len, rows), default=0),), dialect, None)
    below = rows[layout.header_row :]
    width = _usual_width(layout, below, reading.positions)
    row = layout.header_row and lines[layout.header_row - 1]
    even = _widths(below, width)[width] - _marked_cells(rows)
    score = len(layout.places), even, -(len(layout.header) or width)
    return _Try(score, dialect, layout._replace(header_row=row, width=width))


def _try_all(
    where: str,
    sample: Block,
    encoding: str,
    delimiters: list[str],
    reading: Reading,
    params: IngestParams,
) -> list[_Try]:
    quotes = QUOTES if reading.quote == "auto" else [reading.quote]
    seen, tries = [], []
    for delimiter, quote in product(delimiters, quotes):
        dialect = Dialect(encoding, delimiter, quote)
        records, _ = read_records(sample, dialect, last=False)
        if records.rows not in seen:  # most files have no quotes to differ in
            seen.append(records.rows)
            tries.append(_try(where, records, dialect, reading, params))
    return tries


def find_dialect(
    where: str, sample: Block, encoding: str, reading: Reading, params: IngestParams
) -> tuple[Dialect, Layout]:
    """Return the dialect and the layout of a text file.

    The delimiter and the quote under which the header names the most columns win. Of several, it
    is the pair under which the most lines have as many cells as the header and the fewest cells
    keep quote marks; then the one that makes the fewest header cells.

    Parameters
    ----------
    where : str
        The file, for messages.
    sample : Block
        Its beginning.

    Raises
    ------
    UserError
        As `find_layout`, for the pair that makes the widest rows. ``fixed-width``: there are no
        delimiters.
    """
    lines = [line for line in sample.text.split("\n")[:HEADER_SEARCH_ROWS] if line.strip()]
    names = {name: column.names for name, column in params.columns.items()}
    required = set(params.required) - set(reading.positions)
    if reading.delimiter != "auto":
        delimiters = [reading.delimiter]
    else:
        others = header_delimiters(lines, names, required) if required else []
        delimiters = [*DELIMITERS, *(d for d in others if d not in DELIMITERS.values())]
    tries = _try_all(where, sample, encoding, delimiters, reading, params)
    found = [tried for tried in tries if tried.layout]
    if reading.delimiter == "auto" and not required:
        others = even_delimiters(lines, max(reading.positions.values()))
        if found:  # one that has another one in it, such as |~|
            known = {DELIMITERS[tried.dialect.delimiter] for tried in found}
            others = [d for d in others if any(len(d) > 1 and sign in d for sign in known)]
        tries += _try_all(where, sample, encoding, others, reading, params)
        found = [tried for tried in tries if tried.layout]
    if found:
        best = max(found, key=lambda tried: tried.score)
        return best.dialect, best.layout
    widest = max(tries, key=lambda tried: tried.score).dialect
    try:
        return widest, find_layout(
            where, read_records(sample, widest, last=False)[0].rows, reading, params
        )
    except UserError as error:
        if error.code == "header-not-found":
            _refuse_fixed_width(where, lines, names, required, params)
            _refuse_given(where, sample, encoding, reading, params)
            whole = read_records(sample, Dialect(encoding, "comma", "double"), last=False)[0].rows
            action = in_one_cell(whole[:HEADER_SEARCH_ROWS], names, required) or error.action
            read_as = f" (read in {encoding}, with {widest.delimiter!r} as the delimiter)"
            raise UserError(error.code, where, error.problem + read_as, action) from None
        raise


def _refuse_fixed_width(
    where: str,
    lines: list[str],
    names: dict[str, list[str]],
    required: set[str],
    params: IngestParams,
) -> None:
    header = fixed_width_header(lines, names, required) if len(required) > 1 else None
    if header is not None:
        raise UserError(
            "fixed-width",
            where,
            "its columns have a fixed width and no delimiter between them: "
            f"{mask_personal(header, params.mask)[0][:300]!r}",
            "export it with a delimiter (.csv), or import it into a spreadsheet as columns of "
            "fixed width and save it as .xlsx",
        )


def _refuse_given(
    where: str, sample: Block, encoding: str, reading: Reading, params: IngestParams
) -> None:
    """Raise UserError if the header is found with another delimiter or quote than the given one."""
    for key in ("delimiter", "quote"):
        if getattr(reading, key) == "auto":
            continue
        other = reading.model_copy(update={key: "auto"})
        try:
            dialect, _ = find_dialect(where, sample, encoding, other, params)
        except UserError:
            continue
        raise UserError(
            "header-not-found",
            where,
            f"ingest.reading has {key} {getattr(reading, key)!r} for it, under which no row names "
            f"the required columns; under {getattr(dialect, key)!r} one does",
            f"set {key}: auto, or give the file an entry of its own in ingest.reading, before the "
            "one that now applies",
        )
