"""Account codes in one form, their names, and the chart of accounts."""

import re
from collections import Counter, defaultdict
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.accounts import ACCOUNTS_SCHEMA
from stages.lib.contracts.roles import column_of_role
from stages.lib.ledger.values import map_values
from stages.lib.normalize import clean_text, is_error, padded
from stages.lib.params.preprocess import Labels


def find_codes(cells: pa.Array, labels: Labels) -> pa.Array:
    """Return account codes in one form: NFKC, no spaces around, filled with zeros, merged."""

    def code(text: str) -> str:
        text = padded(text, labels.pad_to)
        return labels.merge.get(text, text)

    return map_values(cells, code, pa.string())


def fits_pattern(codes: pa.Array, pattern: str) -> pa.Array:
    """Return which codes match the whole regular expression `pattern`."""
    fits = re.compile(pattern).fullmatch
    return map_values(codes, lambda code: bool(fits(code)), pa.bool_()).fill_null(bool(fits("")))


# Masked codes


def _folded_names(raw: pa.Table) -> pa.Array | None:
    def name(text: str) -> str:
        return "" if is_error(text) else clean_text(text, "fold")

    column = column_of_role(raw, "label_name")
    return None if column is None else map_values(column, name, pa.string())


def count_names(raw: pa.Table, labels: Labels) -> Counter:
    """Return the number of rows of each (account name, code), with the name in lower case.

    Only valid codes count. Without a column of names there are none.
    """
    found, names = Counter(), _folded_names(raw)
    if names is None:
        return found
    codes = find_codes(column_of_role(raw, "label"), labels)
    pairs = pa.table([names, codes], ["name", "code"])
    for row in pairs.group_by(["name", "code"]).aggregate([([], "count_all")]).to_pylist():
        if re.fullmatch(labels.pattern, row["code"]) and not is_error(row["code"]):
            found[row["name"], row["code"]] += row["count_all"]
    return found


def unique_codes(names: Counter) -> dict[str, str]:
    """Return the code of each account name that belongs to one code only.

    Parameters
    ----------
    names : Counter
        As `count_names` returns it.
    """
    codes = defaultdict(set)
    for name, code in names:
        codes[name].add(code)
    return {name: next(iter(c)) for name, c in codes.items() if len(c) == 1 and name}


def unmask_codes(
    raw: pa.Table, codes: pa.Array, hidden: pa.Array, code_of_name: dict[str, str]
) -> pa.Array:
    """Return `codes`, with the code of the account's name where it is `hidden` and known."""
    names = _folded_names(raw)
    if names is None:
        return codes
    found = map_values(names, code_of_name.get, pa.string())
    return pc.if_else(pc.and_(hidden, pc.not_equal(found, "")), found, codes)


# The chart of accounts


def count_accounts(taken: pa.Table, cells: pa.Array, labels: Labels) -> Counter:
    """Return the number of rows of each (code, name, code as the ledger wrote it).

    Parameters
    ----------
    taken : Table
        Clean rows.
    cells : Array of string, (rows,)
        Their raw codes.
    labels : Labels
    """
    codes, names = (column_of_role(taken, role) for role in ("label", "label_name"))
    if names is None:
        names = pa.array([""] * len(codes))
    # A masked code says nothing about the account.
    written = pc.if_else(fits_pattern(find_codes(cells, labels), labels.masked), "", cells)
    written = map_values(written, partial(clean_text, case="keep"), pa.string())
    keys = ["code", "name", "written"]
    counts = pa.table([codes, names, written], keys).group_by(keys).aggregate([([], "count_all")])
    columns = (counts[name].to_pylist() for name in (*keys, "count_all"))
    return Counter({tuple(key): rows for *key, rows in zip(*columns, strict=True)})


def chart_of_accounts(counts: Counter) -> pa.Table:
    """Return the chart of accounts, by code.

    ``acct_name`` is the most frequent name (the code itself if it has none). ``also_written`` are
    the other forms of the code, and the other names that no account has more often.

    Parameters
    ----------
    counts : Counter
        As `count_accounts` returns it.
    """
    names, owners, forms = defaultdict(Counter), defaultdict(Counter), defaultdict(set)
    for (code, name, written), rows in counts.items():
        names[code][name] += rows
        owners[name][code] += rows
        forms[code].add(written)
    for name, rows_of in owners.items():
        most = max(rows_of.values())
        for code in (code for code, rows in rows_of.items() if rows == most):
            forms[code].add(name)
    codes = sorted(names)
    best = [
        max(names[code].items(), key=lambda item: (bool(item[0]), item[1], item[0]))[0] or code
        for code in codes
    ]
    rows = [names[code].total() for code in codes]
    others = [
        sorted(forms[code] - {"", code, name}) for code, name in zip(codes, best, strict=True)
    ]
    return pa.table([codes, best, rows, others], schema=ACCOUNTS_SCHEMA)
