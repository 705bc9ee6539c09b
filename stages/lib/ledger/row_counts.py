"""What a stage prints about its rows: how many it took, and why it did not take the others."""

from pathlib import Path

_REASONS = 5


def row_counts(report: dict, rows_in: int, rejects: Path) -> list[str]:
    """Return one line about the rows that were taken, and one about those that were not.

    Parameters
    ----------
    report : dict
        Of the stage, with ``rows_out``, ``rows_rejected`` and ``reasons``, the most frequent first.
    rows_in : int
        Rows that were read.
    rejects : Path
        Where the rows are that were not taken.
    """
    lines = [f"{report['rows_out']:,} of {rows_in:,} rows taken"]
    if report["rows_rejected"]:
        counts = [f"{count:,} {reason}" for reason, count in report["reasons"].items()]
        if others := sum(list(report["reasons"].values())[_REASONS:]):
            counts[_REASONS:] = [f"{others:,} for other reasons"]
        lines.append(f"not taken, but kept in {rejects.as_posix()}: {', '.join(counts)}")
    return lines
