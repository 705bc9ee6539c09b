"""Turn raw text into clean text, dates, amounts and accounts.

Reads ``data/ingest/transactions.parquet``. Writes ``data/preprocess/transactions.parquet``
(columns of the role id are left behind), ``rejects.parquet`` (where each refused row came from
and why), ``accounts.parquet`` (the chart of accounts, with all forms of its codes and names) and
``metrics/preprocess/report.json``. Parameters: ``preprocess``.
"""

import re
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from stages.lib.errors import UserError
from stages.lib.ledger.amounts import amount_marks, parse_amount
from stages.lib.ledger.dates import parse_date
from stages.lib.ledger.normalize import clean_text, is_error, padded
from stages.lib.ledger.values import map_values
from stages.lib.parallel import cores, map_ordered
from stages.lib.params.files import load_params
from stages.lib.params.preprocess import Labels, PreprocessParams
from stages.lib.process import run_stage
from stages.lib.tables import (
    number_groups,
    open_table,
    read_group,
    row_digests,
    table_writers,
    write_json,
)

IN = Path("data/ingest/transactions.parquet")
OUT = Path("data/preprocess")
REPORT = Path("metrics/preprocess/report.json")

ORIGIN = ("source_file", "source_sheet", "source_row")
TEXT_ROLES = ("text", "category", "group", "label_name")


PLAIN_AMOUNT = {"point": r"^-?\d+(\.\d+)?(E0)?$", "comma": r"^-?\d+(\.\d+E0)?$"}


def parse_amounts(column: pa.Array, params: PreprocessParams) -> pa.Array:
    """Return float64 amounts, null where the cell is empty or unreadable."""
    cells = pc.utf8_trim_whitespace(column)
    plain = pc.match_substring_regex(cells, PLAIN_AMOUNT[params.decimal])
    amounts = pc.cast(pc.if_else(plain, cells, None), pa.float64())
    if not pc.all(plain).as_py():
        marks = amount_marks(tuple(params.currency_words), tuple(params.credit_words))
        parse = partial(parse_amount, decimal=params.decimal, currency=marks[0], credit=marks[1])
        others = map_values(pc.if_else(plain, "", cells), parse, pa.float64())
        amounts = pc.coalesce(amounts, others)
    # Hundreds of digits are no amount.
    return pc.if_else(pc.is_finite(amounts), amounts, None)


# Accounts


def find_codes(column: pa.Array, labels: Labels) -> pa.Array:
    """Return account codes in one form: NFKC, no spaces around, padded with zeros, merged."""

    def code(text: str) -> str:
        text = padded(text, labels.pad_to)
        return labels.merge.get(text, text)

    return map_values(column, code, pa.string())


class Scan(NamedTuple):
    digests: np.ndarray
    names: Counter
    dates: dict[tuple[str, str], set[str]]


def dates_of_digits(raw: pa.Table, name: str) -> dict[tuple[str, str], set[str]]:
    """Return the cells of five or six digits that each file has in the column `name`."""
    cells = pc.utf8_trim_whitespace(raw[name])
    dated = pa.table({"file": raw["source_file"].cast(pa.string()), "cell": cells})
    dated = dated.filter(pc.match_substring_regex(cells, r"^\d{5,6}$"))
    found = defaultdict(set)
    for row in dated.group_by(["file", "cell"]).aggregate([]).to_pylist():
        found[row["file"], name].add(row["cell"])
    return found


def may_lack_zeros(cells: set[str], order: str) -> bool:
    """Return whether five digits among `cells` may be dates of six (``ddmmyy``, or as `order` has
    it) whose leading zero a spreadsheet dropped, and not Excel's count of days: the right reading
    reads more cells than the other, or as many within a shorter time."""

    def merit(days: list) -> tuple[int, int]:
        days = [day for day in days if day]
        return len(days), -(max(days) - min(days)).days if days else 0

    counted = [parse_date(cell, order) for cell in cells if len(cell) == 5]
    return merit(counted) <= merit([parse_date(cell.zfill(6), order) for cell in cells])


def doubtful_days(raw: pa.Table, name: str, doubtful: set[tuple[str, str]]) -> pa.Array:
    """Return which cells of the column `name` may be days or a date without its zero."""
    files = pa.array([file for file, column in doubtful if column == name], pa.string())
    five = pc.match_substring_regex(pc.utf8_trim_whitespace(raw[name]), r"^\d{5}$")
    in_files = pc.is_in(raw["source_file"].cast(pa.string()), files)
    return pc.and_(five, in_files).combine_chunks()


def scan_group(group: int, params: PreprocessParams) -> Scan:
    """Return what the rows of one group say about all others: digests, and names of accounts."""
    raw = read_group(IN, group)
    roles = column_roles(raw.schema)
    names = Counter()
    if params.labels.masked_rule == "from_name" and "label_name" in roles.values():
        codes = find_codes(_only(raw, roles, "label"), params.labels)
        pairs = pa.table([_names(_only(raw, roles, "label_name")), codes], ["name", "code"])
        counts = pairs.group_by(["name", "code"]).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            if re.fullmatch(params.labels.pattern, row["code"]) and not is_error(row["code"]):
                names[row["name"], row["code"]] += row["count_all"]
    dates = {}
    for name in (name for name, role in roles.items() if role == "date"):
        dates |= dates_of_digits(raw, name)
    # "masked" tells rows apart that differ only in what ingest masked.
    return Scan(row_digests(raw, [*roles, "masked"]), names, dates)


def column_roles(schema: pa.Schema) -> dict[str, str]:
    """Return ``{column: role}`` of the ledger's columns, as ingest noted them."""
    return {f.name: f.metadata[b"role"].decode() for f in schema if f.metadata}


def _only(table: pa.Table, roles: dict[str, str], role: str) -> pa.Array:
    name = next(name for name, r in roles.items() if r == role)
    return table[name].combine_chunks()


def _names(column: pa.Array) -> pa.Array:
    def name(text: str) -> str:
        return "" if is_error(text) else clean_text(text, "fold")

    return map_values(column, name, pa.string())


# One group of rows


class Task(NamedTuple):
    group: int
    params: PreprocessParams
    repeated: np.ndarray
    code_of_name: dict[str, str]
    # (file, column) whose five digits need not be Excel's count of days.
    doubtful: set[tuple[str, str]]


class Part(NamedTuple):
    taken: pa.Table
    rejects: pa.Table
    emptied: Counter
    accounts: Counter


def output_schema(raw: pa.Schema) -> pa.Schema:
    """Return the schema of the clean transactions: text, dates and amounts typed by role."""
    kinds = {"amount": pa.float64(), "date": pa.date32()}
    roles = column_roles(raw)
    return pa.schema(
        [raw.field(name) for name in ORIGIN]
        + [
            pa.field(name, kinds.get(role, pa.string()), metadata={"role": role})
            for name, role in roles.items()
            if role != "id"
        ]
    )


REJECTS = [("reason", pa.string()), ("column", pa.string())]
ACCOUNTS = pa.schema(
    [
        ("acct_code", pa.string()),
        ("acct_name", pa.string()),
        ("rows", pa.int64()),
        ("also_written", pa.list_(pa.string())),
    ]
)


def clean_group(task: Task) -> Part:
    """Return the clean rows of one group, and those that were refused."""
    params, labels = task.params, task.params.labels
    raw = read_group(IN, task.group)
    roles = column_roles(raw.schema)
    reason, column = np.full(len(raw), "", object), np.full(len(raw), "", object)
    emptied, columns = Counter(), {}

    def refuse(chosen: pa.Array, why: str, name: str) -> None:
        chosen = chosen.to_numpy(zero_copy_only=False) & (reason == "")
        reason[chosen], column[chosen] = why, name

    for name, role in roles.items():
        cells = raw[name].combine_chunks()
        if role in TEXT_ROLES:
            case = "keep" if role == "label_name" else params.case
            error = map_values(cells, is_error, pa.bool_()).fill_null(False)
            emptied[name] = pc.sum(error).as_py() or 0
            cells = pc.if_else(error, "", cells)
            columns[name] = map_values(cells, partial(clean_text, case=case), pa.string())
        elif role in ("amount", "date"):
            if role == "amount":
                columns[name], rule = parse_amounts(cells, params), params.unreadable_amount
            else:
                parse = partial(parse_date, order=params.date_order)
                columns[name] = map_values(cells, parse, pa.date32())
                rule = params.unreadable_date
                if task.doubtful:
                    doubtful = doubtful_days(raw, name, task.doubtful)
                    columns[name] = pc.if_else(doubtful, None, columns[name])
                    if rule == "reject":
                        refuse(doubtful, "five digits: days, or a date without its zero?", name)
            filled = pc.not_equal(pc.utf8_trim_whitespace(cells), "")
            unread = pc.and_(filled, pc.is_null(columns[name]))
            if rule == "reject":
                refuse(unread, f"unreadable {role}", name)
            else:
                emptied[name] += pc.sum(unread).as_py() or 0
        elif role == "label":
            codes = find_codes(cells, labels)
            hidden = _matches(codes, labels.masked)
            # A code that was hidden, or stood in another form, as the other columns may hold it.
            written = pc.if_else(hidden, "", cells)
            error = map_values(cells, is_error, pa.bool_()).fill_null(False)
            refuse(error, "spreadsheet error", name)
            if labels.masked_rule == "from_name" and "label_name" in roles.values():
                names = _names(_only(raw, roles, "label_name"))
                found = map_values(names, task.code_of_name.get, pa.string())
                codes = pc.if_else(pc.and_(hidden, pc.not_equal(found, "")), found, codes)
                hidden = _matches(codes, labels.masked)
            refuse(hidden, "masked account", name)
            refuse(pc.is_in(codes, pa.array(labels.retire, pa.string())), "retired account", name)
            refuse(pc.invert(_matches(codes, labels.pattern)), "no valid account", name)
            columns[name] = codes
    refuse(pa.array(task.repeated), "duplicate", "")

    schema = output_schema(raw.schema)
    clean = pa.Table.from_arrays(
        [raw[name] if name in ORIGIN else columns[name] for name in schema.names], schema=schema
    )
    good = pa.array(reason == "")
    taken = clean.filter(good)
    rejects = raw.select(ORIGIN).filter(pc.invert(good))
    for (name, kind), values in zip(REJECTS, (reason, column), strict=True):
        rejects = rejects.append_column(name, pa.array(values[reason != ""], kind))
    accounts = count_accounts(taken, roles, written.filter(good))
    return Part(taken, rejects, emptied, accounts)


def _matches(codes: pa.Array, pattern: str) -> pa.Array:
    fits = re.compile(pattern).fullmatch
    return map_values(codes, lambda code: bool(fits(code)), pa.bool_()).fill_null(bool(fits("")))


def count_accounts(taken: pa.Table, roles: dict[str, str], written: pa.Array) -> Counter:
    """Return the number of rows of each (code, name, code as the ledger wrote it)."""
    codes = _only(taken, roles, "label")
    has_names = "label_name" in roles.values()
    names = _only(taken, roles, "label_name") if has_names else pa.array([""] * len(codes))
    keys = ["code", "name", "written"]
    table = pa.table(
        [codes, names, map_values(written, partial(clean_text, case="keep"), pa.string())], keys
    )
    counts = table.group_by(keys).aggregate([([], "count_all")])
    columns = (counts[name].to_pylist() for name in (*keys, "count_all"))
    return Counter({tuple(key): rows for *key, rows in zip(*columns, strict=True)})


# All groups together


def chart_of_accounts(counts: Counter) -> pa.Table:
    """Return the accounts by code: acct_name (the most frequent name, or the code), rows, and
    also_written (other forms of the code, and other names that no account has more often)."""
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
        max(names[code].items(), key=lambda item: (bool(item[0]), item[1], item[0]))[0]
        for code in codes
    ]
    best = [name or code for name, code in zip(best, codes, strict=True)]
    rows = [names[code].total() for code in codes]
    others = [
        sorted(forms[code] - {"", code, name}) for code, name in zip(codes, best, strict=True)
    ]
    return pa.table([codes, best, rows, others], schema=ACCOUNTS)


def unique_codes(names: Counter) -> dict[str, str]:
    """Return the code of each account name that belongs to one code only."""
    codes = defaultdict(set)
    for name, code in names:
        codes[name].add(code)
    return {name: next(iter(c)) for name, c in codes.items() if len(c) == 1 and name}


def count_rejects(rejects: pa.Table) -> dict[tuple[str, str], tuple[int, str]]:
    """Return for each (reason, column) the number of rows, and the place of the first."""
    rows = rejects.select(["reason", "column"])
    rows = rows.append_column("at", pa.array(np.arange(len(rows))))
    found = rows.group_by(["reason", "column"]).aggregate([("at", "count"), ("at", "min")])
    counts = {}
    for row in sorted(found.to_pylist(), key=lambda row: row["at_min"]):
        first = rejects.slice(row["at_min"], 1).to_pylist()[0]
        place = f"{first['source_file']} row {first['source_row']}"
        counts[row["reason"], row["column"]] = row["at_count"], place
    return counts


def check_rejects(reasons: Counter, examples: dict, rows_in: int, limit: float) -> None:
    """Raise UserError if too many rows were refused (duplicates aside), or all of them."""
    refused = reasons.total() - reasons["duplicate", ""]
    if reasons.total() < rows_in and refused <= limit * rows_in:
        return
    top = "; ".join(
        f"{reason} in {column or 'all columns'}: {count:,} rows, such as {examples[reason, column]}"
        for (reason, column), count in reasons.most_common(3)
    )
    raise UserError(
        f"preprocess: {refused:,} of {rows_in:,} rows were refused (preprocess.max_reject_fraction "
        f"is {limit:.1%}); {top}; see the parameters of preprocess"
    )


def make_tasks(params: PreprocessParams, sizes: list[int], bar: tqdm) -> list[Task]:
    """Return what to do with each row group, of `sizes` rows, once all of them have been seen."""
    groups, rows = len(sizes), sum(sizes)
    digests, names, dates = [], Counter(), defaultdict(set)
    scan = partial(scan_group, params=params)
    for _, seen in map_ordered(scan, range(groups), min(cores(), groups)):
        digests.append(seen.digests)
        names.update(seen.names)
        for place, cells in seen.dates.items():
            dates[place] |= cells
        bar.update()
    repeated = np.zeros(rows, bool)
    if params.duplicates == "reject":
        repeated = number_groups(np.concatenate(digests)) != np.arange(rows)
    codes = unique_codes(names)
    doubtful = {place for place, cells in dates.items() if may_lack_zeros(cells, params.date_order)}
    parts = np.split(repeated, np.cumsum(sizes)[:-1])
    return [Task(group, params, part, codes, doubtful) for group, part in enumerate(parts)]


def main() -> None:
    params = load_params(preprocess=PreprocessParams).preprocess
    with open_table(IN) as file:
        rows_in, schema = file.metadata.num_rows, file.schema_arrow
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    reasons, emptied, accounts, rows_out, examples = Counter(), Counter(), Counter(), 0, {}
    out, kinds = output_schema(schema), [schema.field(name) for name in ORIGIN]
    schemas = {
        OUT / "transactions.parquet": out,
        OUT / "rejects.parquet": pa.schema([*kinds, *REJECTS]),
        OUT / "accounts.parquet": ACCOUNTS,
    }
    # The bar ends its line before an error begins another.
    bar = tqdm(total=2 * len(sizes), desc="preprocess", mininterval=1)
    with bar, table_writers(schemas) as (transactions, rejects, chart):
        tasks = make_tasks(params, sizes, bar)
        for _, part in map_ordered(clean_group, tasks, min(cores(), len(tasks))):
            transactions.write(part.taken)
            rejects.write(part.rejects)
            rows_out += len(part.taken)
            for reason, (count, example) in count_rejects(part.rejects).items():
                reasons[reason] += count
                examples.setdefault(reason, example)
            emptied.update(part.emptied)
            accounts.update(part.accounts)
            bar.update()
        if rows_in != rows_out + reasons.total():
            raise RuntimeError(f"rows were lost: {rows_in} in, {rows_out} out")
        check_rejects(reasons, examples, rows_in, params.max_reject_fraction)
        chart.write(chart_of_accounts(accounts))
    write_json(
        {
            "rows_in": rows_in,
            "rows_out": rows_out,
            "rows_rejected": reasons.total(),
            "reasons": {
                " in ".join(filter(None, key)): n
                for key, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
            },
            "accounts": len({code for code, *_ in accounts}),
            "cells_emptied": {name: n for name, n in sorted(emptied.items()) if n},
        },
        REPORT,
    )


if __name__ == "__main__":
    run_stage(main)
