"""Count what cleaning took and refused, and stop if it refused too much."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from stages.lib.errors import UserError, UserErrors
from stages.lib.ledger.account_spellings import find_spellings
from stages.lib.ledger.causes import cause_of, cause_of_accounts
from stages.lib.ledger.clean_columns import (
    LOST_SIGN,
    NO_ACCOUNT,
    UNREAD_AMOUNT,
    UNREAD_DATE,
    ZERO_DATE,
)
from stages.lib.ledger.format_findings import Told
from stages.lib.ledger.formats import Place
from stages.lib.ledger.noted_cells import REPEATED, Example, Noted, Reason, Unread
from stages.lib.params.preprocess import PreprocessParams

_ENTRIES = "date_order, preprocess.decimal or preprocess.other_formats"
# Fewer cells of a file than these may all be wrong.
_FEW = 5
_NOTES = {
    UNREAD_AMOUNT: "cannot be read and are empty now, as preprocess.unreadable_amount says",
    UNREAD_DATE: "cannot be read and are empty now, as preprocess.unreadable_date says",
    ZERO_DATE: "are dates of zeros and are empty now",
    LOST_SIGN: "have \N{REPLACEMENT CHARACTER} for a currency sign that was lost, and are read",
}


@dataclass
class Tally:
    """What was taken and refused. The tallies of several groups of rows add up.

    Attributes
    ----------
    rows_out : int
    reasons : Counter
        Refused rows, by (reason, column).
    examples : dict
        The first row of each (reason, column), with some of its cells.
    emptied : Counter
        By column: cells that had content and are empty now.
    accounts : Counter
        Rows of each (code, name, code as the ledger wrote it).
    notes : Counter
        Noted cells that refuse no row, by (reason, column).
    unread : dict
        As in `Noted`.
    told : list of Told
        Lines about files that write dates or amounts in another way.
    forms : Counter
        Rows of each form of an account that the pattern refuses.
    """

    rows_out: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, Example] = field(default_factory=dict)
    emptied: Counter[str] = field(default_factory=Counter)
    accounts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    notes: Counter[Reason] = field(default_factory=Counter)
    unread: dict[Place, Unread] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    forms: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        taken: pa.Table,
        rejects: pa.Table,
        emptied: Counter,
        accounts: Counter,
        noted: Noted,
        forms: Counter,
    ) -> None:
        """Count the rows of one group."""
        self.rows_out += len(taken)
        found = rejects.group_by(["reason", "column"]).aggregate([([], "count_all")])
        for row in found.to_pylist():
            self.reasons[row["reason"], row["column"]] += row["count_all"]
        self.emptied.update(emptied)
        self.accounts.update(accounts)
        self.forms.update(forms)
        self.notes.update(noted.counts)
        self.examples = noted.examples | self.examples
        for place, unread in noted.unread.items():
            self.unread[place] = self.unread.get(place, Unread()).plus(unread)

    def check(self, rows_in: int, params: PreprocessParams, has_labels: bool = True) -> None:
        """Check that enough rows and cells were read, in the way in which their files write them.

        Parameters
        ----------
        rows_in : int
        params : PreprocessParams
        has_labels : bool
            As in `clean_rows`.

        Raises
        ------
        UserError
            ``too-many-rejects``: all rows were refused, or too many (duplicates aside).
            ``other-date-order``, ``swapped-dates``, ``other-decimal-sign``: values of a file would
            be wrong. ``mostly-unread``: most cells of a column of a file would be emptied.
        """
        if rows_in != self.rows_out + self.reasons.total():
            raise RuntimeError(f"rows were lost: {rows_in} in, {self.rows_out} out")
        refused = self.reasons.total() - self.reasons["duplicate", ""]
        limit = params.max_reject_fraction if has_labels else 1.0
        if not self.rows_out or refused > limit * rows_in:
            raise self._too_many(rows_in, refused, limit, params)
        if has_labels and (errors := self._wrong_values(params)):
            raise errors[0] if len(errors) == 1 else UserErrors(errors)

    def _too_many(
        self, rows_in: int, refused: int, limit: float, params: PreprocessParams
    ) -> UserError:
        counted = Counter({key: n for key, n in self.reasons.items() if key[0] != "duplicate"})
        top = counted.most_common(3)
        problem = "; ".join(
            f"{reason} in {column or 'all columns'}: {count:,} rows, such as "
            f"{self.examples[reason, column]}"
            for (reason, column), count in top
        )
        columns = {column for (_, column), _ in top}
        told = [one.error for one in self.told if one.is_sure or one.column in {*columns, ""}]
        explained = {one.column for one in self.told}
        cures = [
            cause_of_accounts(self.forms, params.labels.pattern)
            if reason == NO_ACCOUNT
            else cause_of((reason, column), self.examples[reason, column].cells, params)
            for (reason, column), _ in top
            if column not in explained or reason not in (UNREAD_AMOUNT, UNREAD_DATE)
        ]
        cures += ["do what the next lines say"] if told else []
        error = UserError(
            "too-many-rejects",
            "params.yaml: preprocess.max_reject_fraction",
            f"{refused:,} of {rows_in:,} rows were refused, and the limit is {limit:.1%}: "
            f"{problem or 'there are no rows'}",
            "; ".join([*filter(None, cures), "or raise the limit"]),
        )
        return UserErrors([error, *told]) if told else error

    def _wrong_values(self, params: PreprocessParams) -> list[UserError]:
        known = {one.column for one in self.told if one.is_sure}
        errors = [one.error for one in self.told if one.is_sure]
        for (file, column), (filled, unread, example) in self.unread.items():
            if column not in known and unread >= _FEW and 2 * unread > filled:
                key = "unreadable_date" if (UNREAD_DATE, column) in self.notes else ""
                key = key or "unreadable_amount"
                problem = (
                    f"{unread:,} of {filled:,} cells of {column} in {file} cannot be read and "
                    f"would be empty, such as {example}"
                )
                action = f"say in preprocess.{_ENTRIES} how the file writes them, or choose reject"
                where = f"params.yaml: preprocess.{key}"
                errors.append(UserError("mostly-unread", where, problem, action))
        unused = [one.error for one in self.told if not one.column]
        return [*errors, *unused] if errors else []

    def remarks(self) -> list[str]:
        """Return one line for each thing that a user should look at."""
        lines = [str(one.error) for one in self.told]
        for (reason, column), count in sorted(self.notes.items()):
            if reason == REPEATED:
                continue
            lines.append(
                f"{count:,} cells of {column} {_NOTES[reason]}; the first is "
                f"{self.examples[reason, column]}"
            )
        return [*lines, *self._remark_repeats(), *self._remark_spellings()]

    def _remark_repeats(self) -> list[str]:
        lines = []
        if dropped := self.reasons["duplicate", ""]:
            lines.append(
                f"{dropped:,} rows are refused because they repeat an earlier row in every column "
                f"of ingest.columns, such as {self.examples['duplicate', '']}; if they are real, "
                "set preprocess.duplicates: keep"
            )
        if kept := self.notes[REPEATED, ""]:
            lines.append(
                f"{kept:,} rows are kept though they repeat an earlier row in every column of "
                f"ingest.columns, such as {self.examples[REPEATED, '']}: their sheet lists them "
                "more than once, and they have no document number; to refuse them, set "
                "preprocess.duplicates: reject_all"
            )
        return lines

    def _remark_spellings(self) -> list[str]:
        if not (merge := self.spellings()):
            return []
        count, (one, other) = len({code for code, *_ in self.accounts}), next(iter(merge.items()))
        return [
            f"{count:,} accounts are probably {count - len(merge):,}, some of them in several "
            f"spellings, such as {one!r} and {other!r}; if so, merge them in "
            "preprocess.labels.merge (preprocess prints the lines to copy)"
        ]

    def spellings(self) -> dict[str, str]:
        """Return ``{code: other code}`` for accounts that are probably one."""
        rows = Counter()
        for (code, *_), count in self.accounts.items():
            rows[code] += count
        return find_spellings(rows)

    def report(self) -> dict:
        """Return the counts as the stage writes them."""
        refused, remarks = self.reasons.total(), self.remarks()
        report = {
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
        if merge := self.spellings():
            report["merge"] = merge
        return report | {"remarks": remarks} if remarks else report
