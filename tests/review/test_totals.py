"""Totals are exact, however the rows are cut."""

from decimal import Decimal

import pyarrow as pa
from review_rows import batch

from stages.lib.review.totals import Totals


def totals(*batches: pa.Table) -> Totals:
    made = Totals()
    for rows in batches:
        made.add(rows)
    return made


def test_rows_and_amounts_are_counted_by_account_and_decision():
    made = totals(batch(["post", "review", "post", "refused", "none"]))
    assert made.of() == (5, 9.0)
    assert made.of(decision="post") == (2, 6.0)
    assert made.of("0101") == (3, 9.0)
    assert made.of("0101", "review") == (1, 3.0)
    assert made.of("", "refused") == (1, 0.0)
    assert made.of("0102") == (0, 0.0)
    assert made.accounts() == ["0101", ""]
    assert made.names == {"0101": "Office supplies"}


def test_amounts_do_not_depend_on_the_batches():
    rows = batch(["post"] * 1_000, seen_amount=0.1)
    whole, cut = totals(rows), totals(*(rows.slice(start, 7) for start in range(0, 1_000, 7)))
    assert whole.amounts == cut.amounts == {("0101", "post"): Decimal("100.0")}
    assert whole.of() == cut.of() == (1_000, 100.0)
