"""Code the rows without a language model, to know what the language model is worth.

Four baselines learn from all training rows (at most ``baseline.max_train_rows``), and see the same
fields as the coder:

- majority: the account with the most rows;
- lookup: the account that a vendor had most often; unknown vendors fall back to other columns.
  Where most rows have a vendor text of their own, vendors are compared without their numbers;
- tfidf_words: TF-IDF of words and a linear support vector machine, as simple as can be;
- tfidf_chars: TF-IDF of the words and word pairs of each field and of the characters of some, and a
  linear support vector machine. It is the fixed line that `evaluate` judges the coder against.

Reads data/split (train, val, test) and data/feature/rows.json. Writes
data/baseline/predictions.parquet, and metrics/baseline/report.json with figures of the test rows.
Parameters: baseline, feature.fields.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.lib.contracts.baseline import PREDICTIONS, PREDICTIONS_SCHEMA
from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.names import LABEL, ROW_ID, SIDES
from stages.lib.contracts.split import side_path
from stages.lib.errors import UserError
from stages.lib.evaluation.metrics import (
    RowScores,
    encode_accounts,
    fit_temperature,
    headline,
    summarise_scores,
)
from stages.lib.model.baselines import score_baselines
from stages.lib.model.lookup import merge_vendors
from stages.lib.model.training_rows import choose_rows
from stages.lib.params.baseline import BaselineParams
from stages.lib.params.files import load_params
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.tables import read_json, read_table, write_json, write_table

REPORT = Path("metrics/baseline/report.json")


def encode_sides(sides: dict[str, pa.Table]) -> tuple[list[np.ndarray], int, list[str]]:
    """Return the accounts of each side as numbers, how many accounts train has, and all codes.

    Raises
    ------
    UserError
        The training rows have a single account.
    """
    accounts = sorted(set(sides["train"][LABEL].to_pylist()))
    if len(accounts) == 1:
        raise UserError(
            "one-account",
            side_path("train"),
            f"all rows have account {accounts[0]}, so there is nothing to learn",
            "use a ledger with two accounts or more",
        )
    codes = [code for table in sides.values() for code in table[LABEL].to_pylist()]
    label, known = encode_accounts(codes, accounts)
    ends = np.cumsum([table.num_rows for table in sides.values()])
    return np.split(label, ends[:-1]), len(accounts), known


def calibrate(scores: list[np.ndarray], labels: list[np.ndarray]) -> list[RowScores]:
    """Fit the temperature on the validation rows; return validation and test `RowScores`."""
    temperature = fit_temperature(scores[0], labels[0])
    return [
        summarise_scores(part, label, temperature)
        for part, label in zip(scores, labels, strict=True)
    ]


def prediction_table(
    name: str, side: str, row_id: pa.ChunkedArray, scores: RowScores, known: list[str]
) -> pa.Table:
    """Return the predictions of one baseline for one side."""
    columns = [
        pa.array([name] * len(row_id)).dictionary_encode(),
        pa.array([side] * len(row_id)).dictionary_encode(),
        row_id,
        pa.array(known).take(pa.array(scores.predicted)).dictionary_encode(),
        scores.confidence,
        scores.label_probability,
        scores.label_rank.astype(np.int32),
    ]
    return pa.table(columns, schema=PREDICTIONS_SCHEMA)


def main() -> None:
    params = load_params(baseline=BaselineParams, feature=VisibleFields)
    fields, roles = params.feature.fields, read_json(ROWS)["roles"]
    sides = {side: read_table(side_path(side)) for side in SIDES}
    sides["train"] = choose_rows(sides["train"], params.baseline.max_train_rows)
    _, remarks = merge_vendors(sides)
    (train, *labels), n_accounts, known = encode_sides(sides)

    tables, report = [], {"train_rows": len(train)}
    if remarks:
        report["remarks"] = remarks
    for remark in remarks:
        print(f"baseline: {remark}")
    for name, scores in score_baselines(sides, train, n_accounts, fields, roles, params.baseline):
        results = calibrate(scores, labels)
        for side, result in zip(SIDES[1:], results, strict=True):
            tables.append(prediction_table(name, side, sides[side][ROW_ID], result, known))
        test = headline(results[1], len(known))
        report[name] = test
        margin = 1.96 * np.sqrt(test["accuracy"] * (1 - test["accuracy"]) / len(labels[1]))
        shown = f"accuracy {test['accuracy']:.4f} ± {margin:.4f}, macro-F1 {test['macro_f1']:.4f}"
        print(f"{name:12} {shown} on {len(labels[1]):,} test rows", flush=True)
    write_table(pa.concat_tables(tables).unify_dictionaries(), PREDICTIONS)
    write_json(report, REPORT)


if __name__ == "__main__":
    run_stage(main)
