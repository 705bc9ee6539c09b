"""What `month` finds, in lines that a person reads."""

from collections.abc import Mapping

from stages.lib.review.holding import verdict

NAMED = 10  # accounts in a line; the others are counted
COLUMNS = ("month", "rows", "accuracy", "top 3", "posted", "of these right", "new vendors")


def share_text(share: float | None) -> str:
    """Return a share in percent, ``-`` for none."""
    return "-" if share is None else f"{share:.1%}"


def with_interval(share: float | None, interval: list[float] | None) -> str:
    """Return a share with its interval, such as ``61.5% (58.0 to 64.9)``."""
    if share is None or interval is None:
        return "-"
    low, high = (100 * bound for bound in interval)
    return f"{share:.1%} ({low:.1f} to {high:.1f})"


def month_cells(name: str, found: Mapping) -> list[str]:
    """Return the cells of the line of a month, in the order of `COLUMNS`."""
    vendors = found["new_vendor_rows"]
    return [
        name,
        f"{found['rows']:,}",
        with_interval(found["accuracy"], found["accuracy_interval"]),
        share_text(found["top3_accuracy"]),
        share_text(found["posted_rate"]),
        with_interval(found["posted_precision"], found["posted_precision_interval"]),
        "-" if vendors is None else share_text(vendors / found["rows"]),
    ]


def table_lines(rows: list[list[str]]) -> list[str]:
    """Return the lines of a table; the first column is text, the others are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]


def _listed(accounts: Mapping[str, float]) -> str:
    """Return accounts with their rows, those with most rows first."""
    ordered = sorted(accounts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = len(ordered) - NAMED
    said = ", ".join(f"{code} ({rows:,.0f})" for code, rows in ordered[:NAMED])
    return said + (f" and {rest:,} more" if rest > 0 else "")


def model_lines(folder: str, found: Mapping) -> list[str]:
    """Return the table of a model, its drift, and whether a retraining is due.

    Parameters
    ----------
    folder : str
        Of the model.
    found : mapping
        What `month` found of it.
    """
    lines = [
        f"{folder}: {found['rows']:,} rows count; {found['learned_rows']:,} others do not, because "
        "the model has learned them"
    ]
    if not found["rows"]:
        return [*lines, "give rows that are not among the training rows"]
    cells = [month_cells(name, month) for name, month in found["months"].items()]
    if len(cells) > 1:
        cells.append(month_cells("all months", found["all_months"]))
    lines += table_lines([list(COLUMNS), *cells])
    if accounts := found["all_months"]["new_accounts"]:
        lines.append(f"rows with accounts that the model never learned: {_listed(accounts)}")
    if unused := found["unused_accounts"]:
        lines.append(f"accounts no longer used, with the rows to be expected: {_listed(unused)}")
    if not found["reasons"]:
        return [*lines, "nothing shows that a retraining is due"]
    return [*lines, "a retraining is due:", *(f"  {reason}" for reason in found["reasons"])]


def comparison_lines(first: str, second: str, found: Mapping[str, Mapping]) -> list[str]:
    """Return what the comparison of two models says.

    Parameters
    ----------
    first, second : str
        Their folders.
    found : mapping
        As `paired` returns it.
    """
    if not found:
        return [f"{first} and {second}: each row is one that one of them has learned"]
    lines = []
    for name, compared in found.items():
        lines.append(f"{name}: {compared['rows']:,} rows that neither has learned")
        cells = [month_cells(folder, compared[folder]) for folder in (first, second)]
        lines += table_lines([["model", *COLUMNS[1:]], *cells])
        lines.append(
            f"only {first} is right on {compared['only_first']:,} rows, only {second} on "
            f"{compared['only_second']:,} (McNemar, p = {compared['p']:.2g}): "
            f"{verdict(first, second, compared)}"
        )
    return lines
