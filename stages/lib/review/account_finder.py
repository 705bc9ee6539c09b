"""Which account a person means."""

from collections import defaultdict
from pathlib import Path

from stages.lib.contracts.accounts import ACCOUNTS
from stages.lib.contracts.names import LABEL
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.errors import UserError
from stages.lib.normalize import clean_text, padded
from stages.lib.params.preprocess import Labels
from stages.lib.tables import read_json, read_table

# What stands between code and name in a line that shows both.
_BETWEEN = (" ", " · ")


def read_chart(models: Path) -> dict[str, str]:
    """Return the name of each account of the model and of the ledger, by code; "" for none.

    The model's own names come first.

    Parameters
    ----------
    models : Path
        The folder with the models.

    Raises
    ------
    UserError
        There is neither a model nor a ledger's chart.
    """
    entries, label_map = [], models / "train" / LABEL_MAP
    if ACCOUNTS.is_file():
        entries += read_table(ACCOUNTS).to_pylist()
    if label_map.is_file():
        entries += read_json(label_map)["accounts"]
    chart = {entry[LABEL]: entry["acct_name"] for entry in entries}
    if not chart:
        action = "run 'dvc repro', or fetch the models with 'dvc pull'"
        raise UserError("no-model", label_map, "there is no chart of accounts", action)
    return {code: name or "" for code, name in sorted(chart.items())}


class AccountFinder:
    """Finds the account that a text means.

    Parameters
    ----------
    chart : dict of str to str
        The name of each account.
    labels : Labels
        How codes are written; merged and closed accounts.
    """

    def __init__(self, chart: dict[str, str], labels: Labels):
        self._labels = labels
        self._codes = {code for code in chart if code not in labels.merge}
        self._short, self._named = defaultdict(set), defaultdict(set)
        for code, name in chart.items():
            code = labels.merge.get(code, code)
            self._short[code.lstrip("0") or "0"].add(code)
            for text in (name, *(f"{code}{between}{name}" for between in _BETWEEN)):
                self._named[clean_text(text, "fold")].add(code)
        self._named.pop("", None)

    def find(self, text: str) -> str:
        """Return the code of the account that `text` means: a code, a code without its leading
        zeros, a name, or a line of both. A code that was merged into another becomes that one.

        Raises
        ------
        LookupError
            It means no account, or several. The text says which.
        """
        text = clean_text(text, "keep")
        code = padded(text, self._labels.pad_to)
        code = self._labels.merge.get(code, code)
        if code in self._codes or code in self._labels.retire:
            return code
        found = self._short.get(code) or self._named.get(clean_text(text, "fold"), set())
        if len(found) > 1:
            raise LookupError(f"it may be any of {', '.join(sorted(found))}")
        if not found:
            raise LookupError("no account of the chart has this code or name")
        return next(iter(found))

    def find_open(self, text: str) -> str:
        """Return the code as `find`, which raises for a closed account too."""
        code = self.find(text)
        if code in self._labels.retire:
            raise LookupError(f"account {code} is closed (preprocess.labels.retire)")
        return code

    def find_dates(self, month: int, day: int) -> list[str]:
        """Return the codes that a spreadsheet may have turned into the date of a month and a day:
        3-1 becomes March 1 or January 3."""
        written = {
            f"{a}{sign}{b}"
            for sign in "-/."
            for first, second in ((month, day), (day, month))
            for a in {str(first), f"{first:02}"}
            for b in {str(second), f"{second:02}"}
        }
        return sorted(written & self._codes)
