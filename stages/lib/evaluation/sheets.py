"""Tables that people open: suspects, predictions, rejects, and what else the report lists."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import AMOUNT, DATE, LABEL, ORIGIN, ROW_ID
from stages.lib.evaluation.judging import Judged
from stages.lib.evaluation.posting import certified_name, posted_rows, target_name
from stages.lib.evaluation.words import load_words
from stages.lib.review.words import load_words as load_review_words
from stages.lib.review.words import say_reason

VENDOR = ("vendor_rows", "vendor_predicted", "vendor_ledger")
NEAREST = 3


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
    for target, threshold in coder.certified.items():
        if target == 0.95:
            columns[certified_name(target)] = posted_rows(scores.confidence, threshold)
    return pa.table(columns)


def field_columns(fields: list[str]) -> list[str]:
    """Return the columns of the visible fields: their names, unless a column of ours has one."""
    own = load_words("en")["titles"]
    return [f"ledger_{name}" if name in own else name for name in fields]


def prediction_sheet(
    predictions: pa.Table, shown: pa.Table, fields: list[str], names: dict[str, str]
) -> pa.Table:
    """Return the predictions beside the rows that they are about, for people.

    Parameters
    ----------
    predictions : Table
        As `prediction_table` returns them.
    shown : Table
        The test rows in the spelling of the ledger.
    fields : list of str
        The columns of `shown` that are shown.
    names : dict of {code: name}
    """

    def named(column: str) -> pa.Array:
        return pa.array([names.get(code, "") for code in predictions[column].to_pylist()])

    columns = {name: shown[name] for name in (DATE, AMOUNT)}
    columns |= {LABEL: predictions[LABEL], "acct_name": named(LABEL)}
    columns |= {"predicted": predictions["predicted"], "predicted_name": named("predicted")}
    rest = [name for name in predictions.column_names if name not in (ROW_ID, *columns)]
    columns |= {name: predictions[name] for name in rest}
    columns |= {key: shown[name] for key, name in zip(field_columns(fields), fields, strict=True)}
    columns |= {name: shown[name] for name in ORIGIN}
    return pa.table({**columns, ROW_ID: shown[ROW_ID]})


def suspect_sheet(suspects: list[dict], fields: list[str]) -> pa.Table:
    """Return the suspected rows as a table, as `suspects.suspect_table` lists them."""
    texts, numbers, whole = pa.string(), pa.float64(), pa.int64()
    fields = field_columns(fields)
    kinds = {
        "probability": numbers,
        "side": texts,
        LABEL: texts,
        "acct_name": texts,
        "predicted": texts,
        "predicted_name": texts,
        AMOUNT: numbers,
        DATE: pa.date32(),
        **dict.fromkeys(fields, texts),
        **dict.fromkeys(VENDOR, whole),
        **{f"past_{number}": texts for number in range(1, NEAREST + 1)},
        **dict(zip(ORIGIN, (texts, texts, whole), strict=True)),
        ROW_ID: whole,
    }
    records = [
        {
            **suspect,
            LABEL: suspect["account"],
            "acct_name": suspect["name"],
            **dict(zip(fields, suspect["text"], strict=True)),
            **{f"past_{number}": text for number, text in enumerate(suspect["past"], 1)},
        }
        for suspect in suspects
    ]
    return pa.table(
        {name: pa.array([r.get(name) for r in records], kind) for name, kind in kinds.items()}
    )


def reject_sheet(read: pa.Table, cleaned: pa.Table, texts: list[str], say: Callable) -> pa.Table:
    """Return every row that `ingest` or `preprocess` refused, with the reason in words.

    Parameters
    ----------
    read, cleaned : Table
        The rejects of both stages.
    texts : list of str
        The cells of each row of `cleaned`, as the ledger has them, in one text.
    say : callable
        From a reason to its words.
    """
    cells = [" | ".join(filter(None, row)) for row in read["cells"].to_pylist()]
    parts = []
    for stage, table, shown in (("ingest", read, cells), ("preprocess", cleaned, texts)):
        count = table.num_rows
        column = table["column"] if "column" in table.column_names else pa.nulls(count, pa.string())
        columns = {
            "stage": pa.array([stage] * count, pa.string()),
            "reason": pa.array(
                [say(reason) for reason in table["reason"].to_pylist()], pa.string()
            ),
            "column": column.cast(pa.string()),
            "text": pa.array(shown, pa.string()),
            **{name: table[name].cast(pa.string()) for name in ORIGIN[:2]},
            ORIGIN[2]: table[ORIGIN[2]].cast(pa.int64()),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def reject_words(language: str) -> Callable[[str], str]:
    """Return what says the reason of a reject in words: those of the review sheet."""
    words = load_review_words(language)
    return lambda reason: say_reason(words, reason or "", {})


def record_sheet(records: list[dict], columns: list[str]) -> tuple[list[str], list[list]]:
    """Return header and rows of a sheet with these keys of `records`."""
    return columns, [[record[name] for name in columns] for record in records]


def table_rows(table: pa.Table) -> tuple[list[str], list[list]]:
    """Return header and rows of a table."""
    return table.column_names, [list(row.values()) for row in table.to_pylist()]


def finding_sheets(
    findings: dict[str, list[dict]], said: Callable[[str, str], str]
) -> dict[str, tuple[list[str], list[list]]]:
    """Return ``{name: (header, rows)}`` of the tables that `findings.find` returns.

    ``said`` gives the value of a slice in words, from the names of both.
    """
    slices = [
        {**record, "value": said(record["slice"], record["value"])} for record in findings["slices"]
    ]
    pair = ["account", "name", "predicted", "predicted_name", "rows", "amount"]
    return {
        "slices": record_sheet(slices, list(slices[0])),
        "accounts": record_sheet(findings["accounts"], list(findings["accounts"][0])),
        "confusions": record_sheet(findings["confusions"], pair),
    }


def without_nan(values):
    """Return `values` with None for NaN, which JSON cannot express, in dicts and lists too."""
    if isinstance(values, dict):
        return {name: without_nan(value) for name, value in values.items()}
    if isinstance(values, list):
        return [without_nan(value) for value in values]
    return None if isinstance(values, float) and np.isnan(values) else values
