"""Say what a workbook has besides its cells: hidden sheets and rows, and another count of days."""

from stages.lib.ledger.reasons import HIDDEN_ROW, HIDDEN_SHEET
from stages.lib.ledger.sheets import Sheet

# So many sheets are named one by one.
_NAMED = 10
_ADVICE = "to leave out what is hidden, set hidden: leave_out for this file in ingest.reading"


def book_facts(sheet: Sheet) -> dict:
    """Return the lines of the report on what is hidden in a sheet, and on its days; none where it
    has nothing unusual."""
    facts = {
        "state": sheet.state if sheet.state != "visible" else "",
        "rows_hidden": sheet.rows_hidden,
        "days_counted": sheet.days_counted,
        "days_counted_from": sheet.day_zero.isoformat() if sheet.days_counted else "",
    }
    return {name: fact for name, fact in facts.items() if fact}


def book_remarks(sheets: list[Sheet]) -> list[str]:
    """Return one line for each sheet that is hidden, has hidden rows, or has numbers that were read
    as days since another day than Excel's; where there are many, the last line counts the rest."""
    found = []
    for about in (_hidden, _days):
        lines = [line for sheet in sheets if (line := about(sheet))]
        found += lines[:_NAMED]
        if lines[_NAMED:]:
            found.append(f"the same in {len(lines) - _NAMED} more sheets: see the report of ingest")
    return found


def _hidden(sheet: Sheet) -> str:
    left_out = sheet.reasons[HIDDEN_SHEET] + sheet.reasons[HIDDEN_ROW]
    done = f"{left_out:,} rows are left out" if left_out else f"read all the same; {_ADVICE}"
    if sheet.state != "visible" and sheet.rows_read:
        return f"{sheet.where}: a {sheet.state} sheet with {sheet.rows_read:,} rows; {done}"
    if sheet.rows_hidden:
        many = f"{sheet.rows_hidden:,} of {sheet.rows_read:,} rows are hidden"
        return f"{sheet.where}: {many} (by hand, a filter or a closed group); {done}"
    return ""


def _days(sheet: Sheet) -> str:
    if not sheet.days_counted:
        return ""
    return (
        f"{sheet.where}: {sheet.days_counted:,} plain numbers in columns of dates are days since "
        f"{sheet.day_zero}, as this workbook counts them"
    )
