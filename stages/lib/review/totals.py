"""Count the rows of a review sheet, and add up their amounts."""

from collections import Counter
from decimal import Decimal
from itertools import product

import pyarrow as pa

from stages.lib.review.columns import DECISIONS

# Account ("" for none) and decision.
Group = tuple[str, str]


class Totals:
    """Rows and amounts by account and decision.

    Attributes
    ----------
    rows : Counter of (str, str)
    amounts : dict of (str, str) to Decimal
        Exact, so they do not depend on how the rows are cut into batches.
    names : dict of str to str
        The names of the accounts.
    """

    def __init__(self) -> None:
        self.rows: Counter[Group] = Counter()
        self.amounts: dict[Group, Decimal] = {}
        self.names: dict[str, str] = {}

    def add(self, batch: pa.Table) -> None:
        """Count the rows of a batch, which has our columns."""
        keys = ("acct_code", "decision", "seen_amount", "acct_name")
        columns = (batch[key].to_pylist() for key in keys)
        for account, decision, amount, name in zip(*columns, strict=True):
            group = (account or "", decision)
            self.rows[group] += 1
            if amount is not None:
                added = Decimal(repr(amount))
                self.amounts[group] = self.amounts.get(group, Decimal(0)) + added
            if account:
                self.names.setdefault(account, name or "")

    def of(self, account: str | None = None, decision: str | None = None) -> tuple[int, float]:
        """Return the number of rows and their amount; None: of all accounts or decisions."""
        accounts = self.accounts() if account is None else [account]
        decisions = DECISIONS if decision is None else [decision]
        groups = list(product(accounts, decisions))
        amount = sum((self.amounts.get(group, Decimal(0)) for group in groups), Decimal(0))
        return sum(self.rows[group] for group in groups), float(amount)

    def accounts(self) -> list[str]:
        """Return the accounts in the order of their codes, "" last."""
        return sorted({account for account, _ in self.rows}, key=lambda code: (not code, code))
