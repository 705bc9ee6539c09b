"""Make the batches that a review sheet is written from."""

from datetime import date
from pathlib import Path

import pyarrow as pa

from stages.lib.review.columns import Layout, own_schema, with_text
from stages.lib.review.words import encode_reason, load_words
from stages.lib.review.writing import Review, review_writer

FIELDS = ["vendor", "purpose"]
CHART = [("0101", "Office supplies"), ("0102", "사무용품비"), ("3-1", "")]
LAYOUT = Layout(
    pa.schema(
        [("Day", with_text(pa.date32())), ("Net", pa.float64()), ("No.", pa.string())],
    ),
    FIELDS,
    CHART,
)
REASONS = {
    "post": [],
    "review": ["below_threshold", encode_reason("amount_above", limit=10000)],
    "refused": ["unreadable date in day"],
    "none": ["blank row"],
}


def batch(decisions: list[str], text: str = "0007", first: int = 1, **own: object) -> pa.Table:
    """Return one row for each decision; `text` is in the column ``No.``, `own` in columns of
    ours."""
    rows = []
    for number, decision in enumerate(decisions, first):
        coded = decision in ("post", "review")
        row = {
            "Day": {"value": date(2024, 1, number % 28 + 1) if coded else None, "text": "31/02"},
            "Net": number * 1.5,
            "No.": text,
            "decision": decision,
            "reason": REASONS[decision],
            "source_file": "march.csv",
            "source_sheet": "",
            "source_row": number,
            "key": "",
        }
        if coded:
            row |= {"acct_code": "0101", "acct_name": "Office supplies", "probability": 0.9375}
            row |= {"choice_2": "0102", "probability_2": 0.05, "why_1": "0101 (1.00) acme"}
            row |= {"seen_date": date(2024, 1, number % 28 + 1), "seen_amount": number * 1.5}
            row |= {"seen_vendor": "acme", "seen_purpose": "toner", "key": f"{number:016x}"}
            row |= own
        rows.append(row)
    schema = pa.schema([*LAYOUT.inputs, *own_schema(FIELDS)])
    return pa.Table.from_pylist(rows, schema=schema)


def write(path: Path, *batches: pa.Table, language: str = "en", layout: Layout = LAYOUT) -> Review:
    """Write a review sheet and return its writer."""
    with review_writer(path, layout, load_words(language)) as review:
        for rows in batches:
            review.write(rows)
        review.finish([("model", "0" * 64), ("precision", 0.95), ("certified", True)])
    return review
