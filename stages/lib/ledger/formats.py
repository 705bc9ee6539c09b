"""How a file writes the dates and amounts of a column."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.errors import UserError
from stages.lib.ledger.source import fits
from stages.lib.params.preprocess import OtherFormat, PreprocessParams

# A file of the ledger, and one of its columns.
Place = tuple[str, str]

Order = Literal["ymd", "dmy", "mdy"]


class Format(NamedTuple):
    """How a file writes the cells of a column.

    Attributes
    ----------
    date_order : {"ymd", "dmy", "mdy"}
    decimal : {"point", "comma"}
    typed_dates : {"swapped", "as_is"}, optional
    by_entry : frozenset of str
        Which of these keys an entry of ``preprocess.other_formats`` gives, so that nothing is in
        doubt.
    """

    date_order: Order
    decimal: Literal["point", "comma"]
    typed_dates: Literal["swapped", "as_is"] | None = None
    by_entry: frozenset[str] = frozenset()


def _entry_of(file: str, column: str, entries: list[OtherFormat]) -> OtherFormat | None:
    for entry in entries:
        if fits(file, entry.match) and (entry.columns is None or column in entry.columns):
            return entry
    return None


def format_of(file: str, column: str, params: PreprocessParams) -> Format:
    """Return how `file` writes `column`: as the first entry of ``other_formats`` that fits says."""
    general = Format(params.date_order, params.decimal)
    entry = _entry_of(file, column, params.other_formats)
    if entry is None:
        return general
    keys = ("date_order", "decimal", "typed_dates")
    given = {key: value for key in keys if (value := getattr(entry, key)) is not None}
    return general._replace(**given, by_entry=frozenset(given))


def unused_entries(files: Iterable[str], params: PreprocessParams) -> list[UserError]:
    """Return a remark for each entry of ``other_formats`` that fits none of `files`."""
    files = sorted(files)
    return [
        UserError(
            "entry-unused",
            f"params.yaml: preprocess.other_formats[{place}]",
            f"match {entry.match!r} fits none of the {len(files):,} files, such as "
            f"{', '.join(files[:3])}",
            "correct it, or remove the entry",
        )
        for place, entry in enumerate(params.other_formats)
        if not any(fits(file, entry.match) for file in files)
    ]


def read_by_format(
    raw: pa.Table,
    name: str,
    params: PreprocessParams,
    read: Callable[[pa.Array, Format], pa.Array],
) -> pa.Array:
    """Return the cells of the column `name`, read as the file of each writes them.

    Parameters
    ----------
    raw : Table
    name : str
    params : PreprocessParams
    read : callable
        Takes cells and their format, and returns values, null for empty cells.
    """
    cells = raw[name].combine_chunks()
    if not params.other_formats:
        return read(cells, Format(params.date_order, params.decimal))
    files = raw["source_file"].combine_chunks().cast(pa.string())
    by_format = {}
    for file in pc.unique(files).to_pylist():
        by_format.setdefault(format_of(file, name, params), []).append(file)
    if len(by_format) == 1:
        return read(cells, *by_format)
    values = None
    for how, those in by_format.items():
        here = pc.is_in(files, pa.array(those, pa.string()))
        part = read(pc.if_else(here, cells, ""), how)
        values = part if values is None else pc.if_else(here, part, values)
    return values if values is not None else read(cells, Format(params.date_order, params.decimal))
