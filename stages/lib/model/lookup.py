"""Look-up table: the account that a vendor, or another column's value, had most often."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import AMOUNT_BUCKET, GROUP
from stages.lib.errors import UserError
from stages.lib.vendors import MOSTLY, are_better, plain_vendors, share_alone


def lookup_columns(
    chosen: list[str] | None, fields: list[str], roles: dict[str, str], train: pa.Table
) -> list[str]:
    """Return the columns that the look-up tries in turn, the most telling one first.

    Parameters
    ----------
    chosen : list of str or None
        ``baseline.lookup_columns``. None: the vendor, if a training row has one, and the first
        visible field of role category; if there is neither, the first visible field.
    fields : list of str
        Visible fields.
    roles : dict of {field: role}
    train : Table
        Training rows, as in the base table.

    Raises
    ------
    UserError
        One of `chosen` is neither a visible field nor the vendor nor the amount as a word.
    """
    if chosen is None:
        vendors = [GROUP] if pc.any(pc.not_equal(train[GROUP], "")).as_py() else []
        categories = [name for name in fields if roles.get(name) == "category"]
        return vendors + categories[:1] or fields[:1]
    seen = [*dict.fromkeys([*fields, GROUP, AMOUNT_BUCKET])]  # never the account itself
    if missing := [name for name in chosen if name not in seen]:
        raise UserError(
            "unsuitable-column",
            "params_train.yaml: baseline.lookup_columns",
            f"no column {', '.join(missing)}; expected some of {', '.join(seen)}",
            "correct the names, or set it to null to choose by role",
        )
    return chosen


def merge_vendors(sides: dict[str, pa.Table]) -> tuple[dict[str, pa.Table], list[str]]:
    """Return `sides` with vendors that say something about other rows, and what was done about it.

    Parameters
    ----------
    sides : dict of {side: Table}
        The rows of the split. Where most training rows have a vendor of their own, the vendors of
        all sides lose their numbers.
    """
    train = sides["train"][GROUP].combine_chunks()
    train = train.filter(pc.not_equal(train, ""))
    numbers, plain = (
        vendors.dictionary_encode().indices.to_numpy() for vendors in (train, plain_vendors(train))
    )
    if (alone := share_alone(numbers)) <= MOSTLY:
        return sides, []
    said = f"{alone:.1%} of the training rows have a vendor that no other one has"
    if are_better(plain, numbers):
        left = share_alone(plain)
        said += f", so the look-up takes vendors without their numbers ({left:.1%} then)"
        place = sides["train"].schema.get_field_index(GROUP)
        sides = {
            side: table.set_column(place, GROUP, plain_vendors(table[GROUP].combine_chunks()))
            for side, table in sides.items()
        }
        if left <= MOSTLY:
            return sides, [said]
    return sides, [
        f"{said}: for rows of such vendors the look-up is the next column, or the majority"
    ]


def lookup_scores(
    keys: list[list[str]], train_keys: list[list[str]], label: np.ndarray, n_accounts: int
) -> np.ndarray:
    """Score accounts by how often a row's key had them in training.

    Parameters
    ----------
    keys, train_keys : list of columns, each a list of str
        Keys of the rows to score and of the training rows, the most telling column first. A row
        is scored by the first column whose value is not empty and is in the training rows; if
        there is none, by all training rows.
    label : ndarray of int64
        Accounts of the training rows.
    n_accounts : int
        Number of accounts, K.

    Returns
    -------
    ndarray of float32, (rows, K)
        Logarithms of ``(rows + prior) / (all rows of the key + 1)``, where `prior` is the share
        of the account in all training rows: one row's worth of doubt, which also decides ties.
    """
    prior = np.bincount(label, minlength=n_accounts) / len(label)
    tables = [_count_accounts(values, label) for values in train_keys]
    scores = np.empty((len(keys[0]), n_accounts), np.float32)
    for row, values in enumerate(zip(*keys, strict=True)):
        found = (
            table[value] for table, value in zip(tables, values, strict=True) if value in table
        )
        chance = prior.copy()
        for account, rows in next(found, Counter()).items():
            chance[account] += rows
        scores[row] = np.log(np.maximum(chance / chance.sum(), 1e-30))
    return scores


def _count_accounts(values: list[str], label: np.ndarray) -> dict[str, Counter]:
    """Return how many rows of each account each value has, the empty value left out."""
    counts: dict[str, Counter] = {}
    for value, account in zip(values, label.tolist(), strict=True):
        counts.setdefault(value, Counter())[account] += 1
    counts.pop("", None)
    return counts
