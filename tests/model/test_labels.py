"""Label tokens: one real token an account, no two alike, from the account's name where possible."""

import random

import pyarrow as pa
from refusals import refused
from small_ledger import ACCOUNTS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from stages.lib.model.labels import assign_label_tokens, build_label_map

CODES = list(ACCOUNTS)
NAMES = [name for name, *_ in ACCOUNTS.values()]


def words(tokenizer, names: list[str], rows: list[int]) -> list[str]:
    codes = [f"{i:04}" for i in range(len(names))]
    found = assign_label_tokens(tokenizer, codes, names, rows)
    return [tokenizer.decode([i]) for i in found]


def test_names_give_their_words_hangul_included(tokenizer):
    assert words(tokenizer, ["PARKING", "주차 요금", "2018 인쇄물"], [3, 2, 1]) == [
        " parking",
        " 주차",
        " 인쇄물",
    ]


def test_tokens_are_distinct_single_and_no_control_tokens(tokenizer):
    found = assign_label_tokens(tokenizer, CODES, NAMES, [9, 8, 7, 6, 5, 1])
    assert len(set(found)) == len(CODES)
    assert not set(found) & set(tokenizer.get_added_tokens_decoder())
    for token_id in found:
        text = tokenizer.decode([token_id])
        assert tokenizer.encode(text, add_special_tokens=False).ids == [token_id]


def test_the_frequent_account_gets_the_word_that_two_want(tokenizer):
    first, second = words(tokenizer, ["PARKING", "parking"], [1, 50])
    assert second == " parking"
    assert first != second


def test_of_equally_frequent_accounts_the_lower_code_chooses_first(tokenizer):
    codes = ["0200", "0100"]
    found = assign_label_tokens(tokenizer, codes, ["PARKING", "PARKING"], [5, 5])
    assert tokenizer.decode([found[1]]) == " parking"


def test_a_word_of_one_name_says_more_than_a_word_of_many(tokenizer):
    names = ["PAPER TONER", "PAPER", "PAPER BANNERS"]
    assert words(tokenizer, names, [9, 5, 1])[0] == " toner"


def test_an_account_without_a_name_gets_a_spare_word(tokenizer):
    (word,) = words(tokenizer, [""], [1])
    assert word.startswith(" ") and word[1:].isalpha()


def test_the_choice_does_not_depend_on_the_order_of_the_accounts(tokenizer):
    rows = [5, 5, 5, 2, 2, 1]
    expected = dict(zip(CODES, assign_label_tokens(tokenizer, CODES, NAMES, rows), strict=True))
    order = list(range(len(CODES)))
    for seed in range(5):
        random.Random(seed).shuffle(order)
        mixed = [[column[i] for i in order] for column in (CODES, NAMES, rows)]
        found = assign_label_tokens(tokenizer, *mixed)
        assert dict(zip(mixed[0], found, strict=True)) == expected


def small_tokenizer(trained_on: list[str] = ()) -> Tokenizer:
    """Return a byte-level tokenizer: of three usable tokens, or trained on text without Hangul."""
    pieces = ["a", "b", "Ġ", "Ġa", "<s>"]
    model = models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[("Ġ", "a")])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if trained_on:
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(trained_on, trainer)
    tokenizer.add_special_tokens(["<s>"])
    return tokenizer


def test_more_accounts_than_tokens_are_refused():
    assert assign_label_tokens(small_tokenizer(), ["1", "2", "3"], [""] * 3, [1] * 3) == [3, 0, 1]
    with refused("too-many-accounts", "model.name", "4 accounts", "only 3"):
        assign_label_tokens(small_tokenizer(), ["1", "2", "3", "4"], [""] * 4, [1] * 4)


def test_half_a_letter_is_no_label():
    """Where the vocabulary has no Hangul, a word's first token is a part of a letter's bytes."""
    tokenizer = small_tokenizer(trained_on=["parking office staples toner"] * 9)
    first = tokenizer.encode(" 여비").ids[1]
    assert tokenizer.decode([first]) == "\ufffd"
    codes = ["1", "2", "3"]
    found = assign_label_tokens(
        tokenizer, codes, ["여비 교통비", "여비 (출장)", "office"], [3, 2, 1]
    )
    for token_id in found:
        text = tokenizer.decode([token_id])
        assert text.strip().isalpha()
        assert tokenizer.encode(text).ids == [token_id]


def test_every_account_of_a_large_chart_gets_a_token_of_its_own(tokenizer):
    n = tokenizer.get_vocab_size() // 2
    codes = [f"{i:04}" for i in range(n)]
    names = [f"PARKING {i}" for i in range(n)]
    assert len(set(assign_label_tokens(tokenizer, codes, names, [1] * n))) == n


def test_the_label_map_has_the_accounts_of_the_training_rows_by_code(tokenizer):
    chart = pa.table({"acct_code": ["0101", "2"], "acct_name": ["PARKING", None]})
    accounts = pa.chunked_array([["0101", "3", "2"], ["3"]])
    found = build_label_map(tokenizer, accounts, chart)
    assert [(e["acct_code"], e["acct_name"], e["train_rows"]) for e in found] == [
        ("0101", "PARKING", 1),
        ("2", "", 1),
        ("3", "", 2),  # the chart does not name it
    ]
    assert found[0]["token"] == " parking"
    for entry in found:
        assert tokenizer.encode(entry["token"]).ids == [entry["token_id"]]
    assert len({entry["token_id"] for entry in found}) == 3
