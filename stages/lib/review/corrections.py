"""What people said of coded rows, kept in a file in git.

Its text is ledger text, masked as the ledger is. It is sorted by key and has no clock, so the same
sheets make the same file.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from stages.lib.contracts.names import AMOUNT, DATE, LABEL
from stages.lib.errors import UserError
from stages.lib.params.preprocess import Labels
from stages.lib.review.keys import canonical_text
from stages.lib.spreadsheet import spreadsheet_cell
from stages.lib.tables import replace_file

PATH = Path("data/corrections.csv")
OWN = ("key", "account", "proposed", "kind", "seen_date", "seen_amount")
SEEN = "seen_"
CORRECTED, CONFIRMED = KINDS = ("corrected", "confirmed")
# In place of a field that the model did not see when the row was coded.
NOT_SEEN = "\\N"
# Lines that name the same kind of thing; the others are counted.
NAMED = 20


class Correction(NamedTuple):
    """What a person said of one row.

    Attributes
    ----------
    key : str
    account : str
        What the person said.
    proposed : str
        What the coder had said.
    day : date or None
    amount : float or None
    fields : dict of str to str
        What the model saw.
    """

    key: str
    account: str
    proposed: str
    day: date | None
    amount: float | None
    fields: dict[str, str]

    @property
    def kind(self) -> str:
        return CONFIRMED if self.account == self.proposed else CORRECTED


# The file


def _escape(text: str) -> str:
    # Reading takes one apostrophe away.
    return "'" + text if text.startswith("'") or text == NOT_SEEN else spreadsheet_cell(text)


def corrections_text(corrections: Iterable[Correction], fields: Sequence[str]) -> str:
    """Return the content of the file.

    Parameters
    ----------
    corrections : iterable of Correction
        Each key once.
    fields : sequence of str
        Today's ``feature.fields``. Fields that only older corrections have follow them.
    """
    ordered = sorted(corrections)
    older = {name for row in ordered for name in row.fields} - set(fields)
    names = [*fields, *sorted(older)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*OWN, *(SEEN + name for name in names)])
    for row in ordered:
        day = row.day.isoformat() if row.day else ""
        amount = "" if row.amount is None else repr(row.amount)
        seen = [_escape(row.fields[name]) if name in row.fields else NOT_SEEN for name in names]
        writer.writerow([row.key, row.account, row.proposed, row.kind, day, amount, *seen])
    return file.getvalue()


def write_corrections(
    corrections: Iterable[Correction], fields: Sequence[str], path: Path = PATH
) -> None:
    """Write the file, atomically: the same bytes for the same corrections in any order."""
    text = corrections_text(corrections, fields)
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def read_corrections(path: Path = PATH) -> list[Correction]:
    """Return the corrections in the file, by key; none if there is no file.

    Raises
    ------
    UserError
        The file is not one that `write_corrections` wrote, as after a conflict in git.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeError) as error:
        raise _damaged(path, f"cannot be read: {error}") from None
    reader = csv.reader(io.StringIO(text), strict=True)
    found: dict[str, Correction] = {}
    try:
        header = next(reader, [])
        if tuple(header[: len(OWN)]) != OWN or len(set(header)) < len(header):
            raise _damaged(path, f"line 1 does not begin with {','.join(OWN)}")
        for cells in reader:
            row = _read_row(header, cells, f"{path}, line {reader.line_num}")
            if found.setdefault(row.key, row) != row:
                raise _damaged(path, f"line {reader.line_num}: the key {row.key} is there twice")
    except csv.Error as error:
        raise _damaged(path, f"line {reader.line_num}: {error}") from None
    return [found[key] for key in sorted(found)]


def _damaged(where: object, problem: str) -> UserError:
    action = "correct it, or take the last whole one from git: git checkout -- data/corrections.csv"
    return UserError("damaged-corrections", where, problem, action)


def _read_row(header: list[str], cells: list[str], where: str) -> Correction:
    if len(cells) != len(header):
        raise _damaged(where, f"has {len(cells)} cells instead of {len(header)}")
    row = dict(zip(header, cells, strict=True))
    try:
        day = date.fromisoformat(row["seen_date"]) if row["seen_date"] else None
        amount = float(row["seen_amount"]) if row["seen_amount"] else None
    except ValueError as error:
        raise _damaged(where, str(error)) from None
    if not row["key"] or not row["account"] or row["kind"] not in KINDS:
        raise _damaged(where, "has no key, no account or another kind than corrected or confirmed")
    fields = {
        name.removeprefix(SEEN): cell.removeprefix("'")
        for name, cell in zip(header[len(OWN) :], cells[len(OWN) :], strict=True)
        if cell != NOT_SEEN
    }
    return Correction(row["key"], row["account"], row["proposed"], day, amount, fields)


# Joining


def same_row(correction: Correction) -> tuple[str, ...]:
    """Return what is equal for two rows that the model saw as one."""
    fields = correction.fields
    return tuple(f"{name}={canonical_text(fields[name])}" for name in sorted(fields))


class Joined(NamedTuple):
    """Corrections after new ones were added.

    Attributes
    ----------
    corrections : dict of str to Correction
        By key.
    counts : dict of str to int
        ``corrected`` and ``confirmed``, how many came in; ``known``, how many were there already.
    remarks : list of str
        Corrections that replace others, and equal rows with different accounts.
    """

    corrections: dict[str, Correction]
    counts: dict[str, int]
    remarks: list[str]


def join_corrections(old: Iterable[Correction], new: Iterable[tuple[str, Correction]]) -> Joined:
    """Return old and new corrections. Of the same row, the later one counts.

    Parameters
    ----------
    old : iterable of Correction
    new : iterable of (str, Correction)
        Each with its place in a sheet, for messages; the later sheets last.
    """
    kept, place_of = {row.key: row for row in old}, {}
    counts, remarks = Counter({CORRECTED: 0, CONFIRMED: 0, "known": 0}), []
    for place, row in new:
        before = kept.get(row.key)
        if before is not None and before.account != row.account:
            where = place_of.get(row.key, "an earlier sheet")
            remarks.append(f"{place}: {row.account} replaces {before.account} of {where}")
        known = before is not None and before.account == row.account
        counts["known" if known else row.kind] += 1
        kept[row.key] = before if known else row
        place_of[row.key] = place
    touched = {same_row(kept[key]) for key in place_of}
    remarks += _disagreements(kept.values(), place_of, touched)
    return Joined(kept, dict(counts), remarks)


def _disagreements(
    rows: Iterable[Correction], place_of: dict[str, str], touched: set[tuple]
) -> list[str]:
    said = defaultdict(list)
    for row in rows:
        said[same_row(row)].append(row)
    remarks = []
    for same, equal in sorted(said.items()):
        accounts = sorted({row.account for row in equal})
        if len(accounts) > 1 and same in touched:
            places = [place_of[row.key] for row in equal if row.key in place_of]
            remarks.append(
                f"{places[0]}: equal rows have the accounts {', '.join(accounts)}; "
                "rows like them go to review"
            )
    return remarks


def first_of(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and a last one that counts the others."""
    rest = len(lines) - NAMED
    return [*lines[:NAMED], *([f"and {rest:,} more"] if rest > 0 else [])]


# Use


def usable_corrections(
    corrections: Iterable[Correction], fields: Sequence[str], labels: Labels
) -> tuple[pa.Table, list[str]]:
    """Return the corrections that count under today's parameters, and why others do not.

    Parameters
    ----------
    corrections : iterable of Correction
    fields : sequence of str
        ``feature.fields``. A correction must have all of them.
    labels : Labels
        ``preprocess.labels``: merged accounts become others, closed ones are left out.

    Returns
    -------
    table : Table
        ``key``, `DATE`, `AMOUNT`, the fields and `LABEL`, by key.
    remarks : list of str
    """
    rows, closed, unseen = [], Counter(), Counter()
    for row in sorted(corrections):
        account = labels.merge.get(row.account, row.account)
        if account in labels.retire:
            closed[account] += 1
        elif missing := [name for name in fields if name not in row.fields]:
            unseen[", ".join(missing)] += 1
        else:
            seen = {name: row.fields[name] for name in fields}
            own = {"key": row.key, DATE: row.day, AMOUNT: row.amount, LABEL: account}
            rows.append(own | seen)
    columns = {"key": pa.string(), DATE: pa.date32(), AMOUNT: pa.float64()}
    columns |= {name: pa.string() for name in fields} | {LABEL: pa.string()}
    remarks = [
        f"{PATH}: {count:,} corrections to the closed account {account} do not count"
        for account, count in sorted(closed.items())
    ]
    remarks += [
        f"{PATH}: {count:,} corrections do not count: when they were made, the model did not see "
        f"{names} (feature.fields)"
        for names, count in sorted(unseen.items())
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(columns)), remarks
