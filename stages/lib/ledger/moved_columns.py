"""Notice columns that are missing, or that are under the header of another column."""

from collections import Counter
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.errors import UserError
from stages.lib.ledger.content import AMOUNT, Content, expected_pattern, fitting
from stages.lib.ledger.header_names import header_key, name_cells, similarity
from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.sheets import Sheet
from stages.lib.params.ingest import IngestParams

# Fewer wrong cells than this are ignored.
MIN_WRONG = 3

_MOVED = "if the header is over other columns, give the positions for this file in ingest.reading"


def check_sheets(sheets: list[Sheet], params: IngestParams, optional: Collection[str] = ()) -> None:
    """Check that the columns of all sheets are what their headers say; those that are `optional`
    may be in no sheet.

    Raises
    ------
    UserError
        ``column-content``: cells do not look like what their column should have.
        ``column-not-found``: no sheet has the column. ``column-moved``: the values of a column are
        those of another column in other sheets.
    """
    for sheet in sheets:
        for name, content in sheet.content.items():
            _check_content(sheet, name, content, params)
    check_found(sheets, params, optional)
    check_vocabularies(sheets, params)


def _check_content(sheet: Sheet, name: str, content: Content, params: IngestParams) -> None:
    filled, right, wrong, row = content
    if filled - right < MIN_WRONG or right >= params.min_content_match * filled:
        return
    common = [w for w, _ in sheet.vocabulary.get(name, Counter()).most_common(3)]
    shown = ", ".join(repr(mask_personal(w, params.mask)[0][:50]) for w in common)
    raise UserError(
        "column-content",
        sheet.where,
        f"only {right:,} of {filled:,} cells of the column {sheet.heading(name, params)} look like "
        f"{name} ({params.patterns.get(name) or params.columns[name].role}); row {row} has "
        f"{wrong!r}" + (f", the most frequent are {shown}" if shown else ""),
        _content_action(sheet, name, wrong, params),
    )


def _content_action(sheet: Sheet, name: str, wrong: str, params: IngestParams) -> str:
    pattern = expected_pattern(name, params)
    # What looks like an amount may be "shop 1".
    others = sheet.vocabulary if pattern != AMOUNT else {}
    for other, words in others.items():
        values = pa.array(list(words), pa.string())
        if other != name and words and pc.all(fitting(values, pattern)).as_py():
            place = sheet.layout.places[other] + 1
            return (
                f"the column {sheet.heading(other, params)} does: if the header is over other "
                f"columns, set positions: {{{name}: {place}, ...}} for this file in ingest.reading"
            )
    if name in params.patterns:
        action = f"{_MOVED}; if it is the right column, let ingest.patterns.{name} fit its cells"
    else:
        role = params.columns[name].role
        action = (
            f"{_MOVED}; if it is the right column but has no {role}s, give it another role in "
            "ingest.columns, or lower ingest.min_content_match"
        )
    if name == params.label and wrong.removesuffix(".0").isdigit():
        action += (
            ". If codes lost their leading zeros, let the pattern have fewer digits and set "
            "preprocess.labels.pad_to"
        )
    return action


def check_found(sheets: list[Sheet], params: IngestParams, optional: Collection[str] = ()) -> None:
    """Raise UserError, ``column-not-found``, if no sheet has a column that has names and is not
    `optional`: it would be empty everywhere."""
    headers = [sheet.layout for sheet in sheets if sheet.layout.places]
    found = {name for layout in headers for name in layout.places}
    for name, column in params.columns.items():
        if headers and name not in found and column.names and name not in optional:
            cells = {
                cell: similarity(header_key(cell), column.names)
                for layout in headers
                for place, cell in enumerate(name_cells(layout.header))
                if cell and place not in layout.places.values()
            }
            nearest = " | ".join(sorted(cells, key=cells.get, reverse=True)) or "none"
            nearest = mask_personal(nearest, params.mask)[0]
            raise UserError(
                "column-not-found",
                f"params.yaml: ingest.columns.{name}",
                f"no header matches {' / '.join(column.names)!r}, and ingest.reading gives no "
                f"position; nearest header cells that no column took: {nearest[:300]}",
                f"add the right one to ingest.columns.{name}.names, or take the column out",
            )


def check_vocabularies(sheets: list[Sheet], params: IngestParams) -> None:
    """Raise UserError, ``column-moved``, if the values of a column are, in the other sheets, those
    of another column."""
    spread = {name: Counter() for name in params.columns}
    for sheet in sheets:
        for name, words in sheet.vocabulary.items():
            spread[name].update(words.keys())
    for sheet in sheets:
        for name, words in sheet.vocabulary.items():
            total, right = words.total(), known_cells(words, spread[name], words)
            if 3 * right >= total:  # no other column can have three times as many
                continue
            known = {
                other: known_cells(words, spread[other], own)
                for other, own in sheet.vocabulary.items()
            }
            best = max(known, key=known.get)
            if known[best] > 0.5 * total and known[best] > 3 * right:
                value = next(w for w in words if w in spread[best])
                raise UserError(
                    "column-moved",
                    sheet.where,
                    f"the column {sheet.heading(name, params)} should be {name}, but has the "
                    f"values that {best} has in other files, such as "
                    f"{mask_personal(value, params.mask)[0]!r}",
                    f"{_MOVED}, such as {best}: {sheet.layout.places[name] + 1}",
                )


def known_cells(words: Counter, spread: Counter, own: Counter) -> int:
    """Return how many cells have a value that a column has in other sheets.

    Parameters
    ----------
    words : Counter
        The values of the cells.
    spread : Counter
        In how many sheets the column has each value.
    own : Counter
        Its values in this sheet.
    """
    return sum(n for word, n in words.items() if spread.get(word, 0) > (word in own))
