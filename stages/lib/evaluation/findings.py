"""What goes wrong on the test rows, and where: slices, accounts, confusions.

Each table is a list of records, for the report and for spreadsheets.
"""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import AMOUNT_BUCKET, DATE, GROUP, LABEL
from stages.lib.errors import UserError
from stages.lib.evaluation.judging import RIVAL, Judged, Scored, amounts
from stages.lib.evaluation.metrics import RowScores, account_scores, mean
from stages.lib.evaluation.posting import posted_rows
from stages.lib.evaluation.row_texts import describe
from stages.lib.params.evaluate import EvaluateParams

CONFUSION_EXAMPLES = 3
# The values of the slices that are no amount and no month, in the order in which they are shown.
# The words for them are in words/.
VALUES = {
    "vendor": ("seen", "unseen", "none"),
    "account_size": ("untrained", "rare", "middle", "frequent"),
    "description": ("filled", "empty"),
}


def description_field(chosen: str | None, fields: list[str], roles: dict[str, str]) -> str | None:
    """Return the visible field whose empty cells make a slice; None: there is no such slice.

    Parameters
    ----------
    chosen : str or None
        ``evaluate.description_field``. None: the first visible field of role text.
    fields : list of str
        Visible fields.
    roles : dict of {field: role}

    Raises
    ------
    UserError
        `chosen` is not a visible field.
    """
    if chosen is None:
        return next((name for name in fields if roles.get(name) == "text"), None)
    if chosen not in fields:
        raise UserError(
            "unsuitable-column",
            "params_train.yaml: evaluate.description_field",
            f"'{chosen}' is not a visible field; expected one of {', '.join(fields)}",
            "correct the name, or set it to null to choose by role",
        )
    return chosen


def slice_values(
    test: pa.Table, train: pa.Table, middle: int, frequent: int, description: str | None
) -> dict[str, list[str]]:
    """Return ``{slice: value of each test row}``.

    The values are those of `VALUES`; of ``month`` such as "2018-01", and of ``amount`` those of the
    column amount_bucket; "" where there is none.

    Parameters
    ----------
    test, train : Table
        Split tables.
    middle, frequent : int
        Training rows from which an account counts as middle-sized, and as frequent.
    description : str or None
        Column whose empty cells make a slice; None: no such slice.
    """
    seen = set(train[GROUP].to_pylist())
    rows = Counter(train[LABEL].to_pylist())

    def size(code):
        if not rows[code]:
            return "untrained"
        return "rare" if rows[code] < middle else "middle" if rows[code] < frequent else "frequent"

    def vendor(name):
        return ("seen" if name in seen else "unseen") if name else "none"

    values = {
        "vendor": [vendor(name) for name in test[GROUP].to_pylist()],
        "account_size": [size(code) for code in test[LABEL].to_pylist()],
        "month": [f"{day:%Y-%m}" if day else "" for day in test[DATE].to_pylist()],
        "amount": [band or "" for band in test[AMOUNT_BUCKET].to_pylist()],
    }
    if description:
        text = test[description].to_pylist()
        values["description"] = ["filled" if value else "empty" for value in text]
    return values


def _in_order(name: str, column: np.ndarray, amount: np.ndarray) -> list[str]:
    """Return the values of a slice as they are shown: amounts by their least one."""
    found = set(column.tolist())
    if name in VALUES:
        return [value for value in VALUES[name] if value in found]
    if name == "amount":
        least = {v: np.nan_to_num(amount[column == v], nan=np.inf).min() for v in found}
        return sorted(found, key=lambda value: (least[value], value))
    return sorted(found, key=lambda value: (value == "", value))


def slice_table(
    values: dict[str, list[str]],
    coder: Judged,
    others: dict[str, RowScores],
    amount: np.ndarray,
) -> list[dict]:
    """Return one record for each value of each slice.

    ``posted`` counts its rows above the threshold that is estimated for 95 %, and ``posted_right``
    those of them that are right.

    Parameters
    ----------
    values : dict of {slice: value of each row}
    coder : Judged
    others : dict of {name: RowScores}
        Of the parts of the coder, and of its rival.
    amount : float64 (n,)
        NaN where there is none.
    """
    records, scores = [], coder.scores
    posted = posted_rows(scores.confidence, coder.thresholds[0.95])
    for name, column in values.items():
        column = np.array(column)
        for value in _in_order(name, column, amount):
            inside = column == value
            records.append(
                {
                    "slice": name,
                    "value": value,
                    "rows": int(inside.sum()),
                    "accuracy": mean(scores.correct[inside]),
                    **{f"{name}_accuracy": mean(o.correct[inside]) for name, o in others.items()},
                    "posted": int((inside & posted).sum()),
                    "posted_right": int((inside & posted & scores.correct).sum()),
                }
            )
    return records


def account_table(
    scores: RowScores, train_rows: np.ndarray, known: list[str], names: dict[str, str]
) -> list[dict]:
    """Return one record for each account that the test rows have or the coder predicts.

    ``confused_with`` is the account that the coder most often predicts for its rows instead; of
    equal ones the one with the lower integer.

    Parameters
    ----------
    scores : RowScores
    train_rows : int (C,)
        Training rows of each account.
    known : list of str, length C
        Code of each account.
    names : dict of {code: name}
    """
    by_account = account_scores(scores.label, scores.predicted, len(known))
    given: dict[int, Counter] = defaultdict(Counter)
    wrong = ~scores.correct
    for label, predicted in zip(
        scores.label[wrong].tolist(), scores.predicted[wrong].tolist(), strict=True
    ):
        given[label][predicted] += 1
    records = []
    for index in np.flatnonzero(by_account.support + by_account.predictions):
        other = min(given[index].items(), key=lambda item: (-item[1], item[0]), default=None)
        records.append(
            {
                "account": known[index],
                "name": names.get(known[index], ""),
                "train_rows": int(train_rows[index]),
                "rows": int(by_account.support[index]),
                "predictions": int(by_account.predictions[index]),
                "precision": float(by_account.precision[index]),
                "recall": float(by_account.recall[index]),
                "f1": float(by_account.f1[index]),
                "confused_with": known[other[0]] if other else "",
                "confused_rows": other[1] if other else 0,
            }
        )
    return sorted(records, key=lambda record: (-record["rows"], record["account"]))


def confusion_table(
    scores: RowScores, test: pa.Table, fields: list[str], known: list[str], names: dict[str, str]
) -> list[dict]:
    """Return the pairs (account in the ledger, predicted account), the most frequent first.

    The examples of a pair are the rows with the highest probability.
    """
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    money = np.abs(np.nan_to_num(amounts(test)))
    wrong = np.flatnonzero(~scores.correct)
    for row in wrong[np.argsort(-scores.confidence[wrong], kind="stable")].tolist():
        pairs[int(scores.label[row]), int(scores.predicted[row])].append(row)
    return [
        {
            "account": known[label],
            "name": names.get(known[label], ""),
            "predicted": known[predicted],
            "predicted_name": names.get(known[predicted], ""),
            "rows": len(rows),
            "amount": float(money[rows].sum()),
            "examples": [
                {**shown, "probability": float(scores.confidence[row])}
                for row, shown in zip(
                    rows[:CONFUSION_EXAMPLES],
                    describe(test, rows[:CONFUSION_EXAMPLES], fields),
                    strict=True,
                )
            ],
        }
        for (label, predicted), rows in sorted(
            pairs.items(), key=lambda item: (-len(item[1]), item[0])
        )
    ]


def find(
    scored: Scored,
    sides: dict[str, pa.Table],
    shown: pa.Table,
    fields: list[str],
    description: str | None,
    names: dict[str, str],
    params: EvaluateParams,
) -> dict[str, list[dict]]:
    """Return the tables ``slices``, ``accounts`` and ``confusions``.

    Parameters
    ----------
    scored : Scored
    sides : dict of Table
        The rows of ``train`` and ``test``.
    shown : Table
        The test rows in the spelling of the ledger.
    fields : list of str
        The columns of `shown` that are shown.
    description : str or None
        As `description_field` returns it.
    names : dict of {code: name}
        The chart of accounts.
    params : EvaluateParams
    """
    train, test, scores, known = sides["train"], sides["test"], scored.coder.scores, scored.known
    slices = slice_values(
        test, train, params.middle_account_rows, params.frequent_account_rows, description
    )
    train_rows = np.bincount(scored.label["train"], minlength=len(known))
    others = {name: part.scores for name, part in scored.parts.items()} | {RIVAL: scored.rival}
    return {
        "slices": slice_table(slices, scored.coder, others, amounts(test)),
        "accounts": account_table(scores, train_rows, known, names),
        "confusions": confusion_table(scores, shown, fields, known, names),
    }
