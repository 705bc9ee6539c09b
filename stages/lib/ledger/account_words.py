"""Find the name or the code of an account in the text of a field."""

import re
from collections import defaultdict
from functools import cache
from typing import NamedTuple

from stages.lib.normalize import clean_text

# Korean puts these behind a word without a space: "복리후생비로" names the account too.
_PARTICLE = "(?:은|는|이|가|을|를|의|에|로|으로|와|과|도|만)?"
_DIGITS = re.compile(r"\d+")
_GAPS = re.compile(r"[\W_]+")
_SYLLABLES = re.compile("(?<=[가-힣])(?=[가-힣])")


class AccountWords(NamedTuple):
    """What may give an account away, in lower case.

    Attributes
    ----------
    words : dict of str to dict of str to str
        By account: its names and its codes that are not digits alone, and the letters of each.
    numbers : dict of str to set of str
        The accounts of each code of digits alone.
    """

    words: dict[str, dict[str, str]]
    numbers: dict[str, set[str]]


def account_words(accounts: list[dict]) -> AccountWords:
    """Return what may give each account away.

    Parameters
    ----------
    accounts : list of dict
        Rows of the chart of accounts, with acct_code, acct_name and also_written.
    """
    found = AccountWords({}, defaultdict(set))
    for row in accounts:
        code = row["acct_code"]
        forms = {clean_text(f, "fold") for f in (code, row["acct_name"], *row["also_written"])}
        letters = {form: letters_of(form) for form in sorted(forms) if not form.isdigit()}
        found.words[code] = {form: bare for form, bare in letters.items() if bare}
        for form in forms:
            if form.isdigit():
                found.numbers[form].add(code)
    return found


@cache
def _alone(word: str) -> re.Pattern:
    # Spaces and signs vary, and Korean may or may not separate its words: "여비교통비",
    # "지급 수수료".
    parts = [" ?".join(_SYLLABLES.split(part)) for part in _GAPS.split(word) if part]
    if not parts:
        return re.compile("(?!)")
    # A code of letters and digits is not a word: "ktoa101" has a101 in it, but "a1012" does not.
    is_code = len(word) >= 4 and _DIGITS.search(word) and " " not in word
    before, after = (
        r"\d" if is_code and edge.isdigit() else "(?!)" if is_code else r"[^\W_]"
        for edge in (parts[0][0], parts[-1][-1])
    )
    phrase = r"[\W_]*".join(parts)
    return re.compile(rf"(?<!{before}){phrase}{_PARTICLE}(?!{after})")


def tells(value: str, word: str) -> bool:
    """Return whether `value` has `word` in it as a word or phrase of its own, in any spacing."""
    return _alone(word).search(value) is not None


def letters_of(text: str) -> str:
    """Return `text` without spaces and punctuation."""
    return _GAPS.sub("", text)


def numbered_accounts(value: str, numbers: dict[str, set[str]], lengths: list[int]) -> set[str]:
    """Return the accounts whose code of digits is anywhere in the digits of `value`.

    Parameters
    ----------
    value : str
    numbers : dict of str to set of str
        The accounts of each code.
    lengths : list of int
        The lengths that these codes have.
    """
    found = set()
    for match in _DIGITS.finditer(value):
        digits = match[0]
        for length in lengths:
            for start in range(len(digits) - length + 1):
                found |= numbers.get(digits[start : start + length], set())
    return found
