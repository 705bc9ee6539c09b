"""Turn raw rows into clean rows: text in one form, days, amounts, accounts.

Rows are read and cleaned in groups, so that memory does not grow with the ledger. Some rows can
only be decided once all of them were seen: duplicates, masked accounts that a name reveals, and
days that may be dates. So each group is read twice: first it is scanned, then it is cleaned.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import ORIGIN
from stages.lib.contracts.preprocess import rejects_schema, transactions_schema
from stages.lib.contracts.roles import column_of_role, column_roles
from stages.lib.ledger.account_spellings import count_forms
from stages.lib.ledger.accounts import (
    chart_of_accounts,
    count_accounts,
    count_names,
    unique_codes,
)
from stages.lib.ledger.clean_columns import (
    NO_ACCOUNT,
    Column,
    clean_amounts,
    clean_dates,
    clean_labels,
    clean_texts,
)
from stages.lib.ledger.cleaning_report import Tally
from stages.lib.ledger.date_doubts import dates_of_digits, may_lack_zeros
from stages.lib.ledger.duplicates import KEPT, REFUSED, Listed, find_repeated, list_rows
from stages.lib.ledger.format_findings import Told
from stages.lib.ledger.format_scan import FormatScan, find_formats, scan_formats
from stages.lib.ledger.formats import Place, format_of
from stages.lib.ledger.noted_cells import REPEATED, Noted, note_cells, note_rows
from stages.lib.parallel import map_ordered
from stages.lib.params.preprocess import PreprocessParams

# Reads the same rows at each call. Other processes call it too, so it must be picklable.
Group = Callable[[], pa.Table]


class Cleaned(NamedTuple):
    """Clean rows.

    Attributes
    ----------
    transactions : Table
        With the schema that ``contracts/preprocess.py`` gives.
    rejects : Table
        The origin of each refused row, the reason, and the column that it is about.
    accounts : Table
        The chart of accounts. Without labels it is empty.
    report : dict
        Counts of rows, reasons and emptied cells.
    remarks : list of str
        What a user should look at, one line each.
    """

    transactions: pa.Table
    rejects: pa.Table
    accounts: pa.Table
    report: dict
    remarks: list[str]


def clean_rows(
    raw: pa.Table, params: PreprocessParams, *, has_labels: bool = True, is_ledger: bool = True
) -> Cleaned:
    """Return the rows of a ledger in clean form.

    Parameters
    ----------
    raw : Table
        As `read_ledger` returns them, with the role of each column.
    params : PreprocessParams
    has_labels : bool
        False for new rows, which have no account yet. Their accounts are left empty. No row is
        refused for its account or as a duplicate, and only a table without any good row is an
        error; what else would be one is a remark.
    is_ledger : bool
        These are all rows of the ledger, not new ones.

    Raises
    ------
    UserError
        As `Tally.check`.
    """
    tally = Tally()
    groups = [partial(_same, raw)]
    (part,) = clean_groups(
        groups, params, has_labels=has_labels, is_ledger=is_ledger, tell=tally.told.append
    )
    tally.add(*part)
    tally.check(len(raw), params, has_labels)
    accounts = chart_of_accounts(tally.accounts)
    report = tally.report()
    return Cleaned(part.taken, part.rejects, accounts, report, report.get("remarks", []))


def _same(table: pa.Table) -> pa.Table:
    return table


class Part(NamedTuple):
    """The clean rows of one group, and what was refused, emptied, counted and noted there.

    `forms` are those of accounts that the pattern refuses.
    """

    taken: pa.Table
    rejects: pa.Table
    emptied: Counter
    accounts: Counter
    noted: Noted
    forms: Counter


def clean_groups(
    groups: list[Group],
    params: PreprocessParams,
    *,
    has_labels: bool = True,
    is_ledger: bool = True,
    workers: int = 1,
    progress: Callable[[], object] = lambda: None,
    tell: Callable[[Told], object] = lambda told: None,
) -> Iterator[Part]:
    """Yield the clean rows of each group, in order.

    Parameters
    ----------
    groups : list of Group
        Together, all rows of the ledger.
    params : PreprocessParams
    has_labels, is_ledger : bool
        As in `clean_rows`.
    workers : int
        Number of processes; 1: this process.
    progress : callable
        Called twice for each group: when it is scanned, and when it is clean.
    tell : callable
        Takes each line about files that write dates or amounts in another way.
    """
    scan = partial(scan_group, params=params, has_labels=has_labels)
    scans = []
    for _, seen in map_ordered(scan, groups, workers):
        scans.append(seen)
        progress()
    for told in find_formats([scan.formats for scan in scans], params, is_ledger):
        tell(told)
    clean = partial(
        clean_group, params=params, has_labels=has_labels, context=find_context(scans, params)
    )
    repeated = find_repeated(
        [scan.rows for scan in scans], params.duplicates if has_labels else "keep"
    )
    tasks = list(zip(groups, repeated, strict=True))
    del scans  # 20 bytes a row
    for _, part in map_ordered(clean, tasks, workers):
        yield part
        progress()


# What all rows say about each


class Scan(NamedTuple):
    """What the rows of one group say about all others.

    Attributes
    ----------
    rows : Listed
        Which of them are equal.
    names : Counter
        Rows of each (account name, code).
    dates : dict of (file, column) to set of str
        Date cells of five or six digits.
    formats : FormatScan
    """

    rows: Listed
    names: Counter
    dates: dict[Place, set[str]]
    formats: FormatScan


def scan_group(group: Group, params: PreprocessParams, has_labels: bool) -> Scan:
    """Return what the rows of one group say about all others."""
    raw = group()
    roles, names, dates = column_roles(raw.schema), Counter(), {}
    if has_labels and params.labels.masked_rule == "from_name":
        names = count_names(raw, params.labels)
    for name in (name for name, role in roles.items() if role == "date"):
        dates |= dates_of_digits(raw, name)
    return Scan(list_rows(raw), names, dates, scan_formats(raw))


class Context(NamedTuple):
    """What must be known of all rows to clean one of them.

    Attributes
    ----------
    code_of_name : dict of str to str
        The code of each account name that has only one.
    doubtful : set of (file, column)
        Where five digits need not be Excel's count of days.
    """

    code_of_name: dict[str, str]
    doubtful: set[Place]


def find_context(scans: list[Scan], params: PreprocessParams) -> Context:
    """Return what the scans of all groups say together."""
    names, dates = Counter(), defaultdict(set)
    for scan in scans:
        names.update(scan.names)
        for place, cells in scan.dates.items():
            dates[place] |= cells
    doubtful = {
        place
        for place, cells in dates.items()
        if may_lack_zeros(cells, format_of(*place, params).date_order)
    }
    return Context(unique_codes(names), doubtful)


# One group of rows


def clean_group(
    task: tuple[Group, np.ndarray], params: PreprocessParams, has_labels: bool, context: Context
) -> Part:
    """Return the clean rows of one group, and those that were refused.

    Parameters
    ----------
    task : (Group, ndarray of uint8, (rows,))
        The rows, and which of them repeat an earlier one, as `find_repeated` returns it.
    params : PreprocessParams
    has_labels : bool
    context : Context
    """
    group, repeated = task
    raw = group()
    columns = clean_columns(raw, params, has_labels, context)
    refused = [
        (reason, name, rows.to_numpy(zero_copy_only=False))
        for name, column in columns.items()
        for reason, rows in column.refused
    ]
    reason, place = first_reasons([*refused, ("duplicate", "", repeated == REFUSED)], len(raw))
    good = pa.array(reason == "")
    schema = transactions_schema(raw.schema)
    arrays = [raw[name] if name in ORIGIN else columns[name].values for name in schema.names]
    taken = pa.Table.from_arrays(arrays, schema=schema).filter(good)
    bad = raw.select(ORIGIN).filter(pc.invert(good))
    why = [pa.array(values[reason != ""], pa.string()) for values in (reason, place)]
    rejects = pa.Table.from_arrays([*bad.columns, *why], schema=rejects_schema(raw.schema))
    accounts = Counter()
    if has_labels:
        written = column_of_role(raw, "label").filter(good)
        accounts = count_accounts(taken, written, params.labels)
    emptied = Counter({name: column.emptied for name, column in columns.items()})
    noted = note_cells(raw, columns, reason, place)
    note_rows(noted, raw, REPEATED, (reason == "") & (repeated == KEPT))
    forms = Counter()
    if has_labels:
        unknown = pa.array(reason == NO_ACCOUNT)
        forms = count_forms(column_of_role(raw, "label").filter(unknown), params.labels)
    return Part(taken, rejects, emptied, accounts, noted, forms)


def clean_columns(
    raw: pa.Table, params: PreprocessParams, has_labels: bool, context: Context
) -> dict[str, Column]:
    """Return each column of `raw` in clean form, but for those of the role id."""
    columns = {}
    for name, role in column_roles(raw.schema).items():
        cells = raw[name].combine_chunks()
        match role:
            case "text" | "category" | "group":
                columns[name] = clean_texts(cells, params.case)
            case "label_name":
                columns[name] = clean_texts(cells, "keep")
            case "amount":
                columns[name] = clean_amounts(raw, name, params)
            case "date":
                columns[name] = clean_dates(raw, name, params, context.doubtful)
            case "label" if has_labels:
                columns[name] = clean_labels(raw, cells, params.labels, context.code_of_name)
            case "label":
                columns[name] = Column(pa.array([""] * len(raw), pa.string()), [])
    return columns


def first_reasons(
    refused: list[tuple[str, str, np.ndarray]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return why each row is refused, "" if it is not.

    Parameters
    ----------
    refused : list of (str, str, ndarray of bool, (count,))
        A reason, the column that it is about, and the rows. The first one of a row counts.
    count : int
        Number of rows.

    Returns
    -------
    reason, column : ndarray of str, (count,)
    """
    reason, column = np.full(count, "", object), np.full(count, "", object)
    for why, name, rows in refused:
        new = rows & (reason == "")
        reason[new], column[new] = why, name
    return reason, column
