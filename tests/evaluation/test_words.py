"""Each language has a word for everything, with the same arguments."""

import re

import pytest

from stages.lib.evaluation.words import LANGUAGES, load_words, say_slice


def leaves(content, path: str = "") -> dict[str, str]:
    if isinstance(content, str):
        return {path: content}
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    return {
        key: text for name, part in parts for key, text in leaves(part, f"{path}.{name}").items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_arguments(language):
    words, english = leaves(load_words(language)), leaves(load_words("en"))
    assert list(words) == list(english)
    for key, word in words.items():
        assert word.strip() == word != "", key
        arguments = [sorted(re.findall(r"{\w+}", text)) for text in (word, english[key])]
        assert arguments[0] == arguments[1], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_of_sheets_and_titles_fit_where_excel_shows_them(language):
    words = load_words(language)
    names = [words["sheets"][name] for name in ("suspects", "predictions", "rejects")]
    assert all(len(name) <= 25 and not re.search(r"[\[\]:*?/\\]|^'|'$", name) for name in names)
    assert len(set(words["titles"].values())) == len(words["titles"])


EDGES = [0.0, 20.0, 50.0, 1000.0]


@pytest.mark.parametrize(
    ("name", "value", "english", "korean"),
    [
        ("amount", "<0", "below 0", "0 미만"),
        ("amount", "<50", "20–50", "20–50"),
        ("amount", "<1000", "50–1,000", "50–1,000"),
        ("amount", ">=1000", "1,000 and more", "1,000 이상"),
        ("amount", "", "no amount", "금액 없음"),
        ("month", "2018-01", "2018-01", "2018-01"),
        ("month", "", "no date", "일자 없음"),
        ("vendor", "unseen", "not in training", "학습에 없음"),
        ("account_size", "rare", "under 10 training rows", "학습 10건 미만"),
        ("account_size", "middle", "10 to 1,199 training rows", "학습 10~1,199건"),
        ("account_size", "frequent", "1,200 and more training rows", "학습 1,200건 이상"),
        ("description", "empty", "empty", "없음"),
    ],
)
def test_the_value_of_a_slice_in_words(name, value, english, korean):
    for language, said in (("en", english), ("ko", korean)):
        assert say_slice(load_words(language), EDGES, (10, 1200), name, value) == said


def test_a_band_has_the_edges_that_the_ledger_has():
    assert say_slice(load_words("en"), [-10.0, 0.5], (1, 2), "amount", "<0.5") == "-10–0.5"
