"""Where the vendor is among the fields, and the words that it keeps however it is spelled."""

import re
import unicodedata
from collections.abc import Sequence

from stages.lib.contracts.names import GROUP

# Legal forms say who owns a vendor, not which vendor it is.
_FORMS = {
    *("ltd", "ltda", "limited", "inc", "incorporated", "corp", "corporation", "co", "company"),
    *("llc", "llp", "lp", "plc", "pty", "gmbh", "mbh", "ag", "kg", "ohg", "ug", "ev", "eg"),
    *("sa", "sarl", "sas", "sasu", "spa", "srl", "sl", "bv", "nv", "ab", "oy", "as", "aps"),
    *("주식회사", "유한회사", "유한책임회사", "株式会社", "有限会社", "合同会社"),
}
_GLUED = re.compile("^(?:주식회사|유한회사|株式会社|有限会社)(?=.)|(?<=.)(?:주식회사|株式会社)$")
# S.A. and Ltd. are words as they would be without their points; an apostrophe is inside a word.
_INSIDE = re.compile(r"[.'’´`]")


def _has_digit(word: str) -> bool:
    return any(letter.isdigit() for letter in word)


def vendor_words(name: str) -> str:
    """Return what spellings of a vendor have in common, as words with single spaces.

    Left out are punctuation, words with digits (numbers of shops and invoices), legal forms and
    single letters, each only if other words remain: ``ACME LTD``, ``Acme Ltd.`` and
    ``ACME LIMITED #12`` are all ``acme``. A name of nothing else keeps it: ``3M`` is ``3m``.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    words = [_GLUED.sub("", word) for word in re.findall(r"\w+", _INSIDE.sub("", text))]
    for is_left_out in (_has_digit, _FORMS.__contains__, lambda word: len(word) == 1):
        words = [word for word in words if not is_left_out(word)] or words
    return " ".join(words)


def vendor_field(fields: Sequence[str], group_column: str | None) -> str | None:
    """Return the visible field with the vendor, None if the model sees no vendor."""
    return next((name for name in (GROUP, group_column) if name in fields), None)
