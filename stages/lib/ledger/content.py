"""See whether the cells of a column look like what the column should have."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.zero_dates import is_zero_date
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
    """Of the cells of a column: how many are filled, how many of them look right, and the first one
    that does not ("" if all do), with personal data masked, and its row."""

    filled: int
    right: int
    wrong: str
    row: int = 0


def expected_pattern(name: str, params: IngestParams) -> str | None:
    """Return the regular expression that cells of a column fit; None if all cells do."""
    if name in params.patterns:
        return rf"^(?:{params.patterns[name]})$"
    return {"date": DATE, "amount": AMOUNT}.get(params.columns[name].role)


def fitting(cells: pa.Array, pattern: str) -> pa.Array:
    """Return which of `cells` fit `pattern`, as `preprocess` reads them: full-width digits and hard
    spaces are no mistake."""
    cells = pc.utf8_trim_whitespace(pc.utf8_normalize(cells, form="NFKC"))
    return pc.match_substring_regex(cells, pattern)


def check_content(
    columns: dict[str, pa.Array], lines: Sequence[int], params: IngestParams
) -> dict[str, Content]:
    """Return the content of each column that has a pattern, dates or amounts.

    Parameters
    ----------
    lines : sequence of int
        The number of each row.
    """
    found = {}
    for name in columns:
        if pattern := expected_pattern(name, params):
            cells = columns[name].slice(0, CHECKED_CELLS)
            filled = pc.not_equal(pc.utf8_trim_whitespace(cells), "")
            if pattern == DATE:
                filled = pc.and_not(filled, is_zero_date(cells))
            wrong = pc.and_not(filled, fitting(cells, pattern))
            count, bad = pc.sum(filled).as_py() or 0, pc.sum(wrong).as_py() or 0
            content = Content(count, count - bad, "")
            if bad:
                first = pc.index(wrong, True).as_py()
                example = mask_personal(cells[first].as_py().strip(), params.mask)[0]
                content = content._replace(wrong=example, row=lines[first])
            found[name] = content
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
