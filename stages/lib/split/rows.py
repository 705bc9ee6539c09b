"""What the split needs to know of each row of the base table."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import AMOUNT_BUCKET, DATE, GROUP, ROW_ID
from stages.lib.errors import UserError
from stages.lib.parallel import cores, map_ordered
from stages.lib.progress import Progress
from stages.lib.tables import number_groups, open_table, read_group, row_digests
from stages.lib.vendors import plain_vendors


class Rows(NamedTuple):
    """What the split needs to know of each row.

    Attributes
    ----------
    label : ndarray of int64, (rows,)
        The account as a number: the position of the first row with this account.
    vendor : ndarray of int64, (rows,)
        The same for the vendor; -1 for none.
    same, alike : ndarray of int64, (rows,)
        The position of the first row with equal visible fields: exactly equal, or equal in their
        letters.
    date : ndarray of datetime64[D], (rows,)
        NaT for none.
    """

    label: np.ndarray
    vendor: np.ndarray
    same: np.ndarray
    alike: np.ndarray
    date: np.ndarray


def _letter_digests(rows: pa.Table, fields: list[str], same: np.ndarray) -> np.ndarray:
    """Return digests of the letters of the visible fields; of `same` for a row without letters."""
    spelled = [name for name in fields if name != AMOUNT_BUCKET] or fields[:1]
    letters = pa.table(
        {name: pc.replace_substring_regex(rows[name], r"[^\pL]+", "") for name in spelled}
    )
    # Two rows without any letter are not alike for that reason.
    mute = np.all([pc.equal(column, "").to_numpy() for column in letters.columns], axis=0)
    return np.where(mute[:, None], same, row_digests(letters, spelled))


def digest_rows(rows: pa.Table, label: str, fields: list[str]) -> tuple[np.ndarray, ...]:
    """Return what `Rows` is made from, for some rows of the base table.

    Returns
    -------
    label, vendor : ndarray of uint64, (rows, 2)
        Digests.
    no_vendor : ndarray of bool, (rows,)
    same, alike : ndarray of uint64, (rows, 2)
        Digests of the visible fields, and of their letters.
    date : ndarray of datetime64[D], (rows,)
    """
    same = row_digests(rows, fields)
    return (
        row_digests(rows, [label]),
        row_digests(rows, [GROUP]),
        pc.equal(rows[GROUP], "").to_numpy(),
        same,
        _letter_digests(rows, fields, same),
        rows[DATE].to_numpy().astype("datetime64[D]"),
    )


def _digest_group(group: int, base: Path, label: str, fields: list[str]) -> tuple[np.ndarray, ...]:
    columns = [*dict.fromkeys([*fields, label, GROUP, DATE])]
    return digest_rows(read_group(base, group, columns), label, fields)


def read_rows(base: Path, label: str, fields: list[str]) -> Rows:
    """Return what the split needs to know of every row of the base table.

    Parameters
    ----------
    base : Path
        The base table.
    label : str
        The column with the account.
    fields : list of str
        The visible fields.

    Raises
    ------
    UserError
        The base table has no such column.
    """
    with open_table(base) as file:
        groups, names = file.num_row_groups, file.schema_arrow.names
    needed = dict.fromkeys((label, *fields, ROW_ID, DATE, GROUP))
    if missing := [name for name in needed if name not in names]:
        raise UserError(
            "no-column",
            base,
            f"has no column {', '.join(missing)}; it has {', '.join(names)}",
            "feature.fields was changed since the table was built: run 'dvc repro feature'",
        )
    digest = partial(_digest_group, base=base, label=label, fields=fields)
    parts = map_ordered(digest, range(groups), min(cores(), groups))
    digested = []
    with Progress("split", groups) as progress:
        for _, part in parts:
            digested.append(part)
            progress.update()
    columns = [list(column) for column in zip(*digested, strict=True)]
    del digested

    def whole() -> np.ndarray:
        # Digests are large: each list is freed before the next one is joined.
        return np.concatenate(columns.pop(0))

    labels, vendor = number_groups(whole()), number_groups(whole())
    vendor[whole()] = -1
    return Rows(labels, vendor, number_groups(whole()), number_groups(whole()), whole())


def read_plain_vendors(base: Path) -> np.ndarray:
    """Return ``Rows.vendor`` of vendors without their numbers."""
    with open_table(base) as file:
        groups = file.num_row_groups
    parts = map_ordered(partial(_plain_group, base=base), range(groups), min(cores(), groups))
    digests, none = zip(*(part for _, part in parts), strict=True)
    vendor = number_groups(np.concatenate(digests))
    vendor[np.concatenate(none)] = -1
    return vendor


def _plain_group(group: int, base: Path) -> tuple[np.ndarray, np.ndarray]:
    vendors = plain_vendors(read_group(base, group, [GROUP])[GROUP].combine_chunks())
    return row_digests(pa.table({GROUP: vendors}), [GROUP]), pc.equal(vendors, "").to_numpy(False)


def linked_groups(same: np.ndarray, vendor: np.ndarray) -> np.ndarray:
    """Return the groups of rows that equal fields or a shared vendor link, also through others.

    Parameters
    ----------
    same, vendor : ndarray of int64, (rows,)
        As in `Rows`.

    Returns
    -------
    ndarray of int64, (rows,)
        The position of the first row of each row's group.
    """
    # Importing it takes longer than all else that the workers of `read_rows` import.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = np.arange(len(same))
    known = vendor >= 0
    one = np.concatenate([rows, rows[known]])
    other = np.concatenate([same, vendor[known]])
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(rows), len(rows)))
    _, group = connected_components(links, directed=False)
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    return first[number]
