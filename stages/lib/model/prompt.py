"""The one function that turns rows into prompts, for training, evaluation and prediction alike.

A prompt is the bare fields, each behind a space and followed by a separator::

     petrocan| service stations| gasoline city use|

It has no instruction and no field names: fine-tuning makes them useless, and they would cost tokens
in every row. The account's label token follows the last separator.
"""

from collections.abc import Sequence

PROMPT_VERSION = 1  # saved with every model, which knows only the prompts it learned
SEPARATOR = "|"


def _trim(fields: list[list[int]], budget: int) -> list[list[int]]:
    """Cut the longest fields down to one common length, so that short fields stay whole."""
    lengths = [len(field) for field in fields]
    limit = max(lengths)
    while sum(min(length, limit) for length in lengths) > budget:
        limit -= 1
    return [field[:limit] for field in fields]


def encode_prompts(
    tokenizer, columns: Sequence[Sequence[str]], max_tokens: int
) -> tuple[list[list[int]], int]:
    """Turn rows into `input_ids`.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    columns : sequence of sequence of str
        One sequence for each visible field, each of length rows.
    max_tokens : int
        A longer row loses the ends of its longest fields, never a separator.

    Returns
    -------
    input_ids : list of list of int, length rows
    n_trimmed : int
        Rows that were too long.

    Raises
    ------
    ValueError
        `max_tokens` does not leave one token for each field beside its separator.
    """
    separator = tokenizer.encode(SEPARATOR, add_special_tokens=False).ids
    budget = max_tokens - len(columns) * len(separator)
    if budget < len(columns):
        raise ValueError(f"max_tokens {max_tokens} is too small for {len(columns)} fields")

    ids_of: dict[str, list[int]] = {"": []}
    texts = sorted({text for column in columns for text in column} - {""})
    encoded = tokenizer.encode_batch_fast([f" {text}" for text in texts], add_special_tokens=False)
    ids_of |= {text: encoding.ids for text, encoding in zip(texts, encoded, strict=True)}

    input_ids, n_trimmed = [], 0
    for row in zip(*columns, strict=True):
        fields = [ids_of[text] for text in row]
        if sum(map(len, fields)) > budget:
            fields = _trim(fields, budget)
            n_trimmed += 1
        input_ids.append([token for field in fields for token in (*field, *separator)])
    return input_ids, n_trimmed
