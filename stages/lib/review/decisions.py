"""Which rows are posted unseen, and why a person looks at the others."""

from fnmatch import fnmatchcase
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from stages.lib.normalize import clean_text
from stages.lib.params.predict import Review
from stages.lib.review.words import encode_reason

POST, REVIEW, REFUSED, NONE = "post", "review", "refused", "none"


class Proposals(NamedTuple):
    """Rows that were coded, column by column.

    Attributes
    ----------
    keys : list of str
        See `row_key`.
    accounts : list of str
        The account that is proposed.
    confidence : ndarray of float64, (rows,)
        Its probability.
    amounts : list of float or None
    vendors : list of str
    given : list of str
        The account that the file has; "" for none.
    equal, equal_right : ndarray of int64, (rows,)
        Past rows with the same words, and how many of them have the account that is proposed.
    disagree : ndarray of bool, (rows,)
        Corrections of rows with the same words say different accounts.
    """

    keys: list[str]
    accounts: list[str]
    confidence: np.ndarray
    amounts: list[float | None]
    vendors: list[str]
    given: list[str]
    equal: np.ndarray
    equal_right: np.ndarray
    disagree: np.ndarray


def is_drawn(key: str, share: float, seed: int) -> bool:
    """Return whether a row is drawn for a check: the same rows whatever others are coded.

    Parameters
    ----------
    key : str
        Of the row.
    share : float
        Of the rows, 0 to 1.
    seed : int
        Another one draws other rows.
    """
    draw = sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(draw[:8], "big") < share * 2**64


def reasons_to_review(
    rows: Proposals,
    threshold: float | None,
    precision: float,
    trained_rows: dict[str, int],
    rules: Review,
) -> list[list[str]]:
    """Return why a person looks at each row, as `encode_reason` makes it; none: it is posted.

    Parameters
    ----------
    rows : Proposals
    threshold : float or None
        The least probability that is posted; None: none is enough.
    precision : float
        Of equal past rows at least this share must have the account.
    trained_rows : dict of str to int
        Training rows of each account; an account that is not there has none.
    rules : Review
    """
    accounts = set(rules.accounts)
    patterns = [clean_text(pattern, "fold") for pattern in rules.vendors]
    listed = {
        vendor: any(fnmatchcase(clean_text(vendor, "fold"), pattern) for pattern in patterns)
        for vendor in dict.fromkeys(rows.vendors)
    }
    limit = np.inf if threshold is None else threshold
    found = []
    for key, account, confidence, amount, vendor, given, equal, right, disagree in zip(
        rows.keys,
        rows.accounts,
        rows.confidence.tolist(),
        rows.amounts,
        rows.vendors,
        rows.given,
        rows.equal.tolist(),
        rows.equal_right.tolist(),
        rows.disagree.tolist(),
        strict=True,
    ):
        reasons = []
        if confidence < limit:
            reasons.append(encode_reason("below_threshold"))
        if disagree:
            reasons.append(encode_reason("corrections_disagree"))
        if equal and right < precision * equal:
            reasons.append(encode_reason("past_rows_disagree", right=right, rows=equal))
        if given and given != account:
            reasons.append(encode_reason("given_account_differs", account=given))
        if rules.amount_above is not None:
            if amount is None:
                reasons.append(encode_reason("no_amount", limit=rules.amount_above))
            elif abs(amount) > rules.amount_above:
                reasons.append(encode_reason("amount_above", limit=rules.amount_above))
        if account in accounts:
            reasons.append(encode_reason("listed_account"))
        if listed[vendor]:
            reasons.append(encode_reason("listed_vendor"))
        if (count := trained_rows.get(account, 0)) < rules.fewer_rows_than:
            reasons.append(encode_reason("few_rows", rows=count))
        if not reasons and is_drawn(key, rules.share, rules.seed):
            reasons.append(encode_reason("random_check"))
        found.append(reasons)
    return found
