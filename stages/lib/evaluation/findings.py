"""What goes wrong on the test rows and where: slices, accounts, confusions, suspected mis-postings.

Each function returns a table as a list of records, ready for the report and for a spreadsheet.
"""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa

from stages.lib.errors import UserError
from stages.lib.evaluation import metrics
from stages.lib.evaluation.metrics import RowScores

LABEL = "acct_code"
CONFUSION_EXAMPLES = 3


def amounts(table: pa.Table) -> np.ndarray:
    """Return the amounts of a split table, NaN where there is none, float64 (n,)."""
    return table["amount"].cast(pa.float64()).to_numpy()


def slice_values(
    test: pa.Table, train: pa.Table, middle: int, frequent: int, description: str | None
) -> dict[str, list[str]]:
    """Return ``{slice: value of each test row}``.

    Parameters
    ----------
    test, train : Table
        Split tables.
    middle, frequent : int
        Training rows from which an account counts as such.
    description : str or None
        Column whose empty cells make a slice.
    """
    seen = set(train["group"].to_pylist())
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
        "vendor": [vendor(name) for name in test["group"].to_pylist()],
        "account size": [size(code) for code in test[LABEL].to_pylist()],
        "month": [f"{day:%Y-%m}" if day else "no date" for day in test["date"].to_pylist()],
        "amount": [band or "none" for band in test["amount_bucket"].to_pylist()],
    }
    if description:
        if description not in test.column_names:
            raise UserError(
                f"params_train.yaml: evaluate.description_field: expected one of "
                f"{', '.join(test.column_names)}, or null; got '{description}'"
            )
        text = test[description].to_pylist()
        values["description"] = ["filled" if value else "empty" for value in text]
    return values


def slice_table(
    values: dict[str, list[str]],
    scores: RowScores,
    rival: RowScores,
    threshold: float | None,
    amount: np.ndarray,
) -> list[dict]:
    """Return one record for each value of each slice, in order of the value; bands by amount."""
    records = []
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
            rate, precision = metrics.auto_post(
                scores.confidence[inside], scores.correct[inside], threshold
            )
            records.append(
                {
                    "slice": name,
                    "value": value,
                    "rows": int(inside.sum()),
                    "accuracy": metrics.mean(scores.correct[inside]),
                    "baseline_accuracy": metrics.mean(rival.correct[inside]),
                    "autopost95_rate": rate,
                    "autopost95_precision": precision,
                }
            )
    return records


def account_table(
    scores: RowScores, train_rows: np.ndarray, known: list[str], names: dict[str, str]
) -> list[dict]:
    """Return one record for each account that the test rows hold or the model predicts.

    ``confused_with`` is the account that its rows are most often given instead; of equal ones
    the one with the lower integer.
    """
    by_account = metrics.account_scores(scores.label, scores.predicted, len(known))
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

    ``text`` holds the visible fields in their order.
    """
    place = ["row_id", "source_file", "source_sheet", "source_row", "date", "amount"]
    taken = table.take(pa.array(rows, pa.int64()))
    texts = zip(*(taken[name].to_pylist() for name in fields), strict=True)
    confidence = scores.confidence[rows].tolist()
    return [
        {**record, "text": list(text), "probability": probability}
        for record, text, probability in zip(
            taken.select(place).to_pylist(), texts, confidence, strict=True
        )
    ]


def confusion_table(
    scores: RowScores, test: pa.Table, fields: list[str], known: list[str], names: dict[str, str]
) -> list[dict]:
    """Return the pairs (account of the ledger, account predicted), the most frequent first.

    Each has its most confident rows as examples.
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
) -> list[dict]:
    """Return the rows where the model is surer than `least` of another account than the ledger's.

    The surest comes first. ``vendor_rows`` counts the training rows of the same vendor, and
    ``vendor_predicted`` and ``vendor_ledger`` those of them in either account.
    """
    history: dict[str, Counter] = defaultdict(Counter)
    for vendor, code in zip(train["group"].to_pylist(), train[LABEL].to_pylist(), strict=True):
        if vendor:
            history[vendor][code] += 1
    rows = np.flatnonzero(~scores.correct & (scores.confidence >= least))
    rows = rows[np.argsort(-scores.confidence[rows], kind="stable")].tolist()
    vendors = test["group"].take(pa.array(rows, pa.int64())).to_pylist()
    records = []
    for row, vendor, shown in zip(rows, vendors, describe(test, rows, scores, fields), strict=True):
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
                **shown,
            }
        )
    return records
