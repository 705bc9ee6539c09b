"""Code the rows without a language model, to know what the language model is worth.

Four baselines learn from the training rows and see the same fields as the model:

- majority: the account with the most rows;
- lookup: the account that a vendor had most often; unknown vendors fall back to other columns;
- tfidf_words: TF-IDF of words and a linear support vector machine, as simple as can be;
- tfidf_chars: the strongest cheap text classifier that was found: TF-IDF of the words and word
  pairs of each field and of the characters of some, and a linear support vector machine.

Reads ``data/split/{train,val,test}.parquet``. Writes ``data/baseline/predictions.parquet`` (one
row for each baseline and validation or test row) and ``metrics/baseline/metrics.json`` (test
rows). Parameters: ``baseline``, ``feature.fields``.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stages.lib.errors import UserError
from stages.lib.evaluation.metrics import (
    RowScores,
    encode_accounts,
    fit_temperature,
    headline,
    summarise_scores,
)
from stages.lib.params.baseline import BaselineParams
from stages.lib.params.files import load_params
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.tables import read_table, write_json, write_table

IN = Path("data/split")
PREDICTIONS = Path("data/baseline/predictions.parquet")
METRICS = Path("metrics/baseline/metrics.json")
LABEL = "acct_code"


def lookup_keys(table: pa.Table, names: list[str]) -> list[list[str]]:
    """Return the columns that the look-up tries in turn."""
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UserError(
            f"params_train.yaml: baseline.lookup_columns: the base table has no column "
            f"{', '.join(missing)}; it has {', '.join(table.column_names)}"
        )
    return [table[name].to_pylist() for name in names]


def lookup_scores(
    keys: list[list[str]], train_keys: list[list[str]], label: np.ndarray, n_accounts: int
) -> np.ndarray:
    """Score accounts by how often a row's key had them in training, float32 (n, K).

    Parameters
    ----------
    keys, train_keys : list of columns
        Keys of the rows to score and of the training rows, the most telling column first. A row
        is scored by the first column whose value stands in the training rows and is not empty;
        if there is none, by all the training rows.
    label : int64
        Accounts of the training rows.

    Returns
    -------
    ndarray
        Logarithms of ``(rows + prior) / (all rows of the key + 1)``, where `prior` is the share
        of the account in all the training rows: one row's worth of doubt, which also decides
        ties.
    """
    prior = np.bincount(label, minlength=n_accounts) / len(label)
    tables = []
    for values in train_keys:
        counts: dict[str, Counter] = {}
        for value, account in zip(values, label.tolist(), strict=True):
            counts.setdefault(value, Counter())[account] += 1
        counts.pop("", None)
        tables.append(counts)
    scores = np.empty((len(keys[0]), n_accounts), np.float32)
    for row, values in enumerate(zip(*keys, strict=True)):
        found = (
            table[value] for table, value in zip(tables, values, strict=True) if value in table
        )
        chance = prior.copy()
        for account, rows in next(found, Counter()).items():
            chance[account] += rows
        scores[row] = np.log(np.maximum(chance / chance.sum(), 1e-30))
    return scores


def text_features(train: list[list[str]], others: list[list[list[str]]], vectorizers: list) -> list:
    """Return the sparse TF-IDF matrices of the training rows and of the other rows.

    Parameters
    ----------
    train : list of columns of text
    others : list of the same columns for other rows
    vectorizers : list of (settings of TfidfVectorizer, index of a column)
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    blocks: list[list] = [[] for _ in range(1 + len(others))]
    for settings, index in vectorizers:
        vectorizer = TfidfVectorizer(**settings)
        try:
            blocks[0].append(vectorizer.fit_transform(train[index]))
        except ValueError:  # no text at all, or none that two rows share
            continue
        for block, columns in zip(blocks[1:], others, strict=True):
            block.append(vectorizer.transform(columns[index]))
    if not blocks[0]:
        raise UserError("feature.fields: the training rows hold no text at all to learn from")
    return [hstack(block).tocsr() for block in blocks]


def svc_scores(
    features: list, label: np.ndarray, n_accounts: int, regularization: float, name: str
) -> list[np.ndarray]:
    """Fit one linear support vector machine an account; return the scores of the other rows.

    `features` holds the matrix of the training rows first, then those of the rows to score;
    the scores are float32 (n, K), one matrix for each. The accounts are fitted in processes, not
    threads: liblinear keeps its random state in one place, and threads would share it. `name`
    stands before the progress bar.
    """
    from joblib import Parallel, delayed
    from sklearn.svm import LinearSVC

    def fit(account):
        machine = LinearSVC(C=regularization, random_state=0)
        machine.fit(features[0], label == account)
        return machine.coef_[0].astype(np.float32), np.float32(machine.intercept_[0])

    # Starting processes takes seconds: a small ledger is fitted in less.
    jobs = -1 if features[0].nnz * n_accounts > 50_000_000 else 1
    run = Parallel(n_jobs=jobs, return_as="generator")
    fitted = run(delayed(fit)(account) for account in range(n_accounts))
    progress = tqdm(fitted, desc=name, total=n_accounts, unit="account")
    weights, bias = (np.stack(part) for part in zip(*progress, strict=True))
    return [(matrix @ weights.T + bias).astype(np.float32) for matrix in features[1:]]


def vectorizers(fields: list[str], params: BaselineParams) -> list:
    """Return the `text_features` settings of `tfidf_chars`: words, then characters."""
    unknown = [name for name in params.character_fields if name not in fields]
    if unknown:
        raise UserError(
            f"params_train.yaml: baseline.character_fields: {', '.join(unknown)} not in "
            f"feature.fields, which are {', '.join(fields)}"
        )
    words = {"token_pattern": r"\w+", "ngram_range": (1, params.word_ngrams)}
    characters = {"analyzer": "char_wb", "ngram_range": (3, params.character_ngrams), "min_df": 2}
    chosen = [(words, name) for name in fields]
    chosen += [(characters, name) for name in params.character_fields]
    return [({"sublinear_tf": True, **settings}, fields.index(name)) for settings, name in chosen]


def score_baselines(
    sides: dict[str, pa.Table],
    label: np.ndarray,
    n_accounts: int,
    fields: list[str],
    params: BaselineParams,
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield ``(baseline, [validation scores, test scores])``, the scores float32 (n, K)."""
    keys = {side: lookup_keys(table, params.lookup_columns) for side, table in sides.items()}
    chosen = vectorizers(fields, params)
    text = {side: [table[name].to_pylist() for name in fields] for side, table in sides.items()}
    joined = {
        side: [[" ".join(row) for row in zip(*columns, strict=True)]]
        for side, columns in text.items()
    }
    nothing = {side: [[""] * table.num_rows] for side, table in sides.items()}

    def lookup(keys):
        return [lookup_scores(keys[s], keys["train"], label, n_accounts) for s in ("val", "test")]

    def svc(name, columns, settings, regularization):
        features = text_features(columns["train"], [columns["val"], columns["test"]], settings)
        return svc_scores(features, label, n_accounts, regularization, name)

    yield "majority", lookup(nothing)
    yield "lookup", lookup(keys)
    yield "tfidf_words", svc("tfidf_words", joined, [({}, 0)], 1.0)
    yield "tfidf_chars", svc("tfidf_chars", text, chosen, params.regularization)


def calibrate(scores: list[np.ndarray], labels: list[np.ndarray]) -> list[RowScores]:
    """Fit the temperature on the validation rows; return validation and test `RowScores`."""
    temperature = fit_temperature(scores[0], labels[0])
    return [
        summarise_scores(part, label, temperature)
        for part, label in zip(scores, labels, strict=True)
    ]


def predictions(name: str, side: str, table: pa.Table, scores: RowScores, known: list[str]):
    """Return the rows of the predictions file for one baseline and one side."""
    rows = table.num_rows
    return pa.table(
        {
            "baseline": pa.array([name] * rows).dictionary_encode(),
            "side": pa.array([side] * rows).dictionary_encode(),
            "row_id": table["row_id"],
            "predicted": pa.array(known).take(pa.array(scores.predicted)).dictionary_encode(),
            "probability": scores.confidence,
            "label_probability": scores.label_probability,
            "label_rank": scores.label_rank.astype(np.int32),
        }
    )


def main() -> None:
    params = load_params(baseline=BaselineParams, feature=VisibleFields)
    sides = {side: read_table(IN / f"{side}.parquet") for side in ("train", "val", "test")}
    accounts = sorted(set(sides["train"][LABEL].to_pylist()))
    codes = [code for side in sides.values() for code in side[LABEL].to_pylist()]
    label, known = encode_accounts(codes, accounts)
    train, *others = np.split(label, np.cumsum([side.num_rows for side in sides.values()])[:-1])

    if len(accounts) == 1:
        raise UserError(
            f"{IN}/train.parquet: all rows have account {accounts[0]}; nothing to learn"
        )

    tables, metrics = [], {}
    fields = params.feature.fields
    for name, scores in score_baselines(sides, train, len(accounts), fields, params.baseline):
        results = calibrate(scores, others)
        for side, result in zip(("val", "test"), results, strict=True):
            tables.append(predictions(name, side, sides[side], result, known))
        test = headline(results[1], len(known))
        metrics |= {f"{name}_accuracy": test["accuracy"], f"{name}_macro_f1": test["macro_f1"]}
        margin = 1.96 * np.sqrt(test["accuracy"] * (1 - test["accuracy"]) / len(others[1]))
        shown = f"accuracy {test['accuracy']:.4f} ± {margin:.4f}, macro-F1 {test['macro_f1']:.4f}"
        print(f"{name:12} {shown} on {len(others[1]):,} test rows", flush=True)
    write_table(pa.concat_tables(tables).unify_dictionaries(), PREDICTIONS)
    write_json(metrics, METRICS)


if __name__ == "__main__":
    run_stage(main)
