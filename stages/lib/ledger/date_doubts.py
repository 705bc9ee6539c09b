"""Find five digits that may be a count of days, or a date whose zero a spreadsheet dropped."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.dates import parse_date
from stages.lib.ledger.formats import Place


def dates_of_digits(raw: pa.Table, name: str) -> dict[Place, set[str]]:
    """Return the cells of five or six digits that each file has in the date column `name`."""
    cells = pc.utf8_trim_whitespace(raw[name])
    dated = pa.table({"file": raw["source_file"].cast(pa.string()), "cell": cells})
    dated = dated.filter(pc.match_substring_regex(cells, r"^\d{5,6}$"))
    found = defaultdict(set)
    for row in dated.group_by(["file", "cell"]).aggregate([]).to_pylist():
        found[row["file"], name].add(row["cell"])
    return found


def may_lack_zeros(cells: set[str], order: str) -> bool:
    """Return whether five digits among `cells` may be dates of six digits without the leading zero.

    An example is ``40124`` for ``040124`` (in the order of `order`). The other reading is Excel's
    count of days. The right reading reads more cells than the other one, or as many within a
    shorter time.
    """

    def merit(days: list) -> tuple[int, int]:
        days = [day for day in days if day]
        return len(days), -(max(days) - min(days)).days if days else 0

    counted = [parse_date(cell, order) for cell in cells if len(cell) == 5]
    return merit(counted) <= merit([parse_date(cell.zfill(6), order) for cell in cells])


def doubtful_days(raw: pa.Table, name: str, doubtful: set[Place]) -> pa.Array:
    """Return which cells of the date column `name` may be days, or a date without its zero.

    Parameters
    ----------
    raw : Table
    name : str
    doubtful : set of (file, column)
        Where `may_lack_zeros` is true of the cells of five or six digits.

    Returns
    -------
    Array of bool, (rows,)
    """
    files = pa.array([file for file, column in doubtful if column == name], pa.string())
    five = pc.match_substring_regex(pc.utf8_trim_whitespace(raw[name]), r"^\d{5}$")
    in_files = pc.is_in(raw["source_file"].cast(pa.string()), files)
    return pc.and_(five, in_files).combine_chunks()
