"""Rows of the whole ledger whose account looks wrong.

A row is judged by what has not seen it. The coder judges the test rows and, with weights that were
fitted without them, the validation rows. The training rows are judged by a text classifier and past
postings of the other folds alone: a language model for each fold would cost its training again.
"""

from collections import Counter, defaultdict
from dataclasses import fields as dataclass_fields

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import GROUP, LABEL, SIDES
from stages.lib.evaluation.calibration import calibrate, fit_confidence
from stages.lib.evaluation.combination import MAX_FIT_ROWS, combine, fit_weights, log_probabilities
from stages.lib.evaluation.judging import Scored
from stages.lib.evaluation.metrics import RowScores, summarise_scores
from stages.lib.evaluation.row_texts import describe, describe_past

ROWS_AT_ONCE = 20_000  # bounds the float32 copies of scores that are kept as float16

Neighbours = list[list[tuple[int, float]]]


def cross_fitted_scores(experts: dict[str, np.ndarray], label: np.ndarray) -> RowScores:
    """Return the scores of the training rows by experts that have not seen them.

    The five numbers that combine and calibrate them are fitted on the same rows: so few cannot
    learn one of thousands of rows by heart.

    Parameters
    ----------
    experts : dict of {expert: ndarray of float16, (rows, K)}
        Log-probabilities.
    label : ndarray of int64, (rows,)
    """
    logits = list(experts.values())
    some = slice(None, None, -(-len(label) // MAX_FIT_ROWS))
    weights = fit_weights([log_probabilities(part[some]) for part in logits], label[some])
    parts = []
    for start in range(0, len(label), ROWS_AT_ONCE):
        here = slice(start, start + ROWS_AT_ONCE)
        combined = combine([log_probabilities(part[here]) for part in logits], weights)
        parts.append(summarise_scores(combined, label[here], 1.0))
    names = [field.name for field in dataclass_fields(RowScores)]
    scores = RowScores(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
    return calibrate(scores, fit_confidence(scores.confidence, scores.correct))


def scores_of_all_rows(scored: Scored, cross_fitted: dict[str, np.ndarray]) -> dict[str, RowScores]:
    """Return the scores of the training, validation and test rows, by side."""
    return {
        "train": cross_fitted_scores(cross_fitted, scored.label["train"]),
        "val": scored.coder.unseen,
        "test": scored.coder.scores,
    }


def _history(train: pa.Table) -> dict[str, Counter]:
    """Return for each vendor how many training rows it has with each account."""
    history: dict[str, Counter] = defaultdict(Counter)
    for vendor, code in zip(train[GROUP].to_pylist(), train[LABEL].to_pylist(), strict=True):
        if vendor:
            history[vendor][code] += 1
    return history


def suspect_table(
    scores: dict[str, RowScores],
    sides: dict[str, pa.Table],
    fields: list[str],
    known: list[str],
    names: dict[str, str],
    least: float,
    neighbours: dict[str, Neighbours],
) -> list[dict]:
    """Return the rows whose predicted account is not the ledger's and has a probability of at least
    `least`, the most probable first.

    ``side`` says whether a row trains, validates or tests. ``vendor_rows`` counts the other
    training rows of the same vendor; ``vendor_predicted`` and ``vendor_ledger`` count those of them
    with the predicted account and with the ledger's. ``past`` has the nearest training rows, each
    as a text with its account, similarity, date and fields.

    Parameters
    ----------
    scores : dict of {side: RowScores}
    sides : dict of {side: Table}
    fields : list of str
        The columns to show.
    known : list of str
        Code of each account.
    names : dict of {code: name}
    least : float
    neighbours : dict of {side: list of list of (int, float)}
        Positions among the training rows, and similarities.
    """
    history, records = _history(sides["train"]), []
    for side in SIDES:
        judged, table = scores[side], sides[side]
        rows = np.flatnonzero(~judged.correct & (judged.confidence >= least)).tolist()
        shown = describe(table, rows, fields)
        past = describe_past(sides["train"], [neighbours[side][row] for row in rows], fields)
        vendors = table[GROUP].take(pa.array(rows, pa.int64())).to_pylist()
        for row, vendor, record, texts in zip(rows, vendors, shown, past, strict=True):
            ledger, predicted = known[judged.label[row]], known[judged.predicted[row]]
            before = history.get(vendor, Counter())
            itself = int(side == "train" and bool(vendor))
            records.append(
                {
                    "probability": float(judged.confidence[row]),
                    "side": side,
                    "account": ledger,
                    "name": names.get(ledger, ""),
                    "predicted": predicted,
                    "predicted_name": names.get(predicted, ""),
                    "vendor_rows": before.total() - itself,
                    "vendor_predicted": before[predicted],
                    "vendor_ledger": before[ledger] - itself,
                    "past": texts,
                    **record,
                }
            )
    return sorted(records, key=lambda record: (-record["probability"], record["row_id"]))
