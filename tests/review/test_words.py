"""Each language has a word for everything, with the same arguments."""

import re

import pytest

from stages.lib.review.words import (
    LANGUAGES,
    decode_reason,
    encode_reason,
    load_words,
    say_reason,
    say_reasons,
)


def leaves(content: dict, path: str = "") -> dict[str, str]:
    found = {}
    for key, value in content.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_arguments(language):
    words, english = leaves(load_words(language)), leaves(load_words("en"))
    assert list(words) == list(english)
    for key, word in words.items():
        assert isinstance(word, str) and word.strip() == word != "", key
        arguments = [sorted(re.findall(r"{\w+}", text)) for text in (word, english[key])]
        assert arguments[0] == arguments[1], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_fit_where_excel_shows_them(language):
    words = load_words(language)
    names = list(words["sheets"].values())
    assert len({name.casefold() for name in names}) == len(names)
    assert all(len(name) <= 31 and not re.search(r"[\[\]:*?/\\]|^'|'$", name) for name in names)
    assert len(words["accounts"]["unknown"]) <= 32
    assert len(words["accounts"]["unknown_text"]) <= 255


@pytest.mark.parametrize("language", LANGUAGES)
def test_titles_and_decisions_are_told_apart(language):
    words = load_words(language)
    for section in ("titles", "decisions"):
        assert len(set(words[section].values())) == len(words[section])


def test_english_titles_and_decisions_are_the_keys():
    words = load_words("en")
    for section in ("titles", "decisions"):
        assert all(key == word for key, word in words[section].items())


@pytest.mark.parametrize(
    ("code", "arguments", "english", "korean"),
    [
        ("amount_above", {"limit": 10000.0}, "amount above 10,000", "금액이 한도(10,000) 초과"),
        (
            "past_rows_disagree",
            {"right": 3, "rows": 1200},
            "only 3 of 1,200 equal past postings have this account",
            "동일한 과거 전표 1,200건 중 3건만 이 계정과목으로 처리됨",
        ),
        (
            "given_account_differs",
            {"account": "0{101}"},
            "the file has the account 0{101}",
            "파일에 기재된 계정과목(0{101})과 다름",
        ),
        ("subtotal", {}, "subtotal", "소계"),
        (
            "unreadable date in day in",
            {},
            "unreadable date in day in",
            "일자를 읽을 수 없음 (열: day in)",
        ),
        ("duplicate in ", {}, "duplicate", "중복된 행"),
        ("no vendor", {}, "no vendor", "값이 없음 (열: vendor)"),
        (
            "no valid account in acct_code",
            {},
            "no valid account in acct_code",
            "유효한 계정코드 없음 (열: acct_code)",
        ),
        ("something else", {}, "something else", "something else"),
    ],
)
def test_a_reason_is_said_with_its_arguments(code, arguments, english, korean):
    assert say_reason(load_words("en"), code, arguments) == english
    assert say_reason(load_words("ko"), code, arguments) == korean
    assert decode_reason(encode_reason(code, **arguments)) == (code, arguments)


def test_the_reasons_of_a_row_are_joined():
    reasons = ["random_check", encode_reason("few_rows", rows=4)]
    assert say_reasons(load_words("en"), reasons) == (
        "random check, although the coder is sure; account with only 4 past postings"
    )
    assert say_reasons(load_words("en"), []) == ""


def test_a_text_that_looks_like_arguments_is_shown_as_it_is():
    assert decode_reason("no {vendor}") == ("no {vendor}", {})
