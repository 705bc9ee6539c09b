"""See whether the cells of a column look like what the column should have."""

from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.privacy import mask_personal
from stages.lib.params.ingest import IngestParams

# This many cells of a part are compared with the role of their column, and this many different
# values with those of other files: enough to notice a moved column.
CHECKED_CELLS = 1_000
VOCABULARY = 300

# Roles whose values a sheet shares with other sheets, so that a moved column can be noticed.
COMPARABLE = ("text", "group", "category", "label", "label_name")

# Loose on purpose: what a cell means is decided by `preprocess`, with the user's parameters.
AMOUNT = (
    r"^(?:[A-Z]{0,3}[\p{Sc}원\s]*[-–—−][\p{Sc}원\s]*"
    r"|[^0-9]{0,8}[0-9][0-9.,'’´`\x{301}\s]*(E0)?[^0-9]{0,8})$"
)
# RE2 takes 12 milliseconds to compile \pL{3,10}, once a column and sheet.
_WORD = r"[^\x00-\x40]{3,10}"
DATE = (
    r"^[^0-9]{0,12}((\d{1,4}|元)\s?[-/.\s년年]\s?(\d{1,2}|"
    + _WORD
    + r"\.?)\s?[-/.\s월月]\s?\d{1,4}"
    r"|\d{8}(\d{4}|\d{6})?|\d{6}|\d{5}(\.\d+)?"
    r"|\d{1,2}(st|nd|rd|th|er)?\.?[ -]?(de |of )?" + _WORD + r"\.?,?[ -]?(de |del )?\d{2,4}"
    r"|\d{4}[ -]?"
    + _WORD
    + r"[ -]?\d{1,2}|"
    + _WORD
    + r"[-/. ]{0,2}\d{1,2}(st|nd|rd|th)?[-/., ]{1,2}\d{2,4})"
    r"([^0-9].*)?$"
)


class Content(NamedTuple):
    """Of the cells of a column: how many are filled, how many of them look right, and one that does
    not ("" if all do), with personal data masked."""

    filled: int
    right: int
    wrong: str


def check_content(columns: dict[str, pa.Array], params: IngestParams) -> dict[str, Content]:
    """Return the content of each column that has a pattern, dates or amounts."""
    checks = {
        name: rf"^(?:{params.patterns[name]})$"
        if name in params.patterns
        else {"date": DATE, "amount": AMOUNT}.get(params.columns[name].role)
        for name in columns
    }
    found = {}
    for name, pattern in checks.items():
        if pattern:
            # As `preprocess` reads them: full-width digits and hard spaces are no mistake.
            cells = pc.utf8_normalize(columns[name].slice(0, CHECKED_CELLS), form="NFKC")
            cells = pc.utf8_trim_whitespace(cells)
            cells = cells.filter(pc.not_equal(cells, ""))
            right = pc.match_substring_regex(cells, pattern)
            wrong = cells.filter(pc.invert(right)).slice(0, 1).to_pylist()
            example = mask_personal(wrong[0], params.mask)[0] if wrong else ""
            found[name] = Content(len(cells), pc.sum(right).as_py() or 0, example)
    return found


def vocabulary(column: pa.Array) -> Counter:
    """Return the most frequent values of `column` with their counts."""
    counts = pc.value_counts(pc.utf8_trim_whitespace(column)).to_pylist()
    words = Counter({c["values"]: c["counts"] for c in counts if c["values"]})
    return Counter(dict(words.most_common(VOCABULARY)))


def vocabularies(columns: dict[str, pa.Array], params: IngestParams) -> dict[str, Counter]:
    """Return the vocabulary of each column whose values other sheets may share."""
    return {
        name: vocabulary(column)
        for name, column in columns.items()
        if params.columns[name].role in COMPARABLE
    }
