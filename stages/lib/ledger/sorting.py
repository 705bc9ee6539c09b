"""Sort the rows of a sheet into transactions and rejects."""

from collections import Counter
from dataclasses import replace
from itertools import compress
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.contracts.ingest import REJECTS_SCHEMA, transactions_schema
from stages.lib.errors import UserError
from stages.lib.ledger.cells import Records, writable_cells
from stages.lib.ledger.content import check_content, vocabularies
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.masking import mask_columns, mask_lists
from stages.lib.ledger.rows import MOVED_HEADER, find_reasons
from stages.lib.ledger.sheets import Sheet
from stages.lib.params.ingest import IngestParams, Reading


class Part(NamedTuple):
    """Rows of one sheet, sorted.

    Attributes
    ----------
    transactions, rejects : pa.Table
        As in `stages.lib.contracts.ingest`; together they have all rows but the header.
    sheet : Sheet
        What was seen in these rows.
    """

    transactions: pa.Table
    rejects: pa.Table
    sheet: Sheet


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
    bad += [(line, "stray quote", writable_cells([text])) for line, text in records.broken]
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

    Raises
    ------
    UserError
        ``header-moved``: the header is there again, over columns in another order.
    """
    is_first = bool(records.lines) and records.lines[0] <= max(1, sheet.layout.header_row)
    records = _without_header(records, sheet.layout)
    columns, reasons = find_reasons(records, sheet.layout, reading, params, has_labels)
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
    transactions = pa.Table.from_arrays(
        [*_origin(sheet, list(compress(records.lines, good))), *hidden.values()],
        schema=transactions_schema(params.roles),
    )
    rejects = _rejects(sheet, records, reasons, params)
    seen = replace(
        sheet,
        rows_read=len(records.rows) + len(records.broken),
        reasons=Counter(rejects["reason"].to_pylist()),
        masked=masked,
        content=check_content(columns, params),
        vocabulary=vocabularies(columns, params) if is_first else {},
    )
    return Part(transactions, rejects, seen)
