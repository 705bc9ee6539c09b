"""Fit on the validation rows what has to be fitted, and apply it to the test rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import AMOUNT, GROUP, LABEL
from stages.lib.evaluation.calibration import calibrate, fit_confidence
from stages.lib.evaluation.certificate import Step, certificate_of, certified_threshold
from stages.lib.evaluation.combination import combine, cross_fitted, fit_weights
from stages.lib.evaluation.inputs import Experts
from stages.lib.evaluation.metrics import (
    RowScores,
    amount_accuracy,
    encode_accounts,
    headline,
    summarise_scores,
)
from stages.lib.evaluation.posting import (
    TARGETS,
    Thresholds,
    auto_post,
    certified_name,
    fit_thresholds,
    target_name,
)
from stages.lib.tables import number_groups, row_digests

# The strongest classifier that needs no language model and nothing of ours: what the coder is
# judged against.
RIVAL = "tfidf_chars"


@dataclass(frozen=True)
class Judged:
    """One way to code rows: its `scores` of the test rows, and what validation rows gave it.

    ``confidence`` is what `calibration.fit_confidence` returns, ``certificate`` what
    `certificate_of` does, ``certified`` has the threshold that follows from it for each target
    precision, and ``unseen`` has the scores of the validation rows with weights that have not seen
    them; a baseline has none of them.
    """

    scores: RowScores
    thresholds: Thresholds
    confidence: tuple[float, float, float] | None = None
    certificate: list[Step] = field(default_factory=list)
    certified: Thresholds = field(default_factory=dict)
    unseen: RowScores | None = None


@dataclass(frozen=True)
class Scored:
    """The coder, its parts and the baselines on the test rows; K accounts have training rows.

    Attributes
    ----------
    known : list of str
        Codes of the K accounts, then of those that only other rows have.
    trained : int
        K.
    label : dict of int64 (n,)
        Accounts of the training, validation and test rows.
    weights : dict of {expert: float}
        Fitted on the validation rows.
    coder : Judged
        All experts together.
    parts : dict of {expert: Judged}
        Each expert alone, calibrated in the same way.
    without : dict of {expert: RowScores}
        All experts but one, with weights of their own.
    baselines : dict of {name: Judged}
    """

    known: list[str]
    trained: int
    label: dict[str, np.ndarray]
    weights: dict[str, float]
    coder: Judged
    parts: dict[str, Judged]
    without: dict[str, RowScores]
    baselines: dict[str, Judged]

    @property
    def rival(self) -> RowScores:
        """The `RowScores` of the baseline that the coder is judged against."""
        return self.baselines[RIVAL].scores


def amounts(table: pa.Table) -> np.ndarray:
    """Return the amounts of a split table, NaN where there is none, float64 (n,)."""
    return table[AMOUNT].cast(pa.float64()).to_numpy()


def vendor_groups(vendors: list[str]) -> np.ndarray:
    """Return the number of each row's vendor, int64 (n,); a row without one has its own."""
    keys = [vendor or index for index, vendor in enumerate(vendors)]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys])


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
    experts: Experts,
    sides: dict[str, pa.Table],
    predictions: dict[str, dict[str, pa.Table]],
    fields: Sequence[str],
) -> Scored:
    """Fit weights and thresholds on the validation rows, and score the test rows with them.

    Parameters
    ----------
    experts : Experts
    sides : dict of Table
        The rows of ``train``, ``val`` and ``test``.
    predictions : dict of dict of Table
        ``{side: {baseline: predictions}}`` for ``val`` and ``test``.
    fields : sequence of str
        The visible fields. Rows that are equal in all of them are identical.
    """
    codes = {side: table[LABEL].to_pylist() for side, table in sides.items()}
    _, known = encode_accounts([code for side in codes.values() for code in side], experts.accounts)
    label = {side: encode_accounts(codes[side], known)[0] for side in codes}
    val, test = experts.scores["val"], experts.scores["test"]
    groups = vendor_groups(sides["val"][GROUP].to_pylist())
    same = number_groups(row_digests(sides["val"], list(fields)))
    names = list(val)

    def weigh(chosen: Sequence[str]) -> np.ndarray:
        return fit_weights([val[name] for name in chosen], label["val"])

    def code(chosen: Sequence[str]) -> Judged:
        logits = cross_fitted([val[name] for name in chosen], label["val"], groups)
        unseen = summarise_scores(logits, label["val"], 1.0)
        confidence = fit_confidence(unseen.confidence, unseen.correct)
        logits = combine([test[name] for name in chosen], weigh(chosen))
        scores = calibrate(summarise_scores(logits, label["test"], 1.0), confidence)
        unseen = calibrate(unseen, confidence)
        certificate = certificate_of(unseen.confidence, unseen.correct, same)
        certified = {target: certified_threshold(certificate, target) for target in TARGETS}
        return Judged(scores, fit_thresholds(unseen), confidence, certificate, certified, unseen)

    coder, weights = code(names), dict(zip(names, weigh(names).tolist(), strict=True))

    baselines = {
        name: Judged(
            baseline_scores(table, label["test"], known),
            fit_thresholds(baseline_scores(predictions["val"][name], label["val"], known)),
        )
        for name, table in predictions["test"].items()
    }
    return Scored(
        known=known,
        trained=len(experts.accounts),
        label=label,
        weights=weights,
        coder=coder,
        parts={name: code([name]) for name in names},
        without={
            name: code([other for other in names if other != name]).scores
            if weights[name]
            else coder.scores
            for name in names
        },
        baselines=baselines,
    )


def all_metrics(
    judged: Judged, amount: np.ndarray, n_accounts: int, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Return the metrics of one way to code, NaN where one is undefined."""
    scores = judged.scores
    values = headline(scores, n_accounts, weights)
    values["amount_accuracy"] = amount_accuracy(scores.correct, amount, weights)
    posting = {target_name(target): least for target, least in judged.thresholds.items()}
    posting |= {certified_name(target): least for target, least in judged.certified.items()}
    for name, threshold in posting.items():
        rate, precision = auto_post(scores.confidence, scores.correct, threshold, weights)
        values[f"{name}_rate"] = rate
        values[f"{name}_precision"] = precision
    return values


def row_counts(scored: Scored) -> dict[str, int]:
    """Return the numbers of rows and accounts, and how many of them no training row has."""
    label = scored.coder.scores.label
    untrained = label[label >= scored.trained]
    return {
        "rows": len(scored.label["test"]),
        "train_rows": len(scored.label["train"]),
        "trained": scored.trained,
        "untrained_rows": len(untrained),
        "untrained_accounts": len(np.unique(untrained)),
    }
