"""Tables that people open: the predictions, and what the report lists as spreadsheets."""

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import LABEL, ROW_ID
from stages.lib.evaluation.findings import PLACE
from stages.lib.evaluation.judging import Judged
from stages.lib.evaluation.posting import posted_rows, target_name

VENDOR = ("vendor_rows", "vendor_predicted", "vendor_ledger")


def prediction_table(coder: Judged, test: pa.Table, known: list[str]) -> pa.Table:
    """Return one row for each test row, in the same order.

    Columns: the ledger's account; the predicted one, its probability, and the next best ones; the
    probability of the ledger's account; whether the prediction is right; and for each target
    precision whether the row is posted unseen.
    """
    codes, scores = pa.array(known), coder.scores
    columns: dict[str, object] = {
        ROW_ID: test[ROW_ID],
        LABEL: test[LABEL],
        "predicted": codes.take(pa.array(scores.predicted)),
        "probability": scores.confidence,
    }
    for place in range(1, scores.top.shape[1]):
        columns[f"choice_{place + 1}"] = codes.take(pa.array(scores.top[:, place]))
        columns[f"probability_{place + 1}"] = scores.probability[:, place]
    columns["label_probability"] = scores.label_probability
    columns["correct"] = scores.correct
    for target, threshold in coder.thresholds.items():
        columns[target_name(target)] = posted_rows(scores.confidence, threshold)
    return pa.table(columns)


def record_sheet(records: list[dict], columns: list[str]) -> tuple[list[str], list[list]]:
    """Return header and rows of a sheet with these keys of `records`."""
    return columns, [[record[name] for name in columns] for record in records]


def finding_sheets(
    findings: dict[str, list[dict]], fields: list[str]
) -> dict[str, tuple[list[str], list[list]]]:
    """Return ``{name: (header, rows)}`` of the tables that `findings.find` returns.

    The suspect rows have one column for each visible field, and one for the nearest past postings.
    """
    header = ["probability", "account", "name", "predicted", "predicted_name", *VENDOR, *PLACE]
    suspects = [
        [*(suspect[key] for key in header), *suspect["text"], "\n".join(suspect["past"])]
        for suspect in findings["suspects"]
    ]
    pair = ["account", "name", "predicted", "predicted_name", "rows", "amount"]
    return {
        "slices": record_sheet(findings["slices"], list(findings["slices"][0])),
        "accounts": record_sheet(findings["accounts"], list(findings["accounts"][0])),
        "confusions": record_sheet(findings["confusions"], pair),
        "suspects": ([*header, *fields, "past_postings"], suspects),
    }


def without_nan(values):
    """Return `values` with None for NaN, which JSON cannot express, in dicts and lists too."""
    if isinstance(values, dict):
        return {name: without_nan(value) for name, value in values.items()}
    if isinstance(values, list):
        return [without_nan(value) for value in values]
    return None if isinstance(values, float) and np.isnan(values) else values
