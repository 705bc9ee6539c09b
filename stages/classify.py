"""Train the experts that are no language model, on all training rows, and score other rows.

- text_classifier: small networks on the words, characters and cells of the visible fields;
- past_postings: the accounts of the most similar past rows, which are also shown as the reason.

Reads data/split (train, val, test) and data/feature/rows.json. Writes models/classify (both,
without any pickled object, and the text of past rows if ``classify.past_postings.keep_text``),
data/classify (their scores of validation and test rows, scores of the training rows by smaller
models that have not seen them, and the nearest past rows of all) and metrics/classify/report.json.
Parameters: classify, feature.fields.
"""

import shutil
from pathlib import Path

import pyarrow as pa

from stages.lib.checksums import file_sha256
from stages.lib.contracts.classify import (
    MODEL,
    NEIGHBOURS_SCHEMA,
    cross_fitted_path,
    neighbours_path,
)
from stages.lib.contracts.feature import ROWS
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.names import ROW_ID
from stages.lib.contracts.scores import (
    PAST_POSTINGS,
    SCORED_SIDES,
    TEXT_CLASSIFIER,
    scores_path,
    scores_table,
)
from stages.lib.contracts.split import side_path
from stages.lib.model.cross_fitting import cross_fit
from stages.lib.model.past_postings import Neighbours
from stages.lib.model.text_experts import (
    TextExperts,
    fit_text_experts,
    nearest_few,
    save_text_experts,
    score_text_experts,
)
from stages.lib.model.text_networks import passes
from stages.lib.parallel import cores
from stages.lib.params.classify import ClassifyParams
from stages.lib.params.files import load_params
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.tables import read_json, read_table, write_json, write_table

REPORT = Path("metrics/classify/report.json")


def neighbour_table(rows: pa.Table, train: pa.Table, nearest: Neighbours) -> pa.Table:
    """Return the nearest past rows of each row, by their ``row_id``."""
    row_ids = train[ROW_ID].to_numpy()
    found = [positions[positions >= 0] for positions in nearest.position]
    pairs = zip(nearest.similarity, found, strict=True)
    similarity = [values[: len(positions)].tolist() for values, positions in pairs]
    columns = [rows[ROW_ID], [row_ids[positions].tolist() for positions in found], similarity]
    return pa.table(columns, schema=NEIGHBOURS_SCHEMA)


def describe(experts: TextExperts, train: pa.Table, epochs: int) -> dict[str, int]:
    """Return what was learned, in numbers."""
    return {
        "train_rows": train.num_rows,
        "accounts": len(experts.accounts),
        "features": sum(len(part.terms) for part in experts.text.features),
        "past_words": len(experts.past.idf),
        "passes": passes(train.num_rows, epochs),
    }


def write_cross_fitted(
    experts: TextExperts, train: pa.Table, params: ClassifyParams, model: str, workers: int
) -> None:
    """Write what models that have not seen them say of the training rows."""
    fitted = cross_fit(experts, train, params, workers)
    row_ids = train[ROW_ID].combine_chunks()
    for name, logits in ((TEXT_CLASSIFIER, fitted.text), (PAST_POSTINGS, fitted.past)):
        table = scores_table(row_ids, logits, experts.accounts, model)
        write_table(table, cross_fitted_path(name))
    found = neighbour_table(train, train, fitted.neighbours)
    write_table(found, neighbours_path("train"))
    print(f"train: {train.num_rows:,} rows scored by models that have not seen them", flush=True)


def main() -> None:
    params = load_params(classify=ClassifyParams, feature=VisibleFields)
    fields, roles, workers = params.feature.fields, read_json(ROWS)["roles"], cores()
    train = read_table(side_path("train"))
    experts = fit_text_experts(train, fields, roles, params.classify, workers)
    shutil.rmtree(MODEL, ignore_errors=True)
    save_text_experts(experts, MODEL)
    model = file_sha256(MODEL / MANIFEST)
    for side in SCORED_SIDES:
        rows = read_table(side_path(side))
        scores, neighbours = score_text_experts(experts, rows, workers)
        row_ids = rows[ROW_ID].combine_chunks()
        for name, logits in scores.items():
            table = scores_table(row_ids, logits, experts.accounts, model)
            write_table(table, scores_path(name, side))
        found = neighbour_table(rows, train, nearest_few(neighbours))
        write_table(found, neighbours_path(side))
        print(f"{side}: {rows.num_rows:,} rows scored", flush=True)
    write_cross_fitted(experts, train, params.classify, model, workers)
    report = describe(experts, train, params.classify.text_classifier.epochs)
    write_json(report, REPORT)
    print(", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in report.items()))


if __name__ == "__main__":
    run_stage(main)
