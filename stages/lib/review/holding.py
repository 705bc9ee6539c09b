"""Whether a model still holds: its figures by month, drift, and the comparison of two models."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.stats import binomtest, fisher_exact

from stages.lib.contracts.names import DATE
from stages.lib.evaluation.comparison import mcnemar
from stages.lib.params.predict import PredictParams
from stages.lib.review.posted_rows import CodedByModel

RISK = 0.05  # probability that a month without a change looks like one
NO_DATE = "no date"


def months_of(rows: pa.Table) -> np.ndarray:
    """Return the month of each row of a base table, such as ``2019-04``; `NO_DATE` for none."""
    days = rows[DATE].to_pylist()
    return np.array([f"{day:%Y-%m}" if day else NO_DATE for day in days], object)


def _in_order(months: np.ndarray) -> list[str]:
    return sorted(set(months.tolist()), key=lambda name: (name != NO_DATE, name))


def interval(right: int, rows: int) -> list[float] | None:
    """Return the exact 95 % interval of a share (Clopper and Pearson 1934), None without rows."""
    if not rows:
        return None
    found = binomtest(right, rows).proportion_ci(1 - RISK, method="exact")
    return [float(found.low), float(found.high)]


def _share(right: int, rows: int) -> float | None:
    return right / rows if rows else None


def figures(coded: CodedByModel, accounts: Sequence[str], rows: np.ndarray) -> dict[str, object]:
    """Return the figures of some rows.

    Parameters
    ----------
    coded : CodedByModel
    accounts : sequence of str
        That all rows were posted to.
    rows : ndarray of bool
        Which rows.
    """
    count, right = int(rows.sum()), int(coded.correct[rows].sum())
    posts = rows & coded.posts
    posted, posted_right = int(posts.sum()), int(coded.correct[posts].sum())
    found = Counter(code for code, is_in in zip(accounts, rows.tolist(), strict=True) if is_in)
    vendors = coded.new_vendor
    return {
        "rows": count,
        "accuracy": _share(right, count),
        "accuracy_interval": interval(right, count),
        "top3_accuracy": _share(int(coded.in_top3[rows].sum()), count),
        "posted_rate": _share(posted, count),
        "posted_rows": posted,
        "posted_precision": _share(posted_right, posted),
        "posted_precision_interval": interval(posted_right, posted),
        "new_vendor_rows": None if vendors is None else int(vendors[rows].sum()),
        "new_accounts": {
            code: number for code, number in sorted(found.items()) if code not in coded.trained_rows
        },
    }


def by_month(
    coded: CodedByModel, accounts: Sequence[str], month: np.ndarray
) -> dict[str, dict[str, object]]:
    """Return the figures of the rows of each month that the model has not learned, oldest first."""
    counted = ~coded.learned
    return {
        name: figures(coded, accounts, counted & (month == name))
        for name in _in_order(month[counted])
    }


def unused_accounts(coded: CodedByModel, accounts: Sequence[str]) -> dict[str, float]:
    """Return the accounts with training rows that these rows should have and do not, each with the
    rows that were to be expected.

    An account is listed if chance alone would leave it out with a probability of at most 5 %,
    divided by the number of accounts that are looked at.

    Parameters
    ----------
    coded : CodedByModel
    accounts : sequence of str
        That the rows were posted to.
    """
    used, total = set(accounts), sum(coded.trained_rows.values())
    risk = RISK / max(1, len(coded.trained_rows))
    return {
        code: len(accounts) * rows / total
        for code, rows in sorted(coded.trained_rows.items())
        if code not in used and rows < total and (1 - rows / total) ** len(accounts) <= risk
    }


def reasons_to_retrain(
    months: dict[str, dict],
    total: dict[str, object],
    precision: float,
    trained_rows: dict[str, int],
) -> list[str]:
    """Return why a retraining is due; none: nothing shows that it is.

    Parameters
    ----------
    months : dict
        As `by_month` returns them.
    total : dict
        The figures of all these rows.
    precision : float
        Share of the posted rows that must be right.
    trained_rows : dict of str to int
        The training rows of each account.
    """
    newest, reasons = list(months)[-1], []
    samples = {newest: months[newest], **({"all months": total} if len(months) > 1 else {})}
    for name, found in samples.items():
        if found["posted_rows"]:
            right = round(found["posted_precision"] * found["posted_rows"])
            p = binomtest(right, found["posted_rows"], precision, "less").pvalue
            if p <= RISK / len(samples):
                reasons.append(
                    f"{name}: {right:,} of {found['posted_rows']:,} posted rows are right "
                    f"({found['posted_precision']:.1%}); predict.precision promises "
                    f"{precision:.1%} (exact binomial test, p = {p:.2g})"
                )
    earlier = [found for name, found in months.items() if name not in (newest, NO_DATE)]
    if earlier and newest != NO_DATE:
        now, before = _right_and_wrong([months[newest]]), _right_and_wrong(earlier)
        p = float(fisher_exact([now, before], alternative="less").pvalue)
        if p <= RISK:
            reasons.append(
                f"{newest}: the accuracy is {now[0] / sum(now):.1%}, and was "
                f"{before[0] / sum(before):.1%} in the months before (Fisher's exact test, "
                f"p = {p:.2g})"
            )
    # Good and Turing (1953): new rows have an account without training rows as often as training
    # rows have an account that no other has. One more, so that it is never 0.
    expected = (1 + sum(rows == 1 for rows in trained_rows.values())) / (
        1 + sum(trained_rows.values())
    )
    new = sum(total["new_accounts"].values())
    p = binomtest(new, total["rows"], expected, "greater").pvalue
    if p <= RISK:
        reasons.append(
            f"{new:,} of {total['rows']:,} rows have an account that the model never learned "
            f"({new / total['rows']:.2%}); {expected:.2%} were to be expected (exact binomial "
            f"test, p = {p:.2g})"
        )
    return reasons


def model_report(
    coded: CodedByModel, accounts: Sequence[str], month: np.ndarray, predict: PredictParams
) -> dict[str, object]:
    """Return what posted rows say of a model; only rows that it has not learned count.

    Returns
    -------
    dict
        ``rows`` and ``learned_rows``; if any row counts, ``months``, ``all_months``,
        ``unused_accounts``, ``retraining_due`` and its ``reasons``.
    """
    counted = ~coded.learned
    found = {"rows": int(counted.sum()), "learned_rows": int(coded.learned.sum())}
    if not found["rows"]:
        return found
    months, total = by_month(coded, accounts, month), figures(coded, accounts, counted)
    used = [code for code, counts in zip(accounts, counted.tolist(), strict=True) if counts]
    reasons = reasons_to_retrain(months, total, predict.precision, coded.trained_rows)
    return {
        **found,
        "months": months,
        "all_months": total,
        "unused_accounts": unused_accounts(coded, used),
        "retraining_due": bool(reasons),
        "reasons": reasons,
    }


def _right_and_wrong(found: Sequence[dict]) -> tuple[int, int]:
    right = sum(round(month["accuracy"] * month["rows"]) for month in found)
    return right, sum(month["rows"] for month in found) - right


def paired(
    first: CodedByModel, second: CodedByModel, accounts: Sequence[str], month: np.ndarray
) -> dict[str, dict[str, object]]:
    """Compare two models on the rows that neither has learned: of the newest month, and of all.

    Returns
    -------
    dict
        By month and ``all months``; empty if there is no such row.
    """
    both = ~first.learned & ~second.learned
    months = _in_order(month[both])
    samples = {name: both & (month == name) for name in months[-1:]}
    samples |= {"all months": both} if len(months) > 1 else {}
    compared = {}
    for name, rows in samples.items():
        only_first, only_second, p = mcnemar(first.correct[rows], second.correct[rows])
        compared[name] = {
            "rows": int(rows.sum()),
            first.folder: figures(first, accounts, rows),
            second.folder: figures(second, accounts, rows),
            "only_first": only_first,
            "only_second": only_second,
            "p": p,
        }
    return compared


def verdict(first: str, second: str, compared: dict[str, object]) -> str:
    """Return which of two models is better on the same rows, if it can be told."""
    if compared["p"] > RISK:
        return "they cannot be told apart"
    return f"{first if compared['only_first'] > compared['only_second'] else second} is better"
