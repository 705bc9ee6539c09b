"""Fit on the validation rows what has to be fitted, and apply it to the test rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import AMOUNT, LABEL
from stages.lib.evaluation.metrics import (
    RowScores,
    amount_accuracy,
    encode_accounts,
    fit_temperature,
    headline,
    summarise_scores,
)
from stages.lib.evaluation.posting import Thresholds, auto_post, fit_thresholds, target_name


@dataclass(frozen=True)
class Scored:
    """The language model and the baselines on the test rows; K accounts have training rows.

    Attributes
    ----------
    known : list of str
        Codes of the K accounts, then of those that only other rows have.
    trained : int
        K.
    label : dict of int64 (n,)
        Accounts of the training, validation and test rows.
    temperature : float
        Fitted on validation rows.
    thresholds : dict of {target precision: confidence or None}
        Fitted on validation rows.
    model : RowScores
        Of the test rows.
    baselines : dict of {name: (RowScores of the test rows, thresholds)}
        The thresholds are their own, fitted on validation rows.
    best : str
        The baseline with the highest accuracy on validation rows.
    """

    known: list[str]
    trained: int
    label: dict[str, np.ndarray]
    temperature: float
    thresholds: Thresholds
    model: RowScores
    baselines: dict[str, tuple[RowScores, Thresholds]]
    best: str

    @property
    def rival(self) -> RowScores:
        """The best baseline's `RowScores` of the test rows."""
        return self.baselines[self.best][0]


def amounts(table: pa.Table) -> np.ndarray:
    """Return the amounts of a split table, NaN where there is none, float64 (n,)."""
    return table[AMOUNT].cast(pa.float64()).to_numpy()


def baseline_scores(predictions: pa.Table, label: np.ndarray, known: list[str]) -> RowScores:
    """Return the `RowScores` of a baseline; `top` has its best account only."""
    position = {code: index for index, code in enumerate(known)}
    return RowScores(
        label=label,
        top=np.array([[position[code]] for code in predictions["predicted"].to_pylist()]),
        probability=predictions["probability"].to_numpy()[:, None],
        label_probability=predictions["label_probability"].to_numpy(),
        label_rank=predictions["label_rank"].to_numpy(),
    )


def judge(
    accounts: list[str],
    logits: dict[str, np.ndarray],
    sides: dict[str, pa.Table],
    predictions: dict[str, dict[str, pa.Table]],
) -> Scored:
    """Fit temperature and thresholds on the validation rows, and score the test rows with them.

    Parameters
    ----------
    accounts : list of str, length K
        Codes in the order of the columns of `logits`.
    logits : dict of float32 (n, K)
        For ``val`` and ``test``.
    sides : dict of Table
        The rows of ``train``, ``val`` and ``test``.
    predictions : dict of dict of Table
        ``{side: {baseline: predictions}}`` for ``val`` and ``test``.
    """
    codes = {side: table[LABEL].to_pylist() for side, table in sides.items()}
    _, known = encode_accounts([code for side in codes.values() for code in side], accounts)
    label = {side: encode_accounts(codes[side], known)[0] for side in codes}
    temperature = fit_temperature(logits["val"], label["val"])
    model = {side: summarise_scores(logits[side], label[side], temperature) for side in logits}
    baselines = {
        side: {
            name: baseline_scores(table, label[side], known)
            for name, table in predictions[side].items()
        }
        for side in logits
    }
    return Scored(
        known=known,
        trained=len(accounts),
        label=label,
        temperature=temperature,
        thresholds=fit_thresholds(model["val"]),
        model=model["test"],
        baselines={
            name: (scores, fit_thresholds(baselines["val"][name]))
            for name, scores in baselines["test"].items()
        },
        best=max(baselines["val"], key=lambda name: baselines["val"][name].correct.mean()),
    )


def all_metrics(
    scores: RowScores,
    thresholds: Thresholds,
    amount: np.ndarray,
    n_accounts: int,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the metrics of one classifier, NaN where one is undefined."""
    values = headline(scores, n_accounts, weights)
    values["amount_accuracy"] = amount_accuracy(scores.correct, amount, weights)
    for target, threshold in thresholds.items():
        rate, precision = auto_post(scores.confidence, scores.correct, threshold, weights)
        values[f"{target_name(target)}_rate"] = rate
        values[f"{target_name(target)}_precision"] = precision
    return values


def row_counts(scored: Scored) -> dict[str, int]:
    """Return the numbers of rows and accounts, and how many of them no training row has."""
    untrained = scored.model.label[scored.model.label >= scored.trained]
    return {
        "rows": len(scored.label["test"]),
        "train_rows": len(scored.label["train"]),
        "trained": scored.trained,
        "untrained_rows": len(untrained),
        "untrained_accounts": len(np.unique(untrained)),
    }
