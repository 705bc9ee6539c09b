"""Sort the rows of a sheet into transactions and rejects."""

from collections import Counter
from dataclasses import replace
from itertools import compress
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.contracts.ingest import REJECTS_SCHEMA, transactions_schema
from stages.lib.contracts.names import MASKED
from stages.lib.errors import UserError
from stages.lib.ledger.broken_letters import find_broken
from stages.lib.ledger.cells import Records, cell_text, writable_cells
from stages.lib.ledger.content import check_content, vocabularies
from stages.lib.ledger.duplicates import tell_lines_apart
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.masking import mask_columns, mask_lists
from stages.lib.ledger.missing_columns import unused_columns
from stages.lib.ledger.reasons import MOVED_HEADER, STRAY_QUOTE
from stages.lib.ledger.rows import find_reasons
from stages.lib.ledger.sheets import Sheet
from stages.lib.params.ingest import IngestParams, Reading


class Part(NamedTuple):
    """Rows of one sheet, sorted.

    Attributes
    ----------
    transactions, rejects : pa.Table
        As in `stages.lib.contracts.ingest`; together they have all rows but the header.
    cells : pa.Table or None
        Where it is asked for: each row's line, the reason why it is not a transaction ("" if it is
        one), and its cells as they are in the file, nothing masked.
    sheet : Sheet
        What was seen in these rows.
    """

    transactions: pa.Table
    rejects: pa.Table
    sheet: Sheet
    cells: pa.Table | None = None


CELLS_SCHEMA = pa.schema(
    {"source_row": pa.int32(), "reason": pa.string(), "cells": pa.list_(pa.string())}
)


def _origin(sheet: Sheet, lines: list[int]) -> list[pa.Array]:
    zeros = pa.array(np.zeros(len(lines), np.int32))
    return [
        pa.DictionaryArray.from_arrays(zeros, pa.array([sheet.file])),
        pa.DictionaryArray.from_arrays(zeros, pa.array([sheet.name])),
        pa.array(lines, pa.int32()),
    ]


def _without_header(records: Records, layout: Layout) -> Records:
    if layout.header_row not in records.lines:
        return records
    at = records.lines.index(layout.header_row)
    rows, lines = list(records.rows), list(records.lines)
    del rows[at], lines[at]
    return records._replace(rows=rows, lines=lines)


def _rejects(sheet: Sheet, records: Records, reasons: np.ndarray, params: IngestParams) -> pa.Table:
    bad = [
        (records.lines[i], reasons[i], writable_cells(records.rows[i]))
        for i in np.flatnonzero(reasons != "")
    ]
    bad += [(line, STRAY_QUOTE, writable_cells([text])) for line, text in records.broken]
    bad.sort()
    return pa.Table.from_arrays(
        [
            *_origin(sheet, [line for line, _, _ in bad]),
            pa.array([reason for _, reason, _ in bad], pa.string()),
            mask_lists([cells for _, _, cells in bad], params),
        ],
        schema=REJECTS_SCHEMA,
    )


def sort_rows(
    records: Records,
    sheet: Sheet,
    reading: Reading,
    params: IngestParams,
    key: bytes,
    has_labels: bool = True,
    keep_cells: bool = False,
) -> Part:
    """Tell transactions from all other rows.

    Parameters
    ----------
    records : Records
        Rows of the sheet; only its header is left out.
    sheet : Sheet
        The sheet, of which nothing was seen yet.
    key : bytes
        Of the digests of masked rows.
    has_labels : bool
        Transactions have labels.
    keep_cells : bool
        Return the cells of all rows, too.

    Raises
    ------
    UserError
        ``header-moved``: the header is there again, over columns in another order.
    """
    is_first = bool(records.lines) and records.lines[0] <= max(1, sheet.layout.header_row)
    records = _without_header(records, sheet.layout)
    rows = find_reasons(records, sheet.layout, reading, params, has_labels)
    columns, reasons = rows.columns, rows.reasons
    if (moved := np.flatnonzero(reasons == MOVED_HEADER)).size:
        raise UserError(
            "header-moved",
            f"{sheet.where}, row {records.lines[moved[0]]}",
            "the header is here again, over columns in another order",
            "move the rows below it into a file or sheet of their own",
        )
    good = reasons == ""
    columns = {name: column.filter(pa.array(good)) for name, column in columns.items()}
    hidden, masked = mask_columns(columns, params, key)
    ids = [name for name, role in params.roles.items() if role == "id"]
    places = set(sheet.layout.places.values())
    if ids and max(sheet.layout.width, len(sheet.layout.header)) > len(places):
        whole = list(compress(records.rows, good))
        hidden[MASKED] = tell_lines_apart(hidden, ids, whole, places, key)
    lines = list(compress(records.lines, good))
    transactions = pa.Table.from_arrays(
        [*_origin(sheet, lines), *hidden.values()],
        schema=transactions_schema(params.roles),
    )
    rejects = _rejects(sheet, records, reasons, params)
    seen = replace(
        sheet,
        rows_read=len(records.rows) + len(records.broken),
        reasons=Counter(rejects["reason"].to_pylist()),
        masked=masked,
        content=check_content(columns, lines, params),
        vocabulary=vocabularies(columns, params) if is_first else {},
        unused=unused_columns(records.rows, good, sheet.layout, params) if is_first else {},
        broken=find_broken(columns, params),
        filling=rows.filling,
        wrapped=rows.wrapped,
        parents=rows.parents,
    )
    return Part(transactions, rejects, seen, _cells(records, reasons) if keep_cells else None)


def _cells(records: Records, reasons: np.ndarray) -> pa.Table:
    rows = [
        (line, reason, [cell_text(cell) for cell in row])
        for line, reason, row in zip(records.lines, reasons.tolist(), records.rows, strict=True)
    ]
    rows += [(line, STRAY_QUOTE, [text]) for line, text in records.broken]
    lines, why, cells = zip(*sorted(rows), strict=True) if rows else ((), (), ())
    cells = [writable_cells(row) for row in cells]
    return pa.Table.from_arrays(
        [
            pa.array(values, kind)
            for values, kind in zip((lines, why, cells), CELLS_SCHEMA.types, strict=True)
        ],
        schema=CELLS_SCHEMA,
    )
