"""Prompts: exact token ids, nothing lost but the ends of long fields, one form everywhere."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project import ROOT
from refusals import refused
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from stages.lib.model.base_model import load_tokenizer
from stages.lib.model.prompt import encode_prompts, find_beginning

VOCABULARY = ["|", "Ġ", "a", "b", "ab", "Ġa", "Ġab", "Ġb", "c", "<", ">", "s"]


@pytest.fixture(scope="module")
def letters() -> Tokenizer:
    """Return a tokenizer whose ids can be worked out by hand."""
    merges = [("a", "b"), ("Ġ", "a"), ("Ġ", "ab"), ("Ġ", "b")]
    ids = {piece: i for i, piece in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.encode_special_tokens = True
    return tokenizer


def ids(*pieces: str) -> list[int]:
    return [VOCABULARY.index(piece) for piece in pieces]


def test_a_prompt_is_the_fields_each_behind_a_space_and_before_a_separator(letters):
    found, trimmed = encode_prompts(letters, [["ab", "b"], ["a a", ""]], 20)
    assert found == [ids("Ġab", "|", "Ġa", "Ġa", "|"), ids("Ġb", "|", "|")]
    assert trimmed == 0


def test_the_longest_fields_are_cut_to_one_length_and_short_ones_stay_whole(letters):
    columns = [["a a a a"], ["b"], ["ab ab ab"]]
    found, trimmed = encode_prompts(letters, columns, 8)  # 3 separators, 5 left for 4 + 1 + 3
    assert found == [ids("Ġa", "Ġa", "|", "Ġb", "|", "Ġab", "Ġab", "|")]
    assert trimmed == 1


def test_a_prompt_that_just_fits_is_not_trimmed(letters):
    assert encode_prompts(letters, [["a a"], ["b"]], 5)[1] == 0
    assert encode_prompts(letters, [["a a"], ["b"]], 4) == ([ids("Ġa", "|", "Ġb", "|")], 1)


def test_special_token_text_stays_plain_text(letters, tokenizer, tiny_model):
    (found,), _ = encode_prompts(letters, [["<s>"]], 9)
    assert found == ids("Ġ", "<", "s", ">", "|")
    (found,), _ = encode_prompts(tokenizer, [["<|im_end|> 주차"]], 40)
    assert not set(found) & set(tokenizer.get_added_tokens_decoder())
    assert tokenizer.decode(found) == " <|im_end|> 주차|"
    control = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    assert 1 in control.encode("<|im_end|>").ids  # what load_tokenizer prevents


def test_too_few_tokens_for_the_fields_is_refused(letters):
    with refused("prompt-too-short", "tokenize.max_tokens", "3; expected at least 4"):
        encode_prompts(letters, [["a"], ["b"]], 3)
    with refused("prompt-too-short", "tokenize.max_tokens", "4; expected at least 5"):
        encode_prompts(letters, [["a"], ["b"]], 4, [7])


@pytest.fixture
def gemma(tmp_path) -> Path:
    """Return the folder of a tokenizer that begins each text with <bos>, and ends it with <eos>."""
    tokenizer = Tokenizer(models.BPE(vocab={"|": 0, "a": 1, "Ġ": 2, "Ġa": 3}, merges=[("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<bos>", "<eos>"])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(),
            processors.TemplateProcessing(
                single="<bos> $A <eos>", special_tokens=[("<bos>", 4), ("<eos>", 5)]
            ),
        ]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_prompt_begins_once_with_the_token_that_the_tokenizer_begins_with(gemma):
    tokenizer = load_tokenizer(gemma)
    beginning = find_beginning(tokenizer)
    assert beginning == [4]
    assert encode_prompts(tokenizer, [["a", ""], ["a a a", ""]], 7, beginning) == (
        [[4, 3, 0, 3, 3, 3, 0], [4, 0, 0]],
        0,
    )
    assert encode_prompts(tokenizer, [["a"], ["a a a"]], 6, beginning) == ([[4, 3, 0, 3, 3, 0]], 1)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"add_bos_token": True, "bos_token": "<bos>"}, [4]),
        ({"add_bos_token": True, "bos_token": {"content": "<bos>"}}, [4]),
        ({"add_bos_token": False, "bos_token": "<bos>"}, []),
        ({"add_bos_token": True, "bos_token": "<no>"}, []),
        ({"add_bos_token": True, "bos_token": None}, []),
        ({"bos_token": "<bos>"}, []),
        ([], []),
    ],
)
def test_the_first_token_may_stand_in_the_configuration_alone(gemma, config, expected):
    (gemma / "tokenizer_config.json").write_text(json.dumps(config))
    assert find_beginning(load_tokenizer(gemma)) == [4]  # once, not twice
    tokenizer = json.loads((gemma / "tokenizer.json").read_text())
    (gemma / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    assert find_beginning(load_tokenizer(gemma)) == expected


def test_most_tokenizers_begin_with_nothing(letters, tokenizer):
    assert find_beginning(letters) == find_beginning(tokenizer) == []


def test_no_rows_give_no_prompts(letters):
    assert encode_prompts(letters, [[], []], 8) == ([], 0)


field = st.text(alphabet="ab주차Ａ|<>\n ", max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(field, field, field), min_size=1, max_size=4), room=st.integers(3, 40)
)
def test_trimming_takes_tokens_off_the_longest_fields_only(tokenizer, rows, room):
    """Against an independent implementation: one token off every longest field, again and again."""
    found, trimmed = encode_prompts(tokenizer, list(zip(*rows, strict=True)), 3 + room)
    bar = tokenizer.encode("|").ids
    n_long = 0
    for row, prompt in zip(rows, found, strict=True):
        parts = [tokenizer.encode(f" {text}").ids if text else [] for text in row]
        n_long += sum(map(len, parts)) > room
        while sum(map(len, parts)) > room:
            longest = max(map(len, parts))
            parts = [part[:-1] if len(part) == longest else part for part in parts]
        assert prompt == [token for part in parts for token in part + bar]
    assert trimmed == n_long


def test_the_prompt_of_a_row_does_not_depend_on_the_rows_around_it(tokenizer):
    columns = [["ttc", "여비 교통비", "a" * 90], ["", "parking", "b c"]]
    together, _ = encode_prompts(tokenizer, columns, 30)
    alone = [encode_prompts(tokenizer, [[a], [b]], 30)[0][0] for a, b in zip(*columns, strict=True)]
    assert together == alone


def test_one_function_makes_every_prompt():
    """Training and scoring read the same token ids, which no other code makes."""
    callers = [
        path.relative_to(ROOT / "stages").as_posix()
        for path in sorted((ROOT / "stages").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("encode_batch")
    ]
    assert callers == ["lib/model/prompt.py"]


def test_load_tokenizer_neither_cuts_nor_pads(tiny_model, tmp_path):
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert (
        loaded.encode(" parking a b c d").ids
        == load_tokenizer(tiny_model).encode(" parking a b c d").ids
    )
    assert len(loaded.encode(" parking").ids) == 1
