"""Deal whole groups of rows, each side as near to its share as the groups allow.

Each side gets its share of the large groups and of the small ones, so that validation rows speak
for test rows. Finding the nearest sides of all is a number partitioning problem, too slow to solve
exactly for more than a dozen groups. So the groups are dealt at random, the largest first (Graham
1969), and the sides then evened out by moves and swaps until none helps.
"""

import numpy as np

from stages.lib.split.lot import deal_by_lot

# A group with more rows than this part of the smallest side is dealt on its own, before the others
# are dealt with each label near its shares.
LARGE_GROUP = 0.1
# A group with more rows than this part of the smallest side would speak for the whole side: it is
# on the largest one, as long as all of them fill at most half of it.
GIANT_GROUP = 0.25
# Only so many of the largest groups are swapped: all pairs of them are compared.
SWAPPED_GROUPS = 100
# Less than the gain of any move or swap, and more than a rounding error.
LEAST_GAIN = 1e-6


def deal_groups(
    groups: np.ndarray, label: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the side of each row: whole groups, the sides near their shares.

    With three groups or more no side is empty. No side has more rows than its share by more than
    the largest group.

    Parameters
    ----------
    groups, label : ndarray of int64, (rows,)
    shares : ndarray of float64, (3,)
        Of the rows, by side; sum 1.
    rng : Generator

    Returns
    -------
    ndarray of int64, (rows,)
    """
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    # Groups are numbered at random, so that among equal ones the lot decides.
    order = rng.permutation(len(size))
    group, size = np.argsort(order)[group], size[order]
    wanted = shares * len(groups)
    side = _deal_large(size, wanted, rng)
    if size.max() > wanted.max():
        wanted = _without_overfull(wanted, _rows_of_sides(side, size))
    small = side[group] < 0
    if small.any():
        room = np.maximum(wanted - _rows_of_sides(side, size), 0)
        _, val, test = room / room.sum()
        side[group[small]] = deal_by_lot(groups[small], label[small], val, test, rng)
    _fill_empty_sides(side, size)
    while _move_groups(side, size, wanted) or _swap_groups(side, size, wanted):
        pass
    return side[group]


def _rows_of_sides(side: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """Return the groups of each side, or their rows; those with side -1 are on none."""
    return np.bincount(side + 1, weights=size, minlength=4)[1:]


def _deal_large(size: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the side of each large group, -1 for the others.

    The largest is dealt first, by lot: a side's chance is what it lacks of its share of the rows
    dealt so far.
    """
    side, rows, shares = np.full(len(size), -1), np.zeros(3), wanted / wanted.sum()
    giant, largest = GIANT_GROUP * wanted.min(), wanted.argmax()
    large = np.flatnonzero(size > LARGE_GROUP * wanted.min())
    for group in large[np.argsort(-size[large], kind="stable")]:
        more = size[group]
        leaves_half = rows[largest] + more <= wanted[largest] / 2
        if more > giant and (leaves_half or more > wanted[largest]):
            chance = np.arange(3) == largest
        else:
            lacks = np.maximum(shares * (rows.sum() + more) - rows, 0)
            fits = rows + more <= wanted
            chance = np.where(fits, lacks, 0) if (lacks * fits).any() else wanted - rows
            chance = np.maximum(chance, 0)
        side[group] = rng.choice(3, p=chance / chance.sum())
        rows[side[group]] += more
    return side


def _without_overfull(wanted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return how many rows each side gets, where a group has more rows than any side should have.

    Its side keeps what it has, and the others share what is left in their proportions. Else the
    smallest side would bear the shortage alone.
    """
    full = rows > wanted
    left = wanted.sum() - rows[full].sum()
    return np.where(full, rows, wanted * left / wanted[~full].sum())


def _fill_empty_sides(side: np.ndarray, size: np.ndarray) -> None:
    """Give each empty side, in place, the smallest group that is not alone on its side."""
    for empty in np.flatnonzero(_rows_of_sides(side) == 0):
        spare = np.flatnonzero(_rows_of_sides(side)[side] > 1)
        if len(spare):
            side[spare[size[spare].argmin()]] = empty


def _move_groups(side: np.ndarray, size: np.ndarray, wanted: np.ndarray) -> bool:
    """Move the group, in place, that brings the sides nearest to their shares.

    Returns False if none brings them nearer. How far they are is the sum of the squared differences
    of their rows and their share in rows. Moving s rows from a side that lacks a to one that lacks
    b lowers it by 2 s (b - a - s).
    """
    count, room = _rows_of_sides(side), wanted - _rows_of_sides(side, size)
    gain = size[:, None] * (room - room[side][:, None] - size[:, None])
    gain[count[side] == 1] = 0  # the last group of a side stays
    group, to = np.unravel_index(gain.argmax(), gain.shape)
    if gain[group, to] < LEAST_GAIN:
        return False
    start = side[group]
    # Of many small groups of equal size, all that help are moved at once.
    equal = np.flatnonzero((side == start) & (size == size[group]))
    helpful = int((room[to] - room[start]) / (2 * size[group]))
    side[equal[: max(1, min(helpful, count[start] - 1))]] = to
    return True


def _swap_groups(side: np.ndarray, size: np.ndarray, wanted: np.ndarray) -> bool:
    """Swap the two large groups, in place, that bring the sides nearest; as `_move_groups`."""
    large = np.argsort(-size, kind="stable")[:SWAPPED_GROUPS]
    room = (wanted - _rows_of_sides(side, size))[side[large]]
    moved = size[large][:, None] - size[large]
    gain = moved * (room - room[:, None] - moved)
    one, other = large[list(np.unravel_index(gain.argmax(), gain.shape))]
    if gain.max() < LEAST_GAIN:
        return False
    side[[one, other]] = side[[other, one]]
    return True
