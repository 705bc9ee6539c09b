"""Read what `evaluate` needs of other stages, and check that it is about the same rows."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.baseline import PREDICTIONS
from stages.lib.contracts.classify import cross_fitted_path, neighbours_path
from stages.lib.contracts.names import LABEL, ROW_ID
from stages.lib.contracts.scores import (
    EXPERTS,
    LANGUAGE_MODEL,
    PAST_POSTINGS,
    SCORED_SIDES,
    TEXT_CLASSIFIER,
    accounts_of,
    logits_of,
    model_of,
    scores_path,
    stage_of,
)
from stages.lib.contracts.split import side_path
from stages.lib.errors import UserError
from stages.lib.evaluation.combination import log_probabilities
from stages.lib.tables import read_table

REBUILD = "rebuild both with 'dvc repro evaluate'"


def check_rows(path: Path, row_ids: pa.ChunkedArray, side: str, split: pa.Table) -> None:
    """Raise a UserError unless `row_ids`, found in `path`, are those of this side of the split."""
    if not np.array_equal(row_ids.to_numpy(), split[ROW_ID].to_numpy()):
        problem = f"its {side} rows are not those of {side_path(side)}, in the same order"
        raise UserError("other-rows", path, problem, REBUILD)


class Experts(NamedTuple):
    """What the experts say of the validation and test rows.

    Attributes
    ----------
    accounts : list of str, length K
        Codes in the order of the columns.
    scores : dict of {side: {expert: ndarray of float32, (rows, K)}}
        Log-probabilities of ``val`` and ``test``, in the order of the split.
    models : dict of {stage: str}
        SHA-256 of the manifests of ``models/train`` and ``models/classify``.
    """

    accounts: list[str]
    scores: dict[str, dict[str, np.ndarray]]
    models: dict[str, str]


def read_experts(split: dict[str, pa.Table]) -> Experts:
    """Return the scores of all experts.

    Raises
    ------
    UserError
        The scores are of other rows or accounts, or of two models.
    """
    accounts = sorted(set(split["train"][LABEL].to_pylist()))
    scores: dict[str, dict[str, np.ndarray]] = {side: {} for side in SCORED_SIDES}
    models: dict[str, str] = {}
    for expert in EXPERTS:
        for side in SCORED_SIDES:
            path = scores_path(expert, side)
            table = _scores(path, split[side], side, accounts, expert, models)
            scores[side][expert] = log_probabilities(finite(logits_of(table), path, expert))
    return Experts(accounts, scores, models)


def read_cross_fitted(split: dict[str, pa.Table], experts: Experts) -> dict[str, np.ndarray]:
    """Return ``{expert: log-probabilities of the training rows}``, float16 (rows, K), by models
    that have not seen them; errors as in `read_experts`."""
    found, models = {}, dict(experts.models)
    for expert in (TEXT_CLASSIFIER, PAST_POSTINGS):
        path = cross_fitted_path(expert)
        table = _scores(path, split["train"], "train", experts.accounts, expert, models)
        found[expert] = finite(logits_of(table), path, expert)
    return found


def _scores(
    path: Path,
    rows: pa.Table,
    side: str,
    accounts: list[str],
    expert: str,
    models: dict[str, str],
) -> pa.Table:
    """Return a table of scores that is about `rows`, `accounts` and the model of its stage, which
    is noted in `models` if it is the first."""
    table = read_table(path)
    if not {b"accounts", b"model"} <= (table.schema.metadata or {}).keys():
        problem = "its metadata do not name the accounts and the model"
        raise UserError("damaged-file", path, problem, REBUILD)
    check_rows(path, table[ROW_ID], side, rows)
    if accounts_of(table) != accounts:
        problem = f"its accounts are not those of {side_path('train')}"
        raise UserError("other-accounts", path, problem, REBUILD)
    if models.setdefault(stage_of(expert), model_of(table)) != model_of(table):
        problem = f"made by another model than the other files in {path.parent}"
        raise UserError("other-model", path, problem, REBUILD)
    return table


def finite(logits: np.ndarray, path: Path, expert: str) -> np.ndarray:
    """Return `logits`, of the file `path`; raise a UserError if one is not a finite number."""
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(wrong):
        raise UserError(
            "score-not-finite",
            f"{path}, row {wrong[0]} (the first is 0)",
            "a score is infinite or not a number",
            "training has diverged: lower training.learning_rate and train again"
            if expert == LANGUAGE_MODEL
            else REBUILD,
        )
    return logits


def read_baselines(split: dict[str, pa.Table]) -> dict[str, dict[str, pa.Table]]:
    """Return ``{side: {baseline: predictions}}`` for the validation and test rows.

    Raises
    ------
    UserError
        The predictions are of other rows.
    """
    predictions = read_table(PREDICTIONS)
    found: dict[str, dict[str, pa.Table]] = {side: {} for side in SCORED_SIDES}
    for side, baselines in found.items():
        for name in predictions["baseline"].unique().to_pylist():
            chosen = (pc.field("side") == side) & (pc.field("baseline") == name)
            baselines[name] = predictions.filter(chosen)
            check_rows(PREDICTIONS, baselines[name][ROW_ID], side, split[side])
    return found


def read_neighbours(split: dict[str, pa.Table]) -> dict[str, list[list[tuple[int, float]]]]:
    """Return for each side, and each of its rows, the positions and similarities of the nearest
    training rows.

    Raises
    ------
    UserError
        The neighbours are of other rows.
    """
    train = split["train"][ROW_ID].to_pylist()
    position = {row_id: place for place, row_id in enumerate(train)}
    return {side: _neighbours(side, split[side], position) for side in split}


def _neighbours(
    side: str, rows: pa.Table, position: dict[int, int]
) -> list[list[tuple[int, float]]]:
    path = neighbours_path(side)
    table = read_table(path)
    check_rows(path, table[ROW_ID], side, rows)
    if not position.keys() >= set(pc.list_flatten(table["past_row_id"]).to_pylist()):
        problem = f"its past rows are not all in {side_path('train')}"
        raise UserError("other-rows", path, problem, REBUILD)
    return [
        [(position[row_id], value) for row_id, value in zip(row_ids, values, strict=True)]
        for row_ids, values in zip(
            table["past_row_id"].to_pylist(), table["similarity"].to_pylist(), strict=True
        )
    ]


def read_account_names() -> dict[str, str]:
    """Return ``{code: name}`` of the chart of accounts, "" for an account without a name."""
    rows = read_table(ACCOUNTS, [LABEL, "acct_name"]).to_pylist()
    return {row[LABEL]: row["acct_name"] or "" for row in rows}
