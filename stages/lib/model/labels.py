"""One vocabulary token for each account: the answer that the model gives in a single step.

The token comes from the account's name where a free one exists ("parking" becomes `` parking``),
so that the pretrained model already knows something of what the label means. Digits do not work:
codes share their first ones, and many tokenizers split every digit.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import pyarrow as pa

from stages.lib.contracts.names import LABEL
from stages.lib.errors import UserError

_WORD = re.compile(r"[^\W\d_]{2,}")


def _words(name: str) -> list[str]:
    return _WORD.findall(name.casefold())


def _is_verified(tokenizer, token_id: int) -> bool:
    """Tell whether the token is text that reads back as this very token.

    Half the bytes of a Hangul letter, or a space alone, means nothing.
    """
    text = tokenizer.decode([token_id])
    back = tokenizer.encode(text, add_special_tokens=False).ids
    return bool(text.strip()) and back == [token_id]


def _name_token_ids(tokenizer, words: Sequence[str]) -> Iterator[int]:
    """Yield tokens of `words`: whole words first, then the beginnings of words."""
    pieces = [tokenizer.encode(f" {word}", add_special_tokens=False).ids for word in words]
    yield from (piece[0] for piece in pieces if len(piece) == 1)
    yield from (piece[0] for piece in pieces if len(piece) > 1)


def _spare_token_ids(tokenizer) -> Iterator[int]:
    """Yield the words of the vocabulary, longest first: they are the least used in prompts."""
    text = {i: tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())}
    words = [i for i, piece in text.items() if piece[:1] == " " and piece[1:].isalpha()]
    rest = [i for i in text.keys() - set(words) if text[i].strip()]
    yield from sorted(words, key=lambda i: (-len(text[i]), i))
    yield from sorted(rest, key=lambda i: (-len(text[i]), i))


def assign_label_tokens(
    tokenizer, accounts: Sequence[str], names: Sequence[str], rows: Sequence[int]
) -> list[int]:
    """Return one token id for each account, no two alike.

    Accounts with many rows choose first. Within a name, words that few other names have come
    first ("office" says less than "stationery"). A name with no free word takes a spare token.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    accounts, names : sequence of str, length K
        Codes and names; a name may be empty.
    rows : sequence of int, length K
        Training rows of each account.

    Returns
    -------
    list of int, length K
        In the order of `accounts`.

    Raises
    ------
    UserError
        The vocabulary has fewer usable tokens than there are accounts.
    """
    name_count = Counter(word for name in names for word in set(_words(name)))
    taken = set(tokenizer.get_added_tokens_decoder())  # control tokens are no answers
    chosen: dict[str, int] = {}
    spare = _spare_token_ids(tokenizer)
    for _, account, name in sorted(
        zip((-n for n in rows), accounts, names, strict=True), key=lambda item: item[:2]
    ):
        words = sorted(dict.fromkeys(_words(name)), key=lambda word: name_count[word])
        candidates = chain(_name_token_ids(tokenizer, words), spare)
        free = (i for i in candidates if i not in taken and _is_verified(tokenizer, i))
        token_id = next(free, None)
        if token_id is None:
            raise UserError(
                "too-many-accounts",
                "model.name",
                f"{len(accounts)} accounts, but the vocabulary of the base model has only "
                f"{len(chosen)} usable tokens",
                "choose a base model with a larger vocabulary",
            )
        taken.add(token_id)
        chosen[account] = token_id
    return [chosen[account] for account in accounts]


def build_label_map(
    tokenizer, train_accounts: pa.ChunkedArray, chart: pa.Table
) -> list[dict[str, object]]:
    """Return an entry for each account that has training rows, in the order of the logit columns.

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
    pairs = train_accounts.value_counts().to_pylist()
    train_rows = {pair["values"]: pair["counts"] for pair in pairs}
    accounts = sorted(train_rows)
    name_of = dict(zip(*(chart[c].to_pylist() for c in (LABEL, "acct_name")), strict=True))
    names = [name_of.get(account) or "" for account in accounts]
    rows = [train_rows[account] for account in accounts]
    token_ids = assign_label_tokens(tokenizer, accounts, names, rows)
    return [
        {
            LABEL: account,
            "acct_name": name,
            "train_rows": count,
            "token": tokenizer.decode([token_id]),
            "token_id": token_id,
        }
        for account, name, count, token_id in zip(accounts, names, rows, token_ids, strict=True)
    ]
