"""Read rows that have no account yet, as the base table has them.

Memory does not grow with the rows: they are read part by part into a folder, looked through, and
then returned part by part, each row once and in its order.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.checksums import digests_of
from stages.lib.contracts.names import AMOUNT_BUCKET, DATE, GROUP
from stages.lib.errors import UserError, UserErrors
from stages.lib.ledger.base_table import make_base_table
from stages.lib.ledger.cleaning import clean_groups, clean_rows
from stages.lib.ledger.cleaning_report import Tally
from stages.lib.ledger.columns import select_columns, without_labels
from stages.lib.ledger.header_names import header_key
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.reading import read_ledger, read_parts
from stages.lib.ledger.reading_report import Seen, check_and_report
from stages.lib.ledger.reasons import NOT_TRANSACTIONS
from stages.lib.ledger.source import Source, find_files, unchanged_files
from stages.lib.params.feature import FeatureParams
from stages.lib.params.ingest import OF_LABELS, IngestParams
from stages.lib.tables import read_table, write_table


class SpooledPart(NamedTuple):
    """Rows of one sheet, on disk.

    Attributes
    ----------
    file, sheet : str
    layout : Layout
    transactions, cells : Path
        Of the tables that `stages.lib.ledger.sorting.Part` describes.
    """

    file: str
    sheet: str
    layout: Layout
    transactions: Path
    cells: Path


class Spooled(NamedTuple):
    """New rows that were read.

    Attributes
    ----------
    parts : list of SpooledPart
    titles : list of str
        The columns of all files, in the order in which they first appear; "" for one without a
        title.
    places : list of list of int
        For each part, where in `titles` each cell of a row belongs.
    rows : int
    digests : list of dict
        Name and SHA-256 of each file, as it was read.
    remarks : list of str
        What the user should know about the files.
    """

    parts: list[SpooledPart]
    titles: list[str]
    places: list[list[int]]
    rows: int
    digests: list[dict[str, str]]
    remarks: list[str]


class NewPart(NamedTuple):
    """Rows of one sheet, in their order.

    Attributes
    ----------
    file, sheet : str
    lines : list of int
        The number of each row in its sheet.
    cells : list of list of str
        As they are in the file.
    reasons : list of str
        Why each row cannot be coded; "" where it can.
    base : Table
        The rows that can be coded, as a base table without accounts.
    places : ndarray of int
        Where in `lines` each row of `base` is.
    """

    file: str
    sheet: str
    lines: list[int]
    cells: list[list[str]]
    reasons: list[str]
    base: pa.Table
    places: list[int]


def find_new_files(sources: Sequence[str], patterns: list[str]) -> Source:
    """Return the files of all `sources`, each a file or a folder.

    Raises
    ------
    UserError
        As `find_files`; ``file-twice``: two files would have the same name in the result.
    """
    files, left_out, taken = [], [], {}
    for source in sources:
        found = find_files(source, patterns)
        left_out += found.left_out
        for path, name in found.files:
            if taken.setdefault(name, path) is not path:
                problem = f"has the name {name}, as {taken[name]} has"
                action = "name each file once, or name the folder above both"
                raise UserError("file-twice", path, problem, action)
            files.append((path, name))
    return Source(files, left_out)


def spool_new_rows(sources: Sequence[str], params: SimpleNamespace, folder: Path) -> Spooled:
    """Read new rows into tables in `folder`.

    Parameters
    ----------
    sources : sequence of str
        Files and folders. Accounts, if they have any, are not read.
    params : SimpleNamespace
        The sections ``ingest`` and ``feature``.
    folder : Path
        Takes the rows as they are, also what is masked elsewhere: it should be deleted after use.

    Raises
    ------
    UserError
        A file cannot be read, lacks a column that the model sees, or was saved while it was read.
    """
    find = partial(find_new_files, sources, params.ingest.files)
    with unchanged_files(find) as source:
        paths = [path for path, _ in source.files]
        return _spool(source, digests_of(paths), sources, params, folder)


def _spool(
    source: Source,
    digests: list[dict[str, str]],
    sources: Sequence[str],
    params: SimpleNamespace,
    folder: Path,
) -> Spooled:
    ingest = without_labels(params_of_new_rows(params.ingest, params.feature)[0])
    ingest = ingest.model_copy(update={"source": ", ".join(sources)})
    optional = set(ingest.columns) - shaping_columns(params.ingest, params.feature)
    seen, parts, titles, places, rows = Seen(), [], _Titles(), [], 0
    for number, part in enumerate(read_parts(source, ingest, False, keep_cells=True)):
        seen.add(part)
        rows += part.cells.num_rows
        paths = [folder / f"{number:06}-{kind}.parquet" for kind in ("transactions", "cells")]
        write_table(part.transactions, paths[0])
        write_table(part.cells, paths[1])
        sheet, layout = part.sheet, part.sheet.layout
        parts.append(SpooledPart(sheet.file, sheet.name, layout, *paths))
        last = max(layout.places.values(), default=-1)
        width = max(_width(part.cells["cells"]), len(layout.header), last + 1)
        places.append(titles.place(layout.header, width))
    report = check_and_report(seen, source.left_out, ingest, optional)
    return Spooled(parts, titles.found, places, rows, digests, report.get("remarks", []))


def _width(rows: pa.ChunkedArray) -> int:
    """Return the number of cells up to the last one that is filled, in the longest of the rows."""
    rows = rows.combine_chunks()
    length = pc.list_value_length(rows).to_numpy()
    start = np.repeat(np.cumsum(length) - length, length)
    filled = np.flatnonzero(pc.not_equal(rows.flatten(), "").to_numpy(zero_copy_only=False))
    return int((filled - start[filled]).max(initial=-1)) + 1


class _Titles:
    """The columns of several sheets: those with the same title are the same column."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._number: dict[tuple[str, int], int] = {}

    def place(self, header: Sequence[str], width: int) -> list[int]:
        """Return the number of the column of each cell of a sheet's rows.

        The second column of a title is another one than the first, and a column without a title is
        known by its place.
        """
        seen, places = Counter(), []
        for place in range(width):
            title = " ".join(header[place].split()) if place < len(header) else ""
            key = header_key(title)
            which = (key, seen[key]) if key else ("", place)
            seen[key] += 1
            if which not in self._number:
                self._number[which] = len(self.found)
                self.found.append(title)
            places.append(self._number[which])
        return places


def read_new_parts(spooled: Spooled, params: SimpleNamespace, tally: Tally) -> Iterator[NewPart]:
    """Yield the rows that were spooled, in their order.

    Parameters
    ----------
    spooled : Spooled
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess`` and ``feature``.
    tally : Tally
        Counts the rows, and takes what the user should know about them.
    """
    feature = params_of_new_rows(params.ingest, params.feature)[1]
    groups = [partial(read_table, part.transactions) for part in spooled.parts]
    tell = tally.told.append
    cleaned = clean_groups(groups, params.preprocess, has_labels=False, is_ledger=False, tell=tell)
    for part, clean in zip(spooled.parts, cleaned, strict=True):
        tally.add(*clean)
        cells = read_table(part.cells)
        lines, reasons = cells["source_row"].to_pylist(), cells["reason"].to_pylist()
        unclean = {
            row["source_row"]: f"{row['reason']} in {row['column']}"
            for row in clean.rejects.select(["source_row", "reason", "column"]).to_pylist()
        }
        reasons = [
            reason or unclean.get(line, "") for line, reason in zip(lines, reasons, strict=True)
        ]
        places = [place for place, reason in enumerate(reasons) if not reason]
        base = make_base_table(clean.taken, feature)
        if base["source_row"].to_pylist() != [lines[place] for place in places]:
            raise RuntimeError(f"{part.file}: rows were lost or moved")
        yield NewPart(
            part.file, part.sheet, lines, cells["cells"].to_pylist(), reasons, base, places
        )


def is_no_transaction(reason: str) -> bool:
    """Return whether a row with this reason is none, such as a subtotal or a blank row."""
    return reason in NOT_TRANSACTIONS


def read_posted_rows(source: str, params: SimpleNamespace) -> tuple[pa.Table, Counter, list[str]]:
    """Return the rows of a file or folder of posted transactions, as a base table with accounts,
    the reasons why others cannot be used, with their numbers, and remarks about its values.

    The files must have the columns that new rows must have, and the account. The account's name
    may be missing.

    Parameters
    ----------
    source : str
        File or folder in the form of the ledger.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess`` and ``feature``.

    Raises
    ------
    UserError
        A file cannot be read, lacks a required column, or has no posted row.
    """
    ingest, feature = params_of_new_rows(params.ingest, params.feature)
    labels = {n for n, column in params.ingest.columns.items() if column.role in OF_LABELS}
    required = [*dict.fromkeys([*ingest.required, ingest.label])]
    ingest = select_columns(params.ingest, {*ingest.columns, *labels}).model_copy(
        update={"source": source, "max_reject_fraction": 1.0, "required": required}
    )
    accounts = {name for name in labels if params.ingest.columns[name].role != "label_name"}
    optional = set(ingest.columns) - shaping_columns(params.ingest, params.feature) - accounts
    preprocess = params.preprocess.model_copy(update={"max_reject_fraction": 1.0})
    ledger = read_ledger(ingest, optional=optional)
    try:
        cleaned = clean_rows(ledger.transactions, preprocess, is_ledger=False)
    except UserError as error:
        if error.code != "too-many-rejects":
            raise
        first = error.errors[0] if isinstance(error, UserErrors) else error
        action = "correct the file, or the keys of preprocess that say how its columns are read"
        problem = f"has no row that can be used: {first.problem.partition('%: ')[2]}"
        raise UserError("no-posted-row", source, problem, action) from None
    reasons = refused_reasons(ledger.rejects, cleaned.rejects)
    return make_base_table(cleaned.transactions, feature), reasons, cleaned.remarks


def shaping_columns(ingest: IngestParams, feature: FeatureParams) -> set[str]:
    """Return the columns that shape what the model sees."""
    own = set()
    if AMOUNT_BUCKET in feature.fields:
        own |= {feature.amount_column, feature.credit_column}
    if DATE in feature.fields:
        own.add(feature.date_column)
    if GROUP in feature.fields:
        own.add(feature.group_column)
    unknown = {n for n, role in ingest.roles.items() if role in ("id", *OF_LABELS)}
    return {*feature.fields, *own} & ingest.roles.keys() - unknown


def params_of_new_rows(
    ingest: IngestParams, feature: FeatureParams
) -> tuple[IngestParams, FeatureParams]:
    """Return the sections ``ingest`` and ``feature`` for new rows.

    Columns that the model does not see may be missing there: those of the date, the amount, the
    vendor, and those that say which rows belong together. All others are left out. No share of
    refused rows is too large, because each of them is listed.
    """
    seen = shaping_columns(ingest, feature)
    shown = {feature.date_column, feature.amount_column, feature.credit_column}
    used = seen | (shown & ingest.roles.keys()) | _columns_for_rows_below(ingest)
    rows = select_columns(ingest, {*used, ingest.label})
    required = [name for name in rows.required if name in seen]
    rows = rows.model_copy(
        update={
            "required": required or [name for name in feature.fields if name in seen][:1],
            "max_reject_fraction": 1.0,
        }
    )
    group = feature.group_column if feature.group_column in used else None
    return rows, feature.model_copy(update={"group_column": group})


def _columns_for_rows_below(ingest: IngestParams) -> set[str]:
    """Return the columns that say which rows belong together."""
    if not ingest.depends_on_rows_above:
        return set()
    texts = {name for name in ingest.wrapped if ingest.roles[name] not in OF_LABELS}
    return texts | {name for name, role in ingest.roles.items() if role == "id"}


def refused_reasons(unread: pa.Table, unclean: pa.Table) -> Counter:
    """Return how many rows reading or cleaning refused, by reason; those without content are left
    out."""
    reasons = Counter(r for r in unread["reason"].to_pylist() if not is_no_transaction(r))
    for row in unclean.select(["reason", "column"]).to_pylist():
        reasons[f"{row['reason']} in {row['column']}"] += 1
    return reasons
