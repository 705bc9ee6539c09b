"""Say why cleaning refused rows, and which parameter cures it."""

import re
from collections import Counter

from stages.lib.ledger.account_spellings import pattern_for
from stages.lib.ledger.amounts import amount_marks, parse_amount
from stages.lib.ledger.clean_columns import DOUBTFUL_DATE, UNREAD_AMOUNT, UNREAD_DATE
from stages.lib.ledger.noted_cells import Reason
from stages.lib.normalize import clean_text, is_error
from stages.lib.params.preprocess import PreprocessParams

# Words for a credit in some languages. All others are taken for a debit or a currency.
_CREDIT = {"cr", "credit", "haben", "h", "avoir", "avere", "haber"}
# Before or after a number.
_WORD = re.compile(r"^\W*([^\W\d_]\D*?)[\s.:(+-]*(?=\d)|(?<=\d)[\s.)+-]*([^\W\d_]\D*?)[\s.)-]*$")
_LETTERS = r"[^\W\d_]{3,10}"
_NO_YEAR = re.compile(rf"\d{{1,2}}[-/. ]+(?:\d{{1,2}}|{_LETTERS})\.?|{_LETTERS}[-/. ]+\d{{1,2}}")

_OTHERS = {
    DOUBTFUL_DATE: "write such dates with all their digits, or as a spreadsheet's dates",
    "spreadsheet error": "correct the formula in the spreadsheet",
    "masked account": "set preprocess.labels.masked_rule: from_name if the account's name tells it",
    "retired account": "take it out of preprocess.labels.retire, or name its new account in merge",
}


def cause_of(reason: Reason, cells: list[str], params: PreprocessParams) -> str:
    """Return what to do about refused rows.

    Parameters
    ----------
    reason : (str, str)
        Why they were refused, and the column.
    cells : list of str
        Some different cells of the column that are refused.
    params : PreprocessParams
    """
    why, _ = reason
    if why in (UNREAD_AMOUNT, UNREAD_DATE) and cells and all(map(is_error, cells)):
        return "correct the formula in the spreadsheet, or " + _empty(why)
    if why == UNREAD_AMOUNT:
        return _cause_of_amounts(cells, params)
    if why == UNREAD_DATE:
        no_year = any(_NO_YEAR.fullmatch(clean_text(cell, "keep")) for cell in cells[:1])
        return ("give the dates a year, or " if no_year else "") + _empty(why)
    return _OTHERS.get(why, "")


def cause_of_accounts(forms: Counter, pattern: str) -> str:
    """Return what to do about accounts that the pattern refuses: what they look like.

    Parameters
    ----------
    forms : Counter
        As `count_forms` returns it.
    pattern : str
    """
    common = forms.most_common(3)
    shown = ", ".join(f"{form or 'empty'} ({rows:,} rows)" for form, rows in common)
    wider = pattern_for([form for form, _ in common if form], pattern).replace("'", "''")
    return (
        f"with 9 for a digit and A for a letter, preprocess.labels.pattern ({pattern}) refuses "
        f"{shown}: if these are accounts, write pattern: '{wider}'"
    )


def _empty(why: str) -> str:
    key = "unreadable_amount" if why == UNREAD_AMOUNT else "unreadable_date"
    return f"set preprocess.{key}: empty to keep such rows without it"


def _cause_of_amounts(cells: list[str], params: PreprocessParams) -> str:
    words = Counter()
    for cell in cells:
        text = clean_text(cell, "fold")
        if found := _WORD.search(text):
            words[found[1] or found[2]] += 1
    known = {word.casefold() for word in [*params.currency_words, *params.credit_words]}
    new = sorted(word for word in words if word not in known)
    marks = amount_marks((*params.currency_words, *new), tuple(params.credit_words))
    read = [_is_read(clean_text(cell, "fold"), marks) for cell in cells]
    if not new or not any(read):
        return _empty(UNREAD_AMOUNT)
    credits = [word for word in new if word in _CREDIT and (word != "h" or "s" in new)]
    others = [word for word in new if word not in credits]
    parts = []
    if credits:
        parts.append(f"set preprocess.credit_words: {_list([*params.credit_words, *credits])}")
    if others:
        parts.append(
            f"set preprocess.currency_words: {_list([*params.currency_words, *others])}, or add to "
            "credit_words what makes an amount negative"
        )
    return "; ".join(parts)


def _is_read(text: str, marks: tuple[re.Pattern, re.Pattern]) -> bool:
    return any(parse_amount(text, decimal, *marks) is not None for decimal in ("point", "comma"))


def _list(words: list[str]) -> str:
    return f"[{', '.join(word if word.isalnum() else repr(word) for word in words)}]"
