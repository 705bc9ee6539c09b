"""What goes wrong on the test rows, and where: slices, accounts, confusions, suspect rows.

Each table is a list of records, for the report and for spreadsheets.
"""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import AMOUNT, AMOUNT_BUCKET, DATE, GROUP, LABEL, ORIGIN, ROW_ID
from stages.lib.errors import UserError
from stages.lib.evaluation.judging import RIVAL, Judged, Scored, amounts
from stages.lib.evaluation.metrics import RowScores, account_scores, mean
from stages.lib.evaluation.posting import auto_post
from stages.lib.params.evaluate import EvaluateParams

CONFUSION_EXAMPLES = 3
PLACE = (ROW_ID, *ORIGIN, DATE, AMOUNT)  # where to find a row in the ledger


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
            return "never in training"
        if rows[code] < middle:
            return f"rare (under {middle} training rows)"
        if rows[code] < frequent:
            return f"middle ({middle} and more)"
        return f"frequent ({frequent} and more)"

    def vendor(name):
        return ("in training" if name in seen else "not in training") if name else "no vendor"

    values = {
        "vendor": [vendor(name) for name in test[GROUP].to_pylist()],
        "account size": [size(code) for code in test[LABEL].to_pylist()],
        "month": [f"{day:%Y-%m}" if day else "no date" for day in test[DATE].to_pylist()],
        "amount": [band or "none" for band in test[AMOUNT_BUCKET].to_pylist()],
    }
    if description:
        text = test[description].to_pylist()
        values["description"] = ["filled" if value else "empty" for value in text]
    return values


def slice_table(
    values: dict[str, list[str]],
    coder: Judged,
    others: dict[str, RowScores],
    amount: np.ndarray,
) -> list[dict]:
    """Return one record for each value of each slice, in order of the value.

    The values of the slice ``amount`` are in the order of their least amount.

    Parameters
    ----------
    values : dict of {slice: value of each row}
    coder : Judged
    others : dict of {name: RowScores}
        Of the parts of the coder, and of its rival.
    amount : float64 (n,)
        NaN where there is none.
    """
    records, scores, threshold = [], coder.scores, coder.thresholds[0.95]
    for name, column in values.items():
        column = np.array(column)
        place = {
            value: (np.nan_to_num(amount[column == value], nan=np.inf).min(), value)
            if name == "amount"
            else (0, value)
            for value in set(column.tolist())
        }
        for value in sorted(place, key=place.get):
            inside = column == value
            confidence, correct = scores.confidence[inside], scores.correct[inside]
            rate, precision = auto_post(confidence, correct, threshold)
            records.append(
                {
                    "slice": name,
                    "value": value,
                    "rows": int(inside.sum()),
                    "accuracy": mean(correct),
                    **{f"{name}_accuracy": mean(o.correct[inside]) for name, o in others.items()},
                    "autopost95_rate": rate,
                    "autopost95_precision": precision,
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


def describe(table: pa.Table, rows: list[int], scores: RowScores, fields: list[str]) -> list[dict]:
    """Return what a reader needs to find and to understand these rows of a split table.

    ``text`` has the cells of the visible fields, in the order of `fields`.
    """
    taken = table.take(pa.array(rows, pa.int64()))
    texts = zip(*(taken[name].to_pylist() for name in fields), strict=True)
    confidence = scores.confidence[rows].tolist()
    return [
        {**record, "text": list(text), "probability": probability}
        for record, text, probability in zip(
            taken.select(list(PLACE)).to_pylist(), texts, confidence, strict=True
        )
    ]


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
            "examples": describe(test, rows[:CONFUSION_EXAMPLES], scores, fields),
        }
        for (label, predicted), rows in sorted(
            pairs.items(), key=lambda item: (-len(item[1]), item[0])
        )
    ]


def suspect_table(
    scores: RowScores,
    test: pa.Table,
    train: pa.Table,
    fields: list[str],
    known: list[str],
    names: dict[str, str],
    least: float,
    neighbours: list[list[tuple[int, float]]],
) -> list[dict]:
    """Return the rows whose predicted account is not the ledger's and has a probability of at least
    `least`, the most probable first.

    ``vendor_rows`` counts the training rows of the same vendor; ``vendor_predicted`` and
    ``vendor_ledger`` count those of them with the predicted account and with the ledger's. ``past``
    has the nearest training rows, each as a text with its account, similarity, date and fields.
    """
    history: dict[str, Counter] = defaultdict(Counter)
    for vendor, code in zip(train[GROUP].to_pylist(), train[LABEL].to_pylist(), strict=True):
        if vendor:
            history[vendor][code] += 1
    rows = np.flatnonzero(~scores.correct & (scores.confidence >= least))
    rows = rows[np.argsort(-scores.confidence[rows], kind="stable")].tolist()
    past_texts = describe_past(train, [neighbours[row] for row in rows], fields)
    vendors = test[GROUP].take(pa.array(rows, pa.int64())).to_pylist()
    records = []
    shown_rows = describe(test, rows, scores, fields)
    for row, vendor, shown, texts in zip(rows, vendors, shown_rows, past_texts, strict=True):
        ledger, predicted = known[scores.label[row]], known[scores.predicted[row]]
        past = history.get(vendor, Counter())
        records.append(
            {
                "account": ledger,
                "name": names.get(ledger, ""),
                "predicted": predicted,
                "predicted_name": names.get(predicted, ""),
                "vendor_rows": past.total(),
                "vendor_predicted": past[predicted],
                "vendor_ledger": past[ledger],
                "past": texts,
                **shown,
            }
        )
    return records


def describe_past(
    train: pa.Table, neighbours: list[list[tuple[int, float]]], fields: list[str]
) -> list[list[str]]:
    """Return each neighbour as a text: its account and similarity, its date and its fields."""
    texts = []
    for found in neighbours:
        rows = train.take(pa.array([place for place, _ in found], pa.int64())).to_pylist()
        texts.append(
            [
                " ".join(
                    [
                        f"{row[LABEL]} ({value:.2f})",
                        " | ".join(str(row[name]) for name in (DATE, *fields) if row[name]),
                    ]
                ).rstrip()
                for row, (_, value) in zip(rows, found, strict=True)
            ]
        )
    return texts


def find(
    scored: Scored,
    sides: dict[str, pa.Table],
    fields: list[str],
    description: str | None,
    names: dict[str, str],
    neighbours: list[list[tuple[int, float]]],
    params: EvaluateParams,
) -> dict[str, list[dict]]:
    """Return the tables ``slices``, ``accounts``, ``confusions`` and ``suspects``.

    Parameters
    ----------
    scored : Scored
    sides : dict of Table
        The rows of ``train`` and ``test``.
    fields : list of str
        Visible fields.
    description : str or None
        As `description_field` returns it.
    names : dict of {code: name}
        The chart of accounts.
    neighbours : list of list of (int, float)
        As `inputs.read_neighbours` returns them.
    params : EvaluateParams
    """
    train, test, scores, known = sides["train"], sides["test"], scored.coder.scores, scored.known
    slices = slice_values(
        test, train, params.middle_account_rows, params.frequent_account_rows, description
    )
    train_rows = np.bincount(scored.label["train"], minlength=len(known))
    least = params.suspect_probability
    others = {name: part.scores for name, part in scored.parts.items()} | {RIVAL: scored.rival}
    return {
        "slices": slice_table(slices, scored.coder, others, amounts(test)),
        "accounts": account_table(scores, train_rows, known, names),
        "confusions": confusion_table(scores, test, fields, known, names),
        "suspects": suspect_table(scores, test, train, fields, known, names, least, neighbours),
    }
