"""Turn rows of the split into the model's input, and write it as a dataset."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from stages.lib.contracts.names import LABEL, ROW_ID
from stages.lib.model.prompt import encode_prompts, find_beginning


def tokenize_rows(
    tokenizer, table: pa.Table, fields: Sequence[str], accounts: Sequence[str], max_tokens: int
) -> tuple[pa.Table, int]:
    """Return the model's input for the rows of `table`.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    table : Table
        ``row_id``, ``acct_code`` and each of `fields`.
    fields : sequence of str
        The visible fields, in the order of the prompt.
    accounts : sequence of str, length K
        Codes in the order of the label map.
    max_tokens : int
        Longest prompt; a longer row is trimmed.

    Returns
    -------
    Table
        ``row_id`` int64; ``input_ids`` list of int32; ``label`` int32, the index into `accounts`,
        -1 where the account has no training row; ``length`` int32, in tokens.
    n_trimmed : int
        Rows whose prompt was trimmed.
    """
    columns = [table[field].to_pylist() for field in fields]
    input_ids, n_trimmed = encode_prompts(tokenizer, columns, max_tokens, find_beginning(tokenizer))
    index = {account: i for i, account in enumerate(accounts)}
    labels = [index.get(account, -1) for account in table[LABEL].to_pylist()]
    tokenized = pa.table(
        {
            ROW_ID: table[ROW_ID],
            "input_ids": pa.array(input_ids, pa.list_(pa.int32())),
            "label": pa.array(labels, pa.int32()),
            "length": pa.array(map(len, input_ids), pa.int32()),
        }
    )
    return tokenized, n_trimmed


def save_dataset(table: pa.Table, folder: Path) -> None:
    """Write `table` as a Hugging Face dataset: the same bytes for the same content.

    The library's own fingerprint depends on how a dataset was made.
    """
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    table = table.combine_chunks()
    digest = hashlib.sha256()
    for batch in table.to_batches():
        digest.update(batch.serialize())
    Dataset(table, fingerprint=digest.hexdigest()[:16]).save_to_disk(folder)
