"""Turn the rows of the split into the model's input: prompts, and a label token for each account.

The language model is slow to train, so it may learn from a part of the training rows: the same rows
for the same seed, each account near its share. Every account of the training rows has a label.

Reads data/split/{train,val,test}.parquet, data/preprocess/accounts.parquet and the tokenizer of
the base model. Writes data/tokenize/{train,val,test} (Hugging Face datasets with row_id, input_ids,
label, length), data/tokenize/label_map.json, and metrics/tokenize/report.json (rows, tokens,
trimmed prompts and rows left out). Parameters: tokenize, feature.fields, model (name, revision,
trust_remote_code).
"""

from pathlib import Path

from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.names import LABEL, ROW_ID, SIDES
from stages.lib.contracts.split import side_path
from stages.lib.contracts.tokenize import FOLDER, LABEL_MAP
from stages.lib.errors import UserErrors
from stages.lib.model.base_model import load_tokenizer, resolve_base_model
from stages.lib.model.labels import build_label_map
from stages.lib.model.model_input import save_dataset, tokenize_rows
from stages.lib.model.prompt import PROMPT_VERSION, find_beginning
from stages.lib.model.training_rows import choose_rows
from stages.lib.params.files import load_params
from stages.lib.params.model import ModelParams
from stages.lib.params.tokenize import TokenizeParams, check_prompt_length
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.tables import read_table, write_json

REPORT = Path("metrics/tokenize/report.json")


def main() -> None:
    params = load_params(tokenize=TokenizeParams, feature=VisibleFields, model=ModelParams)
    fields, max_tokens = params.feature.fields, params.tokenize.max_tokens
    if errors := check_prompt_length(params.tokenize, fields):
        raise UserErrors(errors)
    tokenizer = load_tokenizer(resolve_base_model(params.model))
    tables = {side: read_table(side_path(side), [ROW_ID, LABEL, *fields]) for side in SIDES}
    label_map = build_label_map(tokenizer, tables["train"][LABEL], read_table(ACCOUNTS))
    accounts = [entry[LABEL] for entry in label_map]
    all_rows = tables["train"]
    tables["train"] = choose_rows(all_rows, params.tokenize.max_train_rows, params.tokenize.seed)
    if lost := len(accounts) - len(set(tables["train"][LABEL].to_pylist())):
        print(f"tokenize.max_train_rows leaves {lost:,} accounts without a row to learn from")

    report: dict[str, object] = {"accounts": len(accounts)}
    report["train_rows_left_out"] = all_rows.num_rows - tables["train"].num_rows
    for side, table in tables.items():
        tokenized, n_trimmed = tokenize_rows(tokenizer, table, fields, accounts, max_tokens)
        save_dataset(tokenized, FOLDER / side)
        tokens = sum(tokenized["length"].to_pylist())
        report[side] = {"rows": table.num_rows, "tokens": tokens, "trimmed_rows": n_trimmed}
        print(f"{side}: {table.num_rows:,} rows, {tokens:,} tokens, {n_trimmed:,} trimmed")
    prompt = {"version": PROMPT_VERSION, "fields": fields, "max_tokens": max_tokens}
    if beginning := find_beginning(tokenizer):
        prompt["beginning"] = beginning
    write_json({"prompt": prompt, "accounts": label_map}, FOLDER / LABEL_MAP)
    write_json(report, REPORT)


if __name__ == "__main__":
    run_stage(main)
