"""Find accounts that are one account in several spellings, and say what refused codes look like."""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import pyarrow as pa
from ruamel.yaml import YAML

from stages.lib.ledger.values import map_values
from stages.lib.normalize import clean_text, padded
from stages.lib.params.preprocess import Labels

_SEPARATORS = re.compile(r"[\s.,;:·'\"_/()\[\]-]+")
_DECIMALS = re.compile(r"\d+\.(\d+)")
_LONGEST_FORM = 24


# One account in several spellings


def find_spellings(rows: dict[str, int]) -> dict[str, str]:
    """Return ``{code: other code}`` for codes that are probably another spelling of the other one.

    They differ in case, spaces and punctuation, or in zeros that a number does not keep (6110.1 for
    6110.10, 100 for 0100). Punctuation between two digits counts: 1.2 is not 12.

    Parameters
    ----------
    rows : dict of str to int
        The rows of each code. Of several spellings, the one with the most rows is the other code.
    """
    whole = _restore_zeros(rows)
    spellings = defaultdict(Counter)
    for code, count in rows.items():
        full = whole.get(code, code)
        spellings[_letters(full)][full] += count
    best = {
        letters: max(found, key=lambda code: (found[code], code))
        for letters, found in spellings.items()
    }
    targets = {code: best[_letters(whole.get(code, code))] for code in sorted(rows)}
    merge = {code: target for code, target in targets.items() if code != target}
    return dict(sorted(merge.items(), key=lambda item: item[::-1]))


def _letters(code: str) -> str:
    """Return a code without case, spaces and punctuation, but for a space between two digits."""

    def gap(match: re.Match) -> str:
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        return " " if before.isdigit() and after.isdigit() else ""

    text = clean_text(code, "fold")
    return _SEPARATORS.sub(gap, text) or text


def _restore_zeros(codes: Iterable[str]) -> dict[str, str]:
    """Return ``{code: code with zeros}`` for codes that lost zeros when they became numbers.

    A chart may have both 1.1 and 1.10. So zeros are lost only if at least half of the codes that
    could have lost some stand beside their full form.
    """
    decimals = {code: len(m[1]) for code in codes if (m := _DECIMALS.fullmatch(code))}
    widths = {len(code) - places - 1 for code, places in decimals.items()}
    digits = [code for code in codes if code.isdecimal()]
    most, longest = max(decimals.values(), default=0), max(map(len, digits), default=0)
    shorter = [
        {code: code.ljust(len(code) + most - places, "0") for code, places in decimals.items()},
        {code: f"{code}.{'0' * most}" for code in digits if len(code) in widths},
        {code: code.zfill(longest) for code in digits},
    ]
    restored, known = {}, set(codes)
    for candidates in shorter:
        changed = {code: full for code, full in candidates.items() if code != full}
        found = {code: full for code, full in changed.items() if full in known}
        if 2 * len(found) >= len(changed):
            restored |= found
    return restored


def merge_lines(merge: dict[str, str]) -> str:
    """Return `merge` as lines of ``params.yaml``, in place of those of ``labels.merge``."""
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.allow_unicode, yaml.width = False, True, 10_000
    yaml.indent(mapping=2)
    yaml.dump({"merge": merge}, text)
    return "".join(f"    {line}" for line in text.getvalue().splitlines(keepends=True)).rstrip()


# Codes that the pattern refuses


def count_forms(cells: pa.Array, labels: Labels) -> Counter:
    """Return the rows of each form of a code, such as 9999-99: digits are 9, letters are A.

    Codes may be personal data, forms are not.
    """
    forms = map_values(cells, lambda text: code_form(padded(text, labels.pad_to)), pa.string())
    return Counter({pair["values"]: pair["counts"] for pair in forms.value_counts().to_pylist()})


def code_form(code: str) -> str:
    """Return `code` with each digit as 9 and each letter as A."""
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", code))


def pattern_for(forms: list[str], pattern: str) -> str:
    """Return a regular expression for codes of some forms, and for those that fit `pattern`."""
    if not all(forms) or any(len(form) > _LONGEST_FORM or "9" not in form for form in forms):
        return ".+"  # names

    def part(match: re.Match) -> str:
        run, count = match[0], f"{{{len(match[0])}}}" if len(match[0]) > 1 else ""
        return {"9": "[0-9]", "A": r"\w"}[run[0]] + count

    added = (re.sub("9+|A+", part, re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", f)) for f in forms)
    return "|".join(dict.fromkeys([pattern, *added]))
