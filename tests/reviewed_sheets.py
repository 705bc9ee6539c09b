"""Sheets as predict writes them, and as people leave them."""

import datetime

from stages.lib.params.preprocess import Labels
from stages.lib.review.account_finder import AccountFinder
from stages.lib.review.columns import own_titles
from stages.lib.review.keys import row_key
from stages.lib.review.words import load_words

FIELDS = ["vendor", "memo", "centre"]
CHART = {
    "0101": "Office supplies",
    "0102": "Travel",
    "3-1": "Rent",
    "3-2": "Gas",
    "2-3": "Power",
    "0900": "Old account",
    "비품": "",
}


def labels(**changes) -> Labels:
    values = {"pattern": ".+", "pad_to": 0, "masked": "", "masked_rule": "reject"}
    return Labels.model_validate(
        {**values, "merge": {"0777": "0102"}, "retire": ["0900"], **changes}
    )


def finder(chart=None, **changes) -> AccountFinder:
    return AccountFinder(CHART if chart is None else chart, labels(**changes))


def coded(number: int, corrected="", proposed="0101", vendor="acme ltd", **changes) -> dict:
    """Return the cells of a coded row by key."""
    seen = {"vendor": vendor, "memo": f"bolts {number}", "centre": "0042"}
    row = {
        "decision": "review",
        "reason": "",
        "acct_code": proposed,
        "acct_name": CHART.get(proposed, ""),
        "probability": 0.5125,
        "corrected": corrected,
        "source_file": "march.xlsx",
        "source_sheet": "Sheet 1",
        "source_row": number,
        "seen_date": datetime.date(2024, 3, 25),
        "seen_amount": 1234.5,
        **{f"seen_{name}": text for name, text in seen.items()},
        "key": row_key("march.xlsx", "Sheet 1", number, list(seen.values())),
    }
    return row | changes


def sheet_rows(rows: list[dict], language: str = "en") -> list[list]:
    """Return titles and cells, with a column of the user's file in front."""
    titles = own_titles(load_words(language), FIELDS)
    keys = [key for key in titles if key in rows[0]]
    header = ["Doc. No.", *(titles[key] for key in keys)]
    return [header, *([f"D-{i}", *(row[key] for key in keys)] for i, row in enumerate(rows))]


def as_text(cell: object, comma: bool = False, day: str = "%Y-%m-%d") -> str:
    """Return a cell as a spreadsheet saves it in a text file."""
    if isinstance(cell, datetime.date):
        return cell.strftime(day)
    text = str(cell)
    return text.replace(".", ",") if comma and isinstance(cell, float) else text
