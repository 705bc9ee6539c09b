"""Score the validation and test rows with the trained model, one forward pass a row.

The only stage beside `train` that runs the language model: what is computed from the scores does
not need it again.

Reads models/train and data/tokenize/{val,test}. Writes
data/score/language_model_{val,test}.parquet (logits of each account). Parameters: score,
model.trust_remote_code.
"""

import stages.lib.openmp  # isort: skip  # noqa: F401
import pyarrow as pa

from stages.lib.checksums import file_sha256
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.scores import LANGUAGE_MODEL, SCORED_SIDES, scores_path, scores_table
from stages.lib.contracts.tokenize import FOLDER, LABEL_MAP
from stages.lib.contracts.train import MODEL
from stages.lib.errors import UserError
from stages.lib.model.scoring import evaluate_model, load_trained_model
from stages.lib.model.tokenized import load_side
from stages.lib.params.files import load_params
from stages.lib.params.model import ModelTrust
from stages.lib.params.score import ScoreParams
from stages.lib.process import run_stage
from stages.lib.tables import read_json, write_table


def check_prompts() -> None:
    """Raise UserError if the prompts are not in the form that the model learned.

    DVC keeps both in step. A stage run by hand, or a model fetched from elsewhere, may not.
    """
    learned, made = (read_json(folder / LABEL_MAP)["prompt"] for folder in (MODEL, FOLDER))
    if learned != made:
        problem = f"prompts were made with {made}, the model in {MODEL} learned {learned}"
        raise UserError("other-prompts", FOLDER, problem, "run 'dvc repro score'")


def main() -> None:
    params = load_params(score=ScoreParams, model=ModelTrust)
    sides = {side: load_side(side) for side in SCORED_SIDES}
    check_prompts()
    trained = load_trained_model(MODEL, params.model.trust_remote_code, params.score.packed)
    model = file_sha256(MODEL / MANIFEST)  # of what was loaded: scoring takes minutes
    prompts = {side: rows["input_ids"][:] for side, rows in sides.items()}
    logits = evaluate_model(trained, prompts, params.score.batch_tokens, params.score.threads)
    for side, rows in sides.items():
        row_ids = pa.array(rows["row_id"][:], pa.int64())
        table = scores_table(row_ids, logits[side], trained.accounts, model)
        write_table(table, scores_path(LANGUAGE_MODEL, side))
        print(f"{side}: {table.num_rows:,} rows scored")


if __name__ == "__main__":
    run_stage(main)
