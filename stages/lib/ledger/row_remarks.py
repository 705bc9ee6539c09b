"""Say which parameter to look at, where rows seem to depend on those above them in another way."""

from collections import Counter, defaultdict

from stages.lib.ledger.filling import CROSSED, ENDED, FILLED, NAMED
from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.reasons import SEPARATOR_IN
from stages.lib.ledger.sheets import Sheet
from stages.lib.params.ingest import OF_LABELS, IngestParams

# Fewer rows are no pattern: one that has only a text may be a note at the end.
MIN_ROWS = 3


def remarks_on_rows(sheets: list[Sheet], rows_out: int, params: IngestParams) -> list[str]:
    """Return one line for each doubt about how the rows of a ledger belong together.

    Parameters
    ----------
    sheets : list of Sheet
    rows_out : int
        Number of transactions.
    """
    named = _on_named(sheets)
    remarks = [*_on_vouchers(sheets, rows_out, params), *([named] if named else [])]
    wrapped = [sheet for sheet in sheets if sheet.wrapped.rows]
    if sum(sheet.wrapped.rows for sheet in wrapped) >= MIN_ROWS:
        remarks.append(_on_wrapped(wrapped, params))
    return [*remarks, *_on_parents(sheets)]


def cure_of(reason: str, sheets: list[Sheet], params: IngestParams) -> str:
    """Return what to do about the rows that were refused for `reason`, "" if it is not known.

    Parameters
    ----------
    reason : str
        The most frequent one.
    sheets : list of Sheet
    """
    if reason.startswith(SEPARATOR_IN):
        return "choose a text for ingest.label_separator that is in no part of an account"
    if not reason.startswith(("no ", "too few")):
        return ""
    lacking = sum(sheet.reasons[reason] for sheet in sheets)
    wrapped = [sheet for sheet in sheets if sheet.wrapped.rows]
    if wrapped and 2 * sum(sheet.wrapped.rows for sheet in wrapped) >= lacking:
        return _on_wrapped(wrapped, params)
    if named := _on_named(sheets):
        return named
    name = reason.removeprefix("no ")
    if sum(sheet.filling[name, ENDED] for sheet in sheets):
        return _if_named_once(name, params)
    return ""


def filling_report(filling: Counter) -> dict[str, dict[str, int]]:
    """Return how many cells of a sheet were filled from above, and how many were not because
    another voucher begins, by column."""
    keys = {"cells_filled_from_above": FILLED, "cells_not_filled_from_above": ENDED}
    counts = {
        key: {name: count for (name, what), count in sorted(filling.items()) if what == kind}
        for key, kind in keys.items()
    }
    return {key: count for key, count in counts.items() if count}


def _on_vouchers(sheets: list[Sheet], rows_out: int, params: IngestParams) -> list[str]:
    """Return a line if there seem to be vouchers, but no column has their numbers; or if vouchers
    end more filling than they allow: then they may be none."""
    filling = sum((sheet.filling for sheet in sheets), Counter())
    filled, ended, crossed = (
        Counter({name: n for (name, what), n in sorted(filling.items()) if what == kind})
        for kind in (FILLED, ENDED, CROSSED)
    )
    if max(crossed.values(), default=0) >= MIN_ROWS:
        name, count = crossed.most_common(1)[0]
        return [
            f"{count:,} cells of {name} are filled from above, though their row begins something "
            "else; if it is another voucher, give the column of its number the role id in "
            "ingest.columns"
        ]
    of_vouchers = [n for n in filled if params.columns[n].role not in OF_LABELS]
    if ended.total() < max(MIN_ROWS, 1 + sum(filled[name] for name in of_vouchers)):
        return []
    name, count = ended.most_common(1)[0]
    return [
        f"{count:,} of {rows_out:,} cells of {name} stay empty, because {params.voucher_column} "
        f"changes there: {_if_named_once(name, params)}"
    ]


def _if_named_once(name: str, params: IngestParams) -> str:
    return (
        f"if one {name} stands above the rows of several {params.voucher_column}, set "
        "ingest.voucher: null"
    )


def _on_named(sheets: list[Sheet]) -> str:
    """Return a line if rows name accounts for the rows below them, which do not take them."""
    filling = sum((sheet.filling for sheet in sheets), Counter())
    named = {name: n for (name, what), n in sorted(filling.items()) if what == NAMED}
    if max(named.values(), default=0) < MIN_ROWS:
        return ""
    name, count = max(named.items(), key=lambda item: item[1])
    return (
        f"{count:,} refused rows have only an account, in {name}; if it is that of the rows below, "
        f"add {', '.join(named)} to ingest.fill_down"
    )


def _on_wrapped(sheets: list[Sheet], params: IngestParams) -> str:
    count = sum(sheet.wrapped.rows for sheet in sheets)
    used = {name for sheet in sheets for name in sheet.wrapped.names}
    names = ", ".join([*params.wrapped, *sorted(used - {*params.wrapped})])
    first = sheets[0].wrapped
    text = mask_personal(first.text, params.mask)[0][:60]
    return (
        f"{count:,} refused rows have only a text, such as {sheets[0].where} row {first.line}: "
        f"{text!r}; if it belongs to the row above, set ingest.wrapped: [{names}]"
    )


def _on_parents(sheets: list[Sheet]) -> list[str]:
    parents = defaultdict(set)
    for account, above in set().union(*(sheet.parents for sheet in sheets)):
        parents[account].add(above)
    shared = {account: sorted(p) for account, p in sorted(parents.items()) if len(p) > 1}
    if not shared:
        return []
    account, above = next(iter(shared.items()))
    return [
        f"{len(shared):,} accounts stand below several parents, such as {account!r} below "
        f"{above[0]!r} and {above[1]!r}; each is one account unless ingest.label_separator joins "
        "it with its parent"
    ]
