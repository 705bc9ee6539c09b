"""The one function that turns rows into prompts, for training, evaluation and prediction alike.

A prompt is the bare fields, each behind a space and followed by a separator::

     petrocan| service stations| gasoline city use|

It has no instruction and no field names: fine-tuning makes them useless, and they would cost tokens
in every row. The account's label token follows the last separator. Where the base model knows only
texts that begin with a token of their own, such as ``<bos>``, the prompt does too.
"""

from collections.abc import Sequence
from itertools import takewhile

from stages.lib.errors import UserError

PROMPT_VERSION = 1  # saved with every model, which knows only the prompts it learned
SEPARATOR = "|"


def find_beginning(tokenizer) -> list[int]:
    """Return the tokens that `tokenizer` puts before every text, such as ``<bos>``; often none."""
    encoded = tokenizer.encode(SEPARATOR)
    pairs = zip(encoded.ids, encoded.special_tokens_mask, strict=True)
    return [token for token, _ in takewhile(lambda pair: pair[1], pairs)]


def _trim(fields: list[list[int]], budget: int) -> list[list[int]]:
    """Cut the longest fields down to one common length, so that short fields stay whole."""
    lengths = [len(field) for field in fields]
    limit = max(lengths)
    while sum(min(length, limit) for length in lengths) > budget:
        limit -= 1
    return [field[:limit] for field in fields]


def encode_prompts(
    tokenizer, columns: Sequence[Sequence[str]], max_tokens: int, beginning: Sequence[int] = ()
) -> tuple[list[list[int]], int]:
    """Turn rows into `input_ids`.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    columns : sequence of sequence of str
        One sequence for each visible field, each of length rows.
    max_tokens : int
        A longer row loses the ends of its longest fields, never a separator.
    beginning : sequence of int
        Tokens that every prompt begins with. They count.

    Returns
    -------
    input_ids : list of list of int, length rows
    n_trimmed : int
        Rows that were too long.

    Raises
    ------
    UserError
        `max_tokens` does not leave one token for each field beside its separator.
    """
    separator = tokenizer.encode(SEPARATOR, add_special_tokens=False).ids
    taken = len(beginning) + len(columns) * len(separator)
    budget = max_tokens - taken
    if budget < len(columns):
        raise UserError(
            "prompt-too-short",
            "params_train.yaml: tokenize.max_tokens",
            f"{max_tokens}; expected at least {taken + len(columns)} for {len(columns)} "
            "feature.fields with this base model",
            "raise it, or list fewer fields",
        )

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
        pieces = (token for field in fields for token in (*field, *separator))
        input_ids.append([*beginning, *pieces])
    return input_ids, n_trimmed
