"""The coder's scores, after what people said since the training, within the accounts allowed."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from stages.lib.evaluation.calibration import calibrate
from stages.lib.evaluation.metrics import RowScores, summarise_scores
from stages.lib.model.correction_votes import (
    Corrections,
    correction_votes,
    find_similar,
    follow_corrections,
    nearest_with_corrections,
)
from stages.lib.model.past_postings import Neighbours, PastPostings
from stages.lib.model.text_experts import NEAREST
from stages.lib.model.text_features import Columns

LEAST_CHANCE = 1e-30  # so that its logarithm is finite


class Corrected(NamedTuple):
    """What is proposed.

    Attributes
    ----------
    scores : RowScores
        Calibrated. Accounts are numbers in ``Corrections.accounts``. One that is not allowed has
        the probability 0, so it is among the first three only if fewer are allowed.
    nearest : Neighbours
        The past postings and corrections to show. Positions from the number of past rows upwards
        are corrections.
    disagree : ndarray of bool, (rows,)
        Corrections of the same row say different accounts: a person looks.
    touched : ndarray of bool, (rows,)
        A correction is like the row.
    """

    scores: RowScores
    nearest: Neighbours
    disagree: np.ndarray
    touched: np.ndarray


def mask_accounts(chance: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return probabilities without the accounts that are not allowed, which sum to 1 again.

    Parameters
    ----------
    chance : ndarray of float64, (rows, K)
    allowed : ndarray of bool, (K,)
        At least one.
    """
    kept = np.where(allowed, np.maximum(chance, LEAST_CHANCE), 0)
    return kept / kept.sum(axis=1, keepdims=True)


def summarise_chance(
    chance: np.ndarray, allowed: np.ndarray, confidence: tuple[float, float, float]
) -> RowScores:
    """Return the calibrated scores of rows within the accounts allowed.

    Parameters
    ----------
    chance : ndarray of float64, (rows, K)
        Probabilities before the calibration.
    allowed : ndarray of bool, (K,)
    confidence : (float, float, float)
        As `fit_confidence` returns it.
    """
    logits = np.log(np.maximum(mask_accounts(chance, allowed), LEAST_CHANCE))
    return _summarise(logits, confidence)


def _summarise(logits: np.ndarray, confidence: tuple[float, float, float]) -> RowScores:
    unknown = np.full(len(logits), logits.shape[1])
    return calibrate(summarise_scores(logits, unknown, 1.0), confidence)


def _put_rows(scores: RowScores, rows: np.ndarray, part: RowScores) -> RowScores:
    top, probability = scores.top.copy(), scores.probability.copy()
    width = top.shape[1]
    top[rows], probability[rows] = part.top[:, :width], part.probability[:, :width]
    return replace(scores, top=top, probability=probability)


def correct_scores(
    logits: np.ndarray,
    columns: Columns,
    neighbours: Neighbours,
    past: PastPostings,
    corrections: Corrections,
    allowed: np.ndarray,
    confidence: tuple[float, float, float],
) -> Corrected:
    """Return the scores of rows after corrections. A row that no correction is like keeps its own.

    Parameters
    ----------
    logits : ndarray of float, (rows, K)
        Of all experts together.
    columns : list of (list of str)
        The visible fields of the rows.
    neighbours : Neighbours
        The past rows that vote.
    past : PastPostings
    corrections : Corrections
    allowed : ndarray of bool, (K + new,)
    confidence : (float, float, float)
    """
    n_trained = logits.shape[1]
    own = allowed[:n_trained]
    chance = softmax(logits.astype(np.float64), axis=1)
    scores = (
        _summarise(logits, confidence) if own.all() else summarise_chance(chance, own, confidence)
    )
    similar = find_similar(corrections, columns)
    votes, disagree = correction_votes(corrections, similar, len(logits))
    rows, followed = follow_corrections(chance, votes, similar, past.label, neighbours)
    if len(rows):
        part = summarise_chance(followed, allowed, confidence)
        scores = _put_rows(scores, rows, part)
    touched = np.zeros(len(logits), bool)
    touched[rows] = True
    nearest = nearest_with_corrections(neighbours, similar, past.rows.shape[0], NEAREST)
    return Corrected(scores, nearest, disagree, touched)
