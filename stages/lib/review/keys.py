"""The key of a coded row: it finds the row again in a sheet that came back changed."""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from stages.lib.normalize import clean_text
from stages.lib.spreadsheet import spreadsheet_cell

# Signs of the digest, and of each text that it is made of: cells of a spreadsheet are limited.
KEY_LENGTH = 16
TEXT_LENGTH = 1_000


@lru_cache(10_000)
def canonical_text(text: str) -> str:
    """Return a text in the form that a spreadsheet leaves as it is.

    NFKC, casefolded, single spaces, no control or invisible characters, at most `TEXT_LENGTH`
    characters, and without the apostrophe that `spreadsheet_cell` puts before formulas.
    """
    text = clean_text(text, "fold")
    if text.startswith("'") and spreadsheet_cell(text[1:]) != text[1:]:
        text = text[1:]
    return text[:TEXT_LENGTH].rstrip()


def row_key(file: str, sheet: str, row: int, fields: Sequence[str]) -> str:
    """Return the key of a row: `KEY_LENGTH` hexadecimal digits.

    Parameters
    ----------
    file, sheet : str
        Where the row came from; `sheet` is empty for files without sheets.
    row : int
        Its number there, from 1.
    fields : sequence of str
        What the model saw, in the order of ``feature.fields``.
    """
    parts = [canonical_text(file), canonical_text(sheet), int(row)]
    parts += [canonical_text(field or "") for field in fields]
    content = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]
