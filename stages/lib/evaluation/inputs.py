"""Read what `evaluate` needs of other stages, and check that it is about the same rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.baseline import PREDICTIONS
from stages.lib.contracts.names import LABEL, ROW_ID
from stages.lib.contracts.score import SCORED_SIDES, accounts_of, logits_of, model_of, scores_path
from stages.lib.contracts.split import side_path
from stages.lib.errors import UserError
from stages.lib.tables import read_table

REBUILD = "rebuild both with 'dvc repro evaluate'"


def check_rows(path: Path, row_ids: pa.ChunkedArray, side: str, split: pa.Table) -> None:
    """Raise a UserError unless `row_ids`, found in `path`, are those of this side of the split."""
    if not np.array_equal(row_ids.to_numpy(), split[ROW_ID].to_numpy()):
        problem = f"its {side} rows are not those of {side_path(side)}, in the same order"
        raise UserError("other-rows", path, problem, REBUILD)


def read_scores(split: dict[str, pa.Table]) -> tuple[list[str], dict[str, np.ndarray], str]:
    """Return the model's scores of the validation and test rows.

    Returns
    -------
    accounts : list of str, length K
        Codes in the order of the columns.
    logits : dict of float32 (n, K)
        For ``val`` and ``test``, in the order of the split.
    model : str
        SHA-256 of the manifest of the model.

    Raises
    ------
    UserError
        The scores are of other rows, or of two models.
    """
    tables = {side: read_table(scores_path(side)) for side in SCORED_SIDES}
    for side, table in tables.items():
        if not {b"accounts", b"model"} <= (table.schema.metadata or {}).keys():
            problem = "its metadata do not name the accounts and the model"
            raise UserError("damaged-file", scores_path(side), problem, REBUILD)
        check_rows(scores_path(side), table[ROW_ID], side, split[side])
    val, test = tables["val"], tables["test"]
    if (accounts_of(val), model_of(val)) != (accounts_of(test), model_of(test)):
        problem = f"made by another model than {scores_path('test')}"
        raise UserError("other-model", scores_path("val"), problem, REBUILD)
    logits = {side: logits_of(table) for side, table in tables.items()}
    return accounts_of(val), logits, model_of(val)


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


def read_account_names() -> dict[str, str]:
    """Return ``{code: name}`` of the chart of accounts, "" for an account without a name."""
    rows = read_table(ACCOUNTS, [LABEL, "acct_name"]).to_pylist()
    return {row[LABEL]: row["acct_name"] or "" for row in rows}
