"""Count what reading has seen, check it, and report it."""

from collections import Counter, defaultdict
from collections.abc import Collection

from stages.lib.errors import UserError
from stages.lib.ledger.book_remarks import book_facts, book_remarks
from stages.lib.ledger.broken_letters import broken_letters
from stages.lib.ledger.missing_columns import missing_columns
from stages.lib.ledger.moved_columns import check_sheets
from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.reasons import NOT_TRANSACTIONS
from stages.lib.ledger.reject_cures import Example, cure
from stages.lib.ledger.row_remarks import cure_of, filling_report, remarks_on_rows
from stages.lib.ledger.sheets import Sheet
from stages.lib.ledger.sorting import Part
from stages.lib.params.ingest import IngestParams

_EXAMPLES = 3


class Seen:
    """What was seen in the parts of a ledger, added up sheet by sheet."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[str, str], Sheet] = {}
        self.rows_out = 0
        self.rows_rejected = 0
        # Some refused rows of each reason.
        self.examples: defaultdict[str, list[Example]] = defaultdict(list)

    def add(self, part: Part) -> None:
        """Add the next part of the ledger."""
        self.rows_out += part.transactions.num_rows
        self.rows_rejected += part.rejects.num_rows
        sheet = self._sheets.setdefault((part.sheet.file, part.sheet.name), part.sheet)
        if sheet is not part.sheet:
            sheet.add(part.sheet)
        for reject in part.rejects.slice(0, 100).to_pylist():
            examples = self.examples[reject["reason"]]
            if len(examples) < _EXAMPLES:
                examples.append(Example(part.sheet, reject["source_row"], reject["cells"]))

    @property
    def sheets(self) -> list[Sheet]:
        """All sheets, in the order of reading."""
        return list(self._sheets.values())

    def total(self, name: str) -> Counter:
        """Return the sum of one of the counters of all sheets."""
        return sum((getattr(sheet, name) for sheet in self.sheets), Counter())


def check_and_report(
    seen: Seen, left_out: list[str], params: IngestParams, optional: Collection[str] = ()
) -> dict:
    """Return the report of a ledger that was read to its end.

    Parameters
    ----------
    seen : Seen
    left_out : list of str
        Names of the files that were not read.
    optional : collection of str
        Columns that no file needs to have.

    Raises
    ------
    UserError
        As `check_sheets` and `check_rejects`.
    """
    check_sheets(seen.sheets, params, optional)
    report = make_report(seen, left_out, params)
    check_rejects(seen, params)
    if report["rows_read"] != seen.rows_out + seen.rows_rejected:
        raise RuntimeError(f"rows were lost: {report['rows_read']} read, {seen.rows_out} taken")
    return report


def check_rejects(seen: Seen, params: IngestParams) -> None:
    """Check that enough rows are transactions.

    Raises
    ------
    UserError
        ``too-many-rejects``: more rows were refused than `max_reject_fraction` allows.
        ``no-transactions``: none is left.
    """
    reasons = seen.total("reasons")
    refused = Counter({r: n for r, n in reasons.items() if r not in NOT_TRANSACTIONS})
    total = refused.total() + seen.rows_out
    share = refused.total() / max(1, total)
    if seen.rows_out and share <= params.max_reject_fraction:
        return
    most = (refused or reasons).most_common(3)
    top = "; ".join(
        f"{reason}: {count:,} rows, such as {', '.join(e.place for e in seen.examples[reason])}"
        for reason, count in most
    )
    action = "put files with rows there, or correct ingest.files"
    if most and (examples := seen.examples[most[0][0]]):
        top += f". {examples[0].place} is {examples[0].text!r}"
        by_rows = cure_of(most[0][0], seen.sheets, params)
        action = by_rows or cure(most[0][0], examples, params)
    if not seen.rows_out:
        raise UserError(
            "no-transactions",
            params.source,
            f"no transaction was found; {top or 'it has no rows'}",
            action,
        )
    raise UserError(
        "too-many-rejects",
        "params.yaml: ingest.max_reject_fraction",
        f"{refused.total():,} of {total:,} rows were refused ({share:.1%}), which is more than "
        f"{params.max_reject_fraction:.1%}; {top}",
        f"{action}; or raise it",
    )


def make_report(seen: Seen, left_out: list[str], params: IngestParams) -> dict:
    """Return the counts of all sheets, and what was found in each."""
    reasons, masked = seen.total("reasons"), seen.total("masked")
    report = {
        "rows_read": sum(sheet.rows_read for sheet in seen.sheets),
        "rows_out": seen.rows_out,
        "rows_rejected": reasons.total(),
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "cells_masked": {f"{kind} in {name}": n for (name, kind), n in sorted(masked.items())},
        "files_not_read": [mask_personal(name, params.mask)[0] for name in left_out],
        "sheets": [_sheet_report(sheet, params) for sheet in seen.sheets],
    }
    remarks = make_remarks(seen, params)
    return report | {"remarks": remarks} if remarks else report


def _sheet_report(sheet: Sheet, params: IngestParams) -> dict:
    layout = sheet.layout
    return {
        "file": sheet.file,
        "sheet": sheet.name,
        **(sheet.dialect._asdict() if sheet.dialect else {}),
        **book_facts(sheet),
        "header_row": layout.header_row,
        "rows_read": sheet.rows_read,
        "rows_out": sheet.rows_read - sheet.reasons.total(),
        "reasons": dict(sorted(sheet.reasons.items())),
        **filling_report(sheet.filling),
        "columns": {name: sheet.heading(name, params) for name in layout.places},
        "columns_not_used": [
            mask_personal(" ".join(cell.split()), params.mask)[0]
            for place, cell in enumerate(layout.header)
            if cell.strip() and place not in layout.places.values()
        ],
    }


def make_remarks(seen: Seen, params: IngestParams) -> list[str]:
    """Return one line for each thing that a user should look at, though nothing is wrong: a file
    without page checksums, a column of codes or vendors that is masked in most of the rows, a
    column that one sheet seems to have under another header, broken letters."""
    remarks = [
        f"{sheet.where}: written without page checksums: damage would go unnoticed"
        for sheet in seen.sheets
        if not sheet.has_checksums
    ]
    remarks += book_remarks(seen.sheets)
    for (name, kind), count in sorted(seen.total("masked").items()):
        if params.columns[name].role in ("category", "group") and count > 0.5 * seen.rows_out:
            remarks.append(
                f"{count:,} of {seen.rows_out:,} cells of {name} are masked ({kind}); if they are "
                f"codes and not personal, say in ingest.patterns.{name} what they look like"
            )
    remarks += missing_columns(seen.sheets, params)
    remarks += broken_letters([(sheet.where, sheet.broken) for sheet in seen.sheets])
    return remarks + remarks_on_rows(seen.sheets, seen.rows_out, params)
