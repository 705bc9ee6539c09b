"""Turn the split rows into the model's input: prompts as `input_ids`, accounts as label tokens.

Reads data/split/{train,val,test}.parquet, data/preprocess/accounts.parquet and the tokenizer of
the base model. Writes data/tokenize/{train,val,test} (Hugging Face datasets with row_id, input_ids,
label, length) and data/tokenize/label_map.json; metrics/tokenize/report.json counts rows, tokens
and trimmed prompts. Parameters: tokenize, feature.fields, model (name, revision).
"""

import hashlib
from pathlib import Path

import pyarrow as pa

from stages.lib.errors import UserError
from stages.lib.model.base_model import load_tokenizer, resolve_base_model
from stages.lib.model.labels import assign_label_tokens
from stages.lib.model.prompt import PROMPT_VERSION, encode_prompts
from stages.lib.params.files import load_params
from stages.lib.params.model import ModelParams
from stages.lib.params.tokenize import TokenizeParams
from stages.lib.params.visible_fields import VisibleFields
from stages.lib.process import run_stage
from stages.lib.tables import read_table, write_json

OUTPUT = Path("data/tokenize")
SIDES = ("train", "val", "test")


def build_label_map(
    tokenizer, train_accounts: pa.ChunkedArray, chart: pa.Table
) -> list[dict[str, object]]:
    """Return one entry an account that has training rows, in the order of the logit columns.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    train_accounts : ChunkedArray of string
        The account of each training row.
    chart : Table
        ``acct_code``, ``acct_name``.

    Returns
    -------
    list of dict
        ``acct_code``, ``acct_name``, ``train_rows``, ``token``, ``token_id``; sorted by code.
    """
    counts = sorted((entry["values"], entry["counts"]) for entry in _value_counts(train_accounts))
    name_of = dict(zip(*(chart[c].to_pylist() for c in ("acct_code", "acct_name")), strict=True))
    accounts = [account for account, _ in counts]
    names = [name_of.get(account) or "" for account in accounts]
    rows = [count for _, count in counts]
    token_ids = assign_label_tokens(tokenizer, accounts, names, rows)
    return [
        {
            "acct_code": account,
            "acct_name": name,
            "train_rows": count,
            "token": tokenizer.decode([token_id]),
            "token_id": token_id,
        }
        for account, name, count, token_id in zip(accounts, names, rows, token_ids, strict=True)
    ]


def _value_counts(column: pa.ChunkedArray) -> list[dict]:
    return column.value_counts().to_pylist()


def tokenize_rows(
    tokenizer, table: pa.Table, fields: list[str], accounts: list[str], max_tokens: int
) -> tuple[pa.Table, int]:
    """Return the model's input for `table`, and how many prompts had to be trimmed.

    Returns
    -------
    Table
        ``row_id`` int64; ``input_ids`` list of int32; ``label`` int32, the index into `accounts`,
        -1 where the account has no training row; ``length`` int32, in tokens.
    n_trimmed : int
    """
    columns = [table[field].to_pylist() for field in fields]
    input_ids, n_trimmed = encode_prompts(tokenizer, columns, max_tokens)
    index = {account: i for i, account in enumerate(accounts)}
    labels = [index.get(account, -1) for account in table["acct_code"].to_pylist()]
    tokenized = pa.table(
        {
            "row_id": table["row_id"],
            "input_ids": pa.array(input_ids, pa.list_(pa.int32())),
            "label": pa.array(labels, pa.int32()),
            "length": pa.array(map(len, input_ids), pa.int32()),
        }
    )
    return tokenized, n_trimmed


def save_dataset(table: pa.Table, folder: Path) -> None:
    """Write `table` as a dataset whose fingerprint, and so every byte, follows from its content."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    table = table.combine_chunks()
    digest = hashlib.sha256()
    for batch in table.to_batches():
        digest.update(batch.serialize())
    Dataset(table, fingerprint=digest.hexdigest()[:16]).save_to_disk(folder)


def main() -> None:
    params = load_params(tokenize=TokenizeParams, feature=VisibleFields, model=ModelParams)
    fields = params.feature.fields
    max_tokens = params.tokenize.max_tokens
    if max_tokens < 2 * len(fields):
        raise UserError(
            f"params_train.yaml: tokenize.max_tokens: expected at least {2 * len(fields)} "
            f"(two for each of the {len(fields)} fields), got {max_tokens}"
        )
    tokenizer = load_tokenizer(resolve_base_model(params.model))
    columns = ["row_id", "acct_code", *fields]
    tables = {side: read_table(f"data/split/{side}.parquet", columns) for side in SIDES}
    chart = read_table("data/preprocess/accounts.parquet")
    label_map = build_label_map(tokenizer, tables["train"]["acct_code"], chart)
    accounts = [str(entry["acct_code"]) for entry in label_map]

    report: dict[str, object] = {"accounts": len(accounts)}
    for side, table in tables.items():
        tokenized, n_trimmed = tokenize_rows(tokenizer, table, fields, accounts, max_tokens)
        save_dataset(tokenized, OUTPUT / side)
        tokens = sum(tokenized["length"].to_pylist())
        report[side] = {"rows": table.num_rows, "tokens": tokens, "trimmed_rows": n_trimmed}
        print(f"{side}: {table.num_rows:,} rows, {tokens:,} tokens, {n_trimmed:,} trimmed")
    prompt = {"version": PROMPT_VERSION, "fields": fields, "max_tokens": max_tokens}
    write_json({"prompt": prompt, "accounts": label_map}, OUTPUT / "label_map.json")
    write_json(report, "metrics/tokenize/report.json")


if __name__ == "__main__":
    run_stage(main)
