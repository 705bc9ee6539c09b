"""The chart of accounts, as the drop-down of the column `corrected` shows it."""

from collections.abc import Sequence

Chart = Sequence[tuple[str, str]]


def account_label(code: str, name: str) -> str:
    """Return what the drop-down shows of an account: ``0101 Office supplies``."""
    return f"{code} {name}".strip()


def account_choices(chart: Chart) -> list[str]:
    """Return what may stand in the column `corrected` without a question.

    First the labels, which a person looks through, then the bare codes, which a person types.

    Parameters
    ----------
    chart : sequence of (str, str)
        Code and name of each account.
    """
    labels = [account_label(code, name) for code, name in chart]
    return list(dict.fromkeys([*labels, *(code for code, _ in chart)]))
