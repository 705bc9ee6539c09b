"""Count what cleaning took and refused, and stop if it refused too much."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from stages.lib.errors import UserError

# A reason to refuse a row, and the column that it is about ("" for all of them).
Reason = tuple[str, str]


def count_rejects(rejects: pa.Table) -> dict[Reason, tuple[int, str]]:
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


@dataclass
class Tally:
    """What was taken and refused. The tallies of several groups of rows add up.

    Attributes
    ----------
    rows_out : int
    reasons : Counter
        Refused rows, by (reason, column).
    examples : dict
        The place of the first row of each (reason, column).
    emptied : Counter
        By column: cells that had content and are empty now.
    accounts : Counter
        Rows of each (code, name, code as the ledger wrote it).
    """

    rows_out: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, str] = field(default_factory=dict)
    emptied: Counter[str] = field(default_factory=Counter)
    accounts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, taken: pa.Table, rejects: pa.Table, emptied: Counter, accounts: Counter) -> None:
        """Count the rows of one group."""
        self.rows_out += len(taken)
        for reason, (count, example) in count_rejects(rejects).items():
            self.reasons[reason] += count
            self.examples.setdefault(reason, example)
        self.emptied.update(emptied)
        self.accounts.update(accounts)

    def check(self, rows_in: int, limit: float) -> None:
        """Raise UserError if all rows were refused, or too many (duplicates aside).

        Parameters
        ----------
        rows_in : int
        limit : float
            The largest share of refused rows, 0 to 1.
        """
        if rows_in != self.rows_out + self.reasons.total():
            raise RuntimeError(f"rows were lost: {rows_in} in, {self.rows_out} out")
        refused = self.reasons.total() - self.reasons["duplicate", ""]
        if self.rows_out and refused <= limit * rows_in:
            return
        top = "; ".join(
            f"{reason} in {column or 'all columns'}: {count:,} rows, such as "
            f"{self.examples[reason, column]}"
            for (reason, column), count in self.reasons.most_common(3)
        )
        raise UserError(
            "too-many-rejects",
            "params.yaml: preprocess.max_reject_fraction",
            f"{refused:,} of {rows_in:,} rows were refused, and the limit is {limit:.1%}: "
            f"{top or 'there are no rows'}",
            "correct the keys of preprocess that say how such columns are read, or raise the limit",
        )

    def report(self) -> dict:
        """Return the counts as the stage writes them."""
        refused = self.reasons.total()
        return {
            "rows_in": self.rows_out + refused,
            "rows_out": self.rows_out,
            "rows_rejected": refused,
            "reasons": {
                " in ".join(filter(None, key)): count
                for key, count in sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
            },
            "accounts": len({code for code, *_ in self.accounts}),
            "cells_emptied": {name: count for name, count in sorted(self.emptied.items()) if count},
        }
