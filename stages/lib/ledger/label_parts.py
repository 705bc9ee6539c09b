"""Make one account of several columns: parent and sub-account, or the headings of a report."""

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

# So QuickBooks names the rows of an account that are in none of its sub-accounts.
_OTHER = r"\s*[-–—]\s*other$"


def clean_parts(parts: list[pa.Array]) -> list[pa.Array]:
    """Return the columns of the account, the parent first, without spaces around and without
    "X - Other" below X."""
    parts = [pc.utf8_trim_whitespace(part) for part in parts]
    found = parts[:1]
    for part in parts[1:]:
        small = pc.utf8_lower(part)
        stem = pc.replace_substring_regex(small, _OTHER, "")
        if not stem.equals(small):
            below = reduce(pc.or_, [pc.equal(stem, pc.utf8_lower(above)) for above in found])
            part = pc.if_else(pc.and_(pc.not_equal(stem, small), below), "", part)
        found.append(part)
    return found


def join_parts(parts: list[pa.Array], separator: str | None) -> pa.Array:
    """Return the account of each row.

    Parameters
    ----------
    parts : list of pa.Array
        As `clean_parts` returns them.
    separator : str or None
        Joins them, up to the last one that is filled, so that `split_account` can take them apart.
        A row without the first one has no account. None: the account is the last filled one.
    """
    account = parts[-1]
    for part in reversed(parts[:-1]):
        if separator is None:
            account = pc.if_else(pc.equal(account, ""), part, account)
        else:
            joined = pc.binary_join_element_wise(part, account, separator)
            account = pc.if_else(pc.equal(account, ""), part, joined)
    return account if separator is None else pc.if_else(pc.equal(parts[0], ""), "", account)


def split_account(account: str, count: int, separator: str) -> list[str]:
    """Return the `count` parts of an account that `join_parts` has joined."""
    parts = account.split(separator, count - 1)
    return parts + [""] * (count - len(parts))


def account_parents(parts: list[pa.Array], accounts: pa.Array) -> set[tuple[str, str]]:
    """Return each (account, its parents) of some rows; rows without parents are left out.

    Parameters
    ----------
    parts : list of pa.Array
        As `clean_parts` returns them.
    accounts : pa.Array
        The last filled ones.
    """
    names = [str(place) for place in range(len(parts))]
    table = pa.table([*parts, accounts], [*names, "account"])
    found = set()
    for row in table.group_by(table.column_names).aggregate([]).to_pylist():
        parents = [row[name] for name in names if row[name] not in ("", row["account"])]
        if parents and row["account"]:
            found.add((row["account"], " > ".join(parents)))
    return found
