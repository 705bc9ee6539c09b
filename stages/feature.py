"""Make the base table: the fields that the model may see, and the account they were posted to.

Reads ``data/preprocess/transactions.parquet`` and ``accounts.parquet``. Writes
``data/feature/base.parquet`` and ``metrics/feature/report.json``. Parameters: ``feature``.

The columns of the base table, in this order:

===================================  ==========  ==================================================
row_id                               int64       0, 1, 2, ... in the order of the ledger
source_file, source_sheet            dictionary  where the row came from
source_row                           int32       its row in the sheet (1-based)
one for each of ``feature.fields``   string      what the model may see; never null, "" if empty
date                                 date32      null if the ledger has none
amount                               float64     null if the ledger has none
amount_bucket                        string      the amount as a word such as "<50"; "" if none
group                                string      the vendor; "" if the ledger has none
acct_code                            string      the label
===================================  ==========  ==================================================

A field that is also one of the last columns (amount_bucket, group) stands in the table once.
"""

import re
from collections import Counter, defaultdict
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from stages.lib.contracts.roles import column_roles
from stages.lib.errors import UserError, UserErrors
from stages.lib.ledger.normalize import clean_text
from stages.lib.parallel import cores, map_ordered
from stages.lib.params.feature import FeatureParams, check_columns
from stages.lib.params.files import load_params
from stages.lib.process import run_stage
from stages.lib.tables import (
    open_table,
    read_group,
    read_table,
    row_digests,
    table_writers,
    write_json,
)

IN = Path("data/preprocess/transactions.parquet")
ACCOUNTS = Path("data/preprocess/accounts.parquet")
OUT = Path("data/feature/base.parquet")
REPORT = Path("metrics/feature/report.json")

ORIGIN = ("source_file", "source_sheet", "source_row")
# Copies of the account are looked for in about so many rows, spread over the ledger.
SAMPLED_ROWS = 1_000_000


def amount_buckets(amounts: np.ndarray, edges: list[float]) -> pa.Array:
    """Return a word for each amount: "<50" is below 50 and not below the edge before it.

    Parameters
    ----------
    amounts : np.ndarray of float64
        NaN where there is none: the word is "".
    edges : list of float
        Rising, in units of the ledger's currency.
    """
    words = [f"<{edge:.15g}" for edge in edges] + [f">={edges[-1]:.15g}", ""]
    bucket = np.searchsorted(edges, amounts, side="right")
    bucket[np.isnan(amounts)] = len(words) - 1
    return pa.array(words).take(pa.array(bucket))


def net_amounts(rows: pa.Table, debit: str | None, credit: str | None) -> pa.Array:
    """Return float64 amounts: the debit, less the credit where the ledger has two columns."""
    if debit is None:
        return pa.nulls(len(rows), pa.float64())
    if credit is None:
        return rows[debit].combine_chunks()
    both_empty = pc.and_(pc.is_null(rows[debit]), pc.is_null(rows[credit]))
    net = pc.subtract(pc.fill_null(rows[debit], 0.0), pc.fill_null(rows[credit], 0.0))
    return pc.if_else(both_empty, None, net).combine_chunks()


def base_rows(rows: pa.Table, first: int, label: str, params: FeatureParams) -> pa.Table:
    """Return the rows of the base table for `rows`, numbered from `first`."""
    count = len(rows)
    nothing = pa.array([""] * count, pa.string())
    amounts = net_amounts(rows, params.amount_column, params.credit_column)
    made = {
        "amount_bucket": amount_buckets(
            amounts.fill_null(np.nan).to_numpy(zero_copy_only=False), params.amount_edges
        ),
        "group": rows[params.group_column] if params.group_column else nothing,
    }
    columns = {
        "row_id": pa.array(np.arange(first, first + count)),
        **{name: rows[name] for name in ORIGIN},
        **{name: made[name] if name in made else rows[name] for name in params.fields},
        "date": rows[params.date_column] if params.date_column else pa.nulls(count, pa.date32()),
        "amount": amounts,
        **{name: column for name, column in made.items() if name not in params.fields},
        "acct_code": rows[label],
    }
    fields = {
        name: pc.fill_null(column.cast(pa.string()), "") if name in params.fields else column
        for name, column in columns.items()
    }
    return pa.table(fields).combine_chunks()


# Korean puts these behind a word without a space: "복리후생비로" names the account too.
_PARTICLE = "(?:은|는|이|가|을|를|의|에|로|으로|와|과|도|만)?"
_DIGITS = re.compile(r"\d+")
_GAPS = re.compile(r"[\W_]+")
_SYLLABLES = re.compile("(?<=[가-힣])(?=[가-힣])")


@cache
def _alone(word: str) -> re.Pattern:
    # Spaces and signs vary, and Korean is free to part its words: "여비교통비", "지급 수수료".
    parts = [" ?".join(_SYLLABLES.split(part)) for part in _GAPS.split(word) if part]
    if not parts:
        return re.compile("(?!)")
    # A code of letters and digits is no word: "ktoa101" holds a101, but "a1012" does not.
    is_code = len(word) >= 4 and _DIGITS.search(word) and " " not in word
    before, after = (
        r"\d" if is_code and edge.isdigit() else "(?!)" if is_code else r"[^\W_]"
        for edge in (parts[0][0], parts[-1][-1])
    )
    phrase = r"[\W_]*".join(parts)
    return re.compile(rf"(?<!{before}){phrase}{_PARTICLE}(?!{after})")


def tells(value: str, word: str) -> bool:
    """Return whether `word` stands in `value` as a word or phrase of its own, in any spacing."""
    return _alone(word).search(value) is not None


def letters_of(text: str) -> str:
    """Return `text` without what spacing and punctuation vary."""
    return _GAPS.sub("", text)


class Secrets(NamedTuple):
    """What may give an account away, in lower case: by account its names and codes, and the
    letters of each; and the accounts by those codes that are digits alone."""

    words: dict[str, dict[str, str]]
    numbers: dict[str, set[str]]


def account_secrets(accounts: list[dict]) -> Secrets:
    """Return what may give each account away, from the rows of the chart of accounts."""
    secrets = Secrets({}, defaultdict(set))
    for row in accounts:
        code = row["acct_code"]
        forms = {clean_text(f, "fold") for f in (code, row["acct_name"], *row["also_written"])}
        letters = {form: letters_of(form) for form in sorted(forms) if not form.isdigit()}
        secrets.words[code] = {form: bare for form, bare in letters.items() if bare}
        for form in forms:
            if form.isdigit():
                secrets.numbers[form].add(code)
    return secrets


def numbered_accounts(value: str, numbers: dict[str, set[str]], lengths: list[int]) -> set[str]:
    """Return the accounts whose code of digits stands anywhere in the digits of `value`."""
    found = set()
    for match in _DIGITS.finditer(value):
        digits = match[0]
        for length in lengths:
            for start in range(len(digits) - length + 1):
                found |= numbers.get(digits[start : start + length], set())
    return found


class Leaks(NamedTuple):
    """How many rows hold an account: `told` by field, where a name or a code with letters of the
    row's own account stands; `own` and `other` by field and account, where the digits of a code
    stand in rows of that account and of all others."""

    told: Counter
    own: Counter
    other: Counter


def count_leaks(base: pa.Table, fields: list[str], secrets: Secrets) -> Leaks:
    """Count the rows whose fields hold an account."""
    leaks = Leaks(Counter(), Counter(), Counter())
    lengths = sorted(set(map(len, secrets.numbers)))
    for field in fields:
        pairs = pa.table([base[field], base["acct_code"]], ["value", "code"])
        pairs = pairs.group_by(["value", "code"]).aggregate([([], "count_all")]).sort_by("value")
        columns = (pairs[name].to_pylist() for name in pairs.column_names)
        before, held = None, set()
        for value, code, rows in zip(*columns, strict=True):
            if value != before:
                before, folded = value, value.casefold()
                letters = letters_of(folded)
                held = numbered_accounts(folded, secrets.numbers, lengths)
            told = any(
                bare in letters and tells(folded, word)
                for word, bare in secrets.words[code].items()
            )
            leaks.told[field] += rows * told
            for account in held:
                if account != code:
                    leaks.other[field, account] += rows
                elif not told:
                    leaks.own[field, account] += rows
    return leaks


def leak_rate(leaks: Leaks, field: str, rows: dict[str, int]) -> float:
    """Return the share of rows in which `field` gives the account away.

    The digits of a code also stand by chance in dates, amounts and document numbers. They count as
    far as they stand in the rows of their account more often than in those of all others.

    Parameters
    ----------
    rows : dict of str to int
        The number of rows of each account.
    """
    total = sum(rows.values())
    found = float(leaks.told[field])
    for account, count in rows.items():
        by_chance = leaks.other[field, account] / max(1, total - count) * count
        found += max(0.0, leaks.own[field, account] - by_chance)
    return found / max(1, total)


def purity(values: np.ndarray, labels: np.ndarray) -> float:
    """Return how often a value alone gives the label: the share of rows whose label is the most
    frequent one among the *other* rows of the same value, over the rows whose value occurs twice
    or more (0 if there are none). A field that gives the account and is given by it is its copy.

    Parameters
    ----------
    values, labels : np.ndarray of int64, shape (rows,)
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
    # Left out itself, a row of the majority is right unless it stood there alone.
    right = most[(total >= 2) & (most >= 2)].sum()
    return float(right / max(1, total[total >= 2].sum()))


class Part(NamedTuple):
    base: pa.Table
    leaks: Leaks
    evidence: dict[str, tuple[np.ndarray, np.ndarray]]


def make_part(
    task: tuple[int, int, bool], label: str, secrets: Secrets, params: FeatureParams
) -> Part:
    """Return the base rows of one row group, and what they say about leaks."""
    group, first, sampled = task
    base = base_rows(read_group(IN, group), first, label, params)
    evidence = {}
    if sampled:
        codes = row_digests(base, ["acct_code"])[:, 0]
        evidence = {f: (row_digests(base, [f])[:, 0], codes) for f in params.fields}
    return Part(base, count_leaks(base, params.fields, secrets), evidence)


def check_leaks(report: dict[str, dict[str, float]], params: FeatureParams) -> None:
    """Raise UserError naming the visible fields that give the account away."""
    for field, found in report.items():
        if found["leak_rate"] > params.max_leak_rate:
            raise UserError(
                f"feature.fields: {field} holds the account's code or name in "
                f"{found['leak_rate']:.1%} of the rows (feature.max_leak_rate is "
                f"{params.max_leak_rate:.1%}); a model that sees it learns to copy; remove it"
            )
        if found["copy_rate"] > params.max_copy_rate:
            raise UserError(
                f"feature.fields: {field} and the account give each other in "
                f"{found['copy_rate']:.1%} of the rows (feature.max_copy_rate is "
                f"{params.max_copy_rate:.1%}), as the account in other words would; remove it, or "
                "raise max_copy_rate if the field is known before the account"
            )


def main() -> None:
    params = load_params(feature=FeatureParams).feature
    accounts = read_table(ACCOUNTS).to_pylist()
    secrets = account_secrets(accounts)
    rows_of = {row["acct_code"]: row["rows"] for row in accounts}
    with open_table(IN) as file:
        roles = column_roles(file.schema_arrow)
        if errors := check_columns(params, roles):
            raise UserErrors(errors)
        label = next(name for name, role in roles.items() if role == "label")
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    firsts = np.cumsum([0, *sizes])
    every = max(1, round(firsts[-1] / SAMPLED_ROWS))
    tasks = [(i, int(firsts[i]), i % every == 0) for i in range(len(sizes))]
    work = partial(make_part, label=label, secrets=secrets, params=params)
    leaks = Leaks(Counter(), Counter(), Counter())
    evidence, rows_out = {field: [] for field in params.fields}, 0
    empty = base_rows(read_group(IN, 0).slice(0, 0), 0, label, params)
    with table_writers({OUT: empty.schema}) as (writer,):
        parts = map_ordered(work, tasks, min(cores(), len(tasks)))
        for _, part in tqdm(parts, total=len(tasks), desc="feature", mininterval=1):
            writer.write(part.base)
            rows_out += len(part.base)
            for counted, more in zip(leaks, part.leaks, strict=True):
                counted.update(more)
            for field, seen in part.evidence.items():
                evidence[field].append(seen)
        if rows_out != firsts[-1] or rows_out != sum(rows_of.values()):
            raise RuntimeError(f"rows were lost: {firsts[-1]} in, {rows_out} out")
        fields = {}
        for field in params.fields:
            values, codes = (np.concatenate(side) for side in zip(*evidence[field], strict=True))
            fields[field] = {
                "leak_rate": round(leak_rate(leaks, field, rows_of), 6),
                "copy_rate": round(min(purity(values, codes), purity(codes, values)), 6),
            }
        check_leaks(fields, params)
    write_json({"rows": int(firsts[-1]), "accounts": len(accounts), "fields": fields}, REPORT)


if __name__ == "__main__":
    run_stage(main)
