"""Names and codes of accounts are found in text, in any spacing, but not inside of words."""

from itertools import product

from stages.lib.ledger.account_words import account_words, numbered_accounts, tells


def test_words_against_a_search_in_every_word():
    for value, word in product(["pay tax", "taxes", "a-tax", "tax", ""], ["tax", "pay", ""]):
        words = value.replace("-", " ").split()
        assert tells(value, word) == (word in words)


def test_a_code_with_letters_is_found_where_it_is_glued():
    found = ["ktoa101", "a101", "a101원", "x-a101b"]
    assert [v for v in [*found, "a1012", "a10", ""] if tells(v, "a101")] == found
    assert not tells("notex1y", "x1") and not tells("the coopers", "coop")


def test_korean_names_are_found_before_particles():
    assert tells("복리후생비로 처리", "복리후생비")
    assert not tells("회의실 대관", "회의")


def test_names_are_found_in_any_spacing():
    for value, word in [
        ("여비교통비 정산", "여비 교통비"),
        ("지급 수수료", "지급수수료"),
        ("여비, 교통비로", "여비/교통비"),
        ("post-age & courier", "post age&courier"),
        ("10001", "10-001"),
        ("R & D로 지급".casefold(), "r&d"),
    ]:
        assert tells(value, word)
    assert not tells("car en t", "rent") and not tells("a - b", "-")
    assert not tells("회식 대금", "식대") and not tells("210001", "10-001")


def test_codes_of_digits_are_found_inside_of_longer_numbers():
    numbers = {"0101": {"0101"}, "10": {"0010"}}
    assert numbered_accounts("99 0101-7", numbers, [2, 4]) == {"0101", "0010"}
    assert numbered_accounts("01-01 paper", numbers, [2, 4]) == set()


def test_an_account_has_all_its_forms_as_words():
    found = account_words(
        [
            {"acct_code": "0101", "acct_name": "Meals & Co", "also_written": ["101", "A-101"]},
            {"acct_code": "2010", "acct_name": "2010", "also_written": ["101", "--"]},
        ]
    )
    assert found.words == {"0101": {"a-101": "a101", "meals & co": "mealsco"}, "2010": {}}
    assert found.numbers == {"0101": {"0101"}, "101": {"0101", "2010"}, "2010": {"2010"}}
