"""Group rows by vendors without their numbers, where nearly every row has a vendor of its own."""

from collections.abc import Callable

import numpy as np

from stages.lib.split.rows import Rows
from stages.lib.vendors import MOSTLY, are_better, share_alone


def merge_vendors(rows: Rows, read_plain: Callable[[], np.ndarray]) -> tuple[Rows, list[str]]:
    """Return `rows` with vendors that say something about other rows, and what was done about it.

    Parameters
    ----------
    rows : Rows
    read_plain : callable
        Returns the vendors without their numbers.
    """
    known = rows.vendor >= 0
    alone = share_alone(rows.vendor[known])
    if alone <= MOSTLY:
        return rows, []
    said = f"{alone:.1%} of the rows have a vendor that no other row has"
    plain = read_plain()
    if are_better(plain[known], rows.vendor[known]):
        rows = rows._replace(vendor=plain)
        left = share_alone(plain[known])
        said += f", so vendors are compared without their numbers ({left:.1%} then)"
        if left <= MOSTLY:
            return rows, [said]
    return rows, [f"{said}: strategy group tests no more than stratified"]
