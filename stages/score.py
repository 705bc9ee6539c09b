"""Score the validation and test rows with the trained model, one forward pass a row.

The only stage beside `train` that runs the language model: what is computed from the scores does
not need it again.

Reads models/train and data/tokenize/{val,test}. Writes data/score/{val,test}.parquet (logits of
each account). Parameters: score, model.trust_remote_code.
"""

import pyarrow as pa

from stages.lib.checksums import file_sha256
from stages.lib.contracts.score import SCORED_SIDES, scores_path, scores_table
from stages.lib.contracts.train import MANIFEST, MODEL
from stages.lib.model.scoring import evaluate_model, load_trained_model
from stages.lib.model.tokenized import load_side
from stages.lib.params.files import load_params
from stages.lib.params.model import ModelTrust
from stages.lib.params.score import ScoreParams
from stages.lib.process import run_stage
from stages.lib.tables import write_table


def main() -> None:
    params = load_params(score=ScoreParams, model=ModelTrust)
    sides = {side: load_side(side) for side in SCORED_SIDES}
    trained = load_trained_model(MODEL, params.model.trust_remote_code)
    prompts = {side: rows["input_ids"][:] for side, rows in sides.items()}
    logits = evaluate_model(trained, prompts, params.score.batch_tokens)
    model = file_sha256(MODEL / MANIFEST)
    for side, rows in sides.items():
        row_ids = pa.array(rows["row_id"][:], pa.int64())
        table = scores_table(row_ids, logits[side], trained.accounts, model)
        write_table(table, scores_path(side))
        print(f"{side}: {table.num_rows:,} rows scored")


if __name__ == "__main__":
    run_stage(main)
