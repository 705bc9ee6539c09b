"""See in all rows together how each file writes dates and amounts."""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.roles import column_roles
from stages.lib.ledger.date_orders import Cells, find_date_orders, merge_dates, seen_dates
from stages.lib.ledger.decimal_signs import (
    Forms,
    find_decimal_signs,
    merge_amounts,
    seen_amounts,
)
from stages.lib.ledger.format_findings import Told, tell_findings
from stages.lib.ledger.formats import Place, unused_entries
from stages.lib.params.preprocess import PreprocessParams


class FormatScan(NamedTuple):
    """What some rows say about the dates and amounts of their files."""

    files: list[str]
    dates: dict[Place, Cells]
    amounts: dict[Place, Forms]


def scan_formats(raw: pa.Table) -> FormatScan:
    """Return what `raw` says about the dates and amounts of its files."""
    dates, amounts = {}, {}
    for name, role in column_roles(raw.schema).items():
        if role == "date":
            dates |= seen_dates(raw, name)
        elif role == "amount":
            amounts |= seen_amounts(raw, name)
    files = pc.unique(raw["source_file"].cast(pa.string())).to_pylist()
    return FormatScan(files, dates, amounts)


def find_formats(scans: list[FormatScan], params: PreprocessParams, is_ledger: bool) -> list[Told]:
    """Return a line for each thing that is wrong or in doubt, the sure ones first.

    Parameters
    ----------
    scans : list of FormatScan
        Of all rows, in their order.
    params : PreprocessParams
    is_ledger : bool
        These are all files of the ledger, not new ones.
    """
    dates, amounts = {}, {}
    for scan in scans:
        merge_dates(dates, scan.dates)
        merge_amounts(amounts, scan.amounts)
    orders, dated = find_date_orders(dates, params)
    signs, counted = find_decimal_signs(amounts, params)
    names = {column for _, column in dates}
    told = tell_findings([*orders, *signs], dated | counted, names, params, is_ledger)
    if is_ledger:
        files = {file for scan in scans for file in scan.files}
        told += [Told("", False, error) for error in unused_entries(files, params)]
    return told
