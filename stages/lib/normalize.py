"""Bring the text of a cell into one form. Standard library only: parameter models use it too."""

import re
import unicodedata
from typing import Literal

# Also marks of direction, variants of emoji, and the blanks that fill a Hangul syllable.
_INVISIBLE = re.compile(
    r"[^\S ]|[\x00-\x1f\x7f-\x9f]|[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]"
)
# NFKC would make 51⁄2 of 5½.
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
# Applied before NFKC, which would put a space before an accent, and read 5² as 52.
SIGNS = str.maketrans({**dict.fromkeys("‐‑‒–—―−", "-"), **dict.fromkeys("‘’‛ʼ´`′", "'")})
_NOT_JAMO = re.compile("[^\u3131-\u318e]+")


def _blank(match: re.Match) -> str:
    # White space and Hangul's blanks separate words; the others are inside of words.
    return " " if match[0].isspace() or match[0] < "\xa0" or match[0] in "\u3164\uffa0" else ""


def _nfkc(match: re.Match) -> str:
    return unicodedata.normalize("NFKC", match[0])


def clean_text(text: str, case: Literal["fold", "keep"]) -> str:
    """Return `text` in one form: NFKC, no control or invisible characters, single spaces.

    A lone Hangul letter such as "ㄱ" keeps its own code point, which NFKC would replace.
    """
    # First, as they may be inside of one letter: e, a zero-width space and an accent.
    text = _INVISIBLE.sub(_blank, text)
    if not text.isascii():
        text = _NOT_JAMO.sub(_nfkc, _FRACTION.sub(" ", text))
    if case == "fold":
        text = text.casefold()
        if not text.isascii():  # folding may separate an accent from its letter
            text = _NOT_JAMO.sub(_nfkc, text)
    return " ".join(text.split())


# As Excel and LibreOffice write them, also in their German, French and Spanish forms.
_ERROR = re.compile(
    r"#(?:N/A|NV|[¡¿]?(?:REF|VALUE|DIV/0|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED|CONNECT|BUSY|DATA"
    r"|UNKNOWN|BEZUG|WERT|ZAHL|VALEUR|NOM|NOMBRE|VALOR)[!?]|GETTING_DATA)|Err:5\d\d"
)


def is_error(text: str) -> bool:
    """Return whether a cell shows a spreadsheet's error, such as #N/A, instead of its content."""
    return text.lstrip()[:1] in ("#", "E") and _ERROR.fullmatch(text.strip()) is not None


# What tells a spreadsheet that a code is a text: ="0100" and '0100.
_AS_TEXT = re.compile(r"""=\s*"([^"]*)"|'([^']*)'?""")


def padded(code: str, width: int) -> str:
    """Return an account code in one form: NFKC, no spaces around it, without the signs that tell a
    spreadsheet that it is a text, digits filled with leading zeros to `width`."""
    code = clean_text(code, "keep")
    if code[:1] in ("=", "'") and (text := _AS_TEXT.fullmatch(code)):
        code = (text[1] or text[2] or "").strip()
    return code.zfill(width) if code.isdigit() else code
