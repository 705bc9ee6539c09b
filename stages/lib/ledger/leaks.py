"""Find visible fields that give the account away: by its name or code, or as its copy."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import LABEL
from stages.lib.errors import UserError, UserErrors
from stages.lib.ledger.account_words import AccountWords, letters_of, numbered_accounts, tells
from stages.lib.params.feature import FeatureParams
from stages.lib.tables import row_digests


@dataclass
class Evidence:
    """What rows show about leaks. Evidence of several groups of rows adds up.

    Attributes
    ----------
    told : Counter
        By field: rows with a name, or a code that has letters, of the row's own account.
    own, other : Counter
        By field and account: rows of that account, and rows of all other accounts, that have the
        digits of its code in them.
    copies : dict of str to list of (ndarray of uint64, ndarray of uint64)
        By field: digests of its values and of the accounts, (rows,) each.
    """

    told: Counter = field(default_factory=Counter)
    own: Counter = field(default_factory=Counter)
    other: Counter = field(default_factory=Counter)
    copies: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def add(self, more: "Evidence") -> None:
        """Add what other rows show."""
        self.told.update(more.told)
        self.own.update(more.own)
        self.other.update(more.other)
        for name, pairs in more.copies.items():
            self.copies.setdefault(name, []).extend(pairs)


def find_evidence(
    base: pa.Table, fields: list[str], words: AccountWords, sampled: bool = True
) -> Evidence:
    """Return what rows of the base table show about leaks.

    Parameters
    ----------
    base : Table
    fields : list of str
        The visible fields.
    words : AccountWords
    sampled : bool
        Whether these rows are among those that are searched for copies of the account.
    """
    evidence = Evidence()
    for name in fields:
        _count_told(base, name, words, evidence)
    if sampled:
        codes = row_digests(base, [LABEL])[:, 0]
        evidence.copies = {name: [(row_digests(base, [name])[:, 0], codes)] for name in fields}
    return evidence


def _count_told(base: pa.Table, name: str, words: AccountWords, evidence: Evidence) -> None:
    lengths = sorted(set(map(len, words.numbers)))
    pairs = pa.table([base[name], base[LABEL]], ["value", "code"])
    pairs = pairs.group_by(["value", "code"]).aggregate([([], "count_all")]).sort_by("value")
    columns = (pairs[column].to_pylist() for column in pairs.column_names)
    before, held = None, set()
    for value, code, rows in zip(*columns, strict=True):
        if value != before:
            before, folded = value, value.casefold()
            letters = letters_of(folded)
            held = numbered_accounts(folded, words.numbers, lengths)
        told = any(
            bare in letters and tells(folded, word) for word, bare in words.words[code].items()
        )
        evidence.told[name] += rows * told
        for account in held:
            if account != code:
                evidence.other[name, account] += rows
            elif not told:
                evidence.own[name, account] += rows


def leak_rate(evidence: Evidence, name: str, rows: dict[str, int]) -> float:
    """Return the share of rows in which the field `name` gives the account away.

    The digits of a code are also in dates, amounts and document numbers, by chance. They count
    only as far as they are more frequent in the rows of their account than in those of all others.

    Parameters
    ----------
    evidence : Evidence
    name : str
    rows : dict of str to int
        The number of rows of each account.
    """
    total = sum(rows.values())
    found = float(evidence.told[name])
    for account, count in rows.items():
        by_chance = evidence.other[name, account] / max(1, total - count) * count
        found += max(0.0, evidence.own[name, account] - by_chance)
    return found / max(1, total)


def purity(values: np.ndarray, labels: np.ndarray) -> float:
    """Return how often a value alone gives the label.

    This is the share of rows whose label is the most frequent one among the *other* rows of the
    same value. Only rows whose value occurs twice or more count; without any, it is 0. A field
    that gives the account and is given by it is a copy of it.

    Parameters
    ----------
    values, labels : ndarray of integers, (rows,)
    """
    if not len(values):
        return 0.0
    order = np.lexsort((labels, values))
    values, labels = values[order], labels[order]
    new_value = np.r_[True, values[1:] != values[:-1]]
    new_pair = new_value | np.r_[True, labels[1:] != labels[:-1]]
    pairs = np.diff(np.r_[np.flatnonzero(new_pair), len(values)])
    starts = np.flatnonzero(new_value[new_pair])
    total, most = np.add.reduceat(pairs, starts), np.maximum.reduceat(pairs, starts)
    # Without the row itself, the majority is still right, unless the row was all of it.
    right = most[(total >= 2) & (most >= 2)].sum()
    return float(right / max(1, total[total >= 2].sum()))


def leak_rates(
    evidence: Evidence, fields: list[str], rows: dict[str, int]
) -> dict[str, dict[str, float]]:
    """Return ``{field: {"leak_rate": share, "copy_rate": share}}``.

    Parameters
    ----------
    evidence : Evidence
        Of all rows.
    fields : list of str
    rows : dict of str to int
        The number of rows of each account.
    """
    rates = {}
    for name in fields:
        sides = zip(*evidence.copies[name], strict=True)
        values, codes = (np.concatenate(side) for side in sides)
        rates[name] = {
            "leak_rate": round(leak_rate(evidence, name, rows), 6),
            "copy_rate": round(min(purity(values, codes), purity(codes, values)), 6),
        }
    return rates


def check_leaks(rates: dict[str, dict[str, float]], params: FeatureParams) -> None:
    """Raise UserError that names the visible fields which give the account away."""
    errors = []
    for name, found in rates.items():
        if found["leak_rate"] > params.max_leak_rate:
            errors.append(
                UserError(
                    "leaking-field",
                    f"params.yaml: feature.fields: {name}",
                    f"has the account's code or name in it in {found['leak_rate']:.1%} of the "
                    f"rows; feature.max_leak_rate is {params.max_leak_rate:.1%}, as a model that "
                    "sees the account learns to copy it",
                    "remove the field",
                )
            )
        if found["copy_rate"] > params.max_copy_rate:
            errors.append(
                UserError(
                    "copied-account",
                    f"params.yaml: feature.fields: {name}",
                    f"the field and the account determine each other in {found['copy_rate']:.1%} "
                    f"of the rows; feature.max_copy_rate is {params.max_copy_rate:.1%}, as the "
                    "field may be the account in other words",
                    "remove the field, or raise max_copy_rate if it is known before the account",
                )
            )
    if errors:
        raise UserErrors(errors)
