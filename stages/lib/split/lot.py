"""Deal whole groups of rows by lot, each side near its share."""

from itertools import product

import numpy as np

from stages.lib.split.sides import TEST, TRAIN, VAL

# Groups above this part of the smallest side are placed before all others; for so many of them all
# ways to place them are tried.
LARGE_GROUP = 0.1
TRIED_GROUPS = 8


def deal_by_lot(
    groups: np.ndarray, label: np.ndarray, val: float, test: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the side of each row: whole groups, each label near its shares.

    The groups of a label (that of their first row) are shuffled and laid on a circle, each as long
    as it has rows. The circle is cut at the shares, from a random point. So the shares of frequent
    labels are met closely, and a label with one row is in the test with probability `test`.

    Parameters
    ----------
    groups, label : ndarray of int64, (rows,)
    val, test : float
        Shares of validation and test.
    rng : Generator

    Returns
    -------
    ndarray of int8, (rows,)
    """
    members, first, inverse, size = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    owner = label[first]
    order = np.lexsort((rng.permutation(len(members)), owner))
    new = np.r_[True, owner[order][1:] != owner[order][:-1]]
    circle = np.cumsum(new) - 1
    end = np.cumsum(size[order])
    total = np.bincount(circle, weights=size[order])
    begin = (end - size[order])[new]
    middle = (end - size[order] / 2 - begin[circle]) / total[circle]
    place = (middle + rng.random(len(total))[circle]) % 1
    side = np.where(place < test, TEST, np.where(place < test + val, VAL, TRAIN))
    dealt = np.empty(len(members), np.int8)
    dealt[order] = side
    return dealt[inverse]


def large_blocks(same: np.ndarray, groups: np.ndarray, limit: float, most: float) -> np.ndarray:
    """Return which rows are in a group with more than `limit` identical rows.

    The largest groups are taken first, as long as they have at most `most` rows together.

    Parameters
    ----------
    same, groups : ndarray of int64, (rows,)
        Equal for identical rows, and for rows of one group.
    limit, most : float
        In rows.

    Returns
    -------
    ndarray of bool, (rows,)
    """
    times, size = np.bincount(same), np.bincount(groups)
    large = np.unique(groups[times[same] > limit])
    taken = []
    for number in large[np.argsort(-size[large], kind="stable")]:
        if size[number] <= most:
            taken.append(number)
            most -= size[number]
    return np.isin(groups, taken)


def deal_groups(
    groups: np.ndarray, label: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the side of each row: whole groups, the sides as near to their shares as that allows.

    The large groups are placed first, the largest by lot where they fit, the last of them where
    they overfill the sides least; all small ones then by `deal_by_lot`, and some of them moved to
    where rows are still missing.

    Parameters
    ----------
    groups, label : np.ndarray of int64, shape (rows,)
    shares : np.ndarray of float64, shape (3,)
        Of the rows, by side; sum 1.
    """
    times = np.bincount(groups)
    inverse, size = (np.cumsum(times > 0) - 1)[groups], times[times > 0]
    room = shares * len(groups)
    held, lot = np.full(len(size), -1), rng.permutation(len(size))
    lot = lot[np.argsort(-size[lot], kind="stable")]
    large = lot[size[lot] > LARGE_GROUP * room.min()]
    few = large[max(0, len(large) - TRIED_GROUPS) :]
    for group in large[: len(large) - len(few)]:
        fits = room >= size[group]
        weight = np.where(fits, room, 0) if fits.any() else (room == room.max()).astype(float)
        held[group] = rng.choice(3, p=weight / weight.sum())
        room[held[group]] -= size[group]
    tried = np.indices((3,) * len(few)).reshape(len(few), 3 ** len(few)).T
    put = np.stack([(tried == side) @ size[few] for side in range(3)], axis=1)
    overfull = np.maximum(put - room, 0).sum(axis=1)
    empty = (put == 0) & (np.bincount(held[held >= 0], minlength=3) == 0)
    overfull[empty.sum(axis=1) > len(size) - len(large)] += len(groups)
    best = np.flatnonzero(overfull <= overfull.min() + 1e-9)
    weight = shares[tried[best]].prod(axis=1)
    chosen = rng.choice(best, p=weight / weight.sum())
    held[few], room = tried[chosen], room - put[chosen]
    rest = held < 0
    if rest.any():
        rows = np.flatnonzero(rest[inverse])
        _, val, test = np.maximum(room, 0) / np.maximum(room, 0).sum()
        held[inverse[rows]] = deal_by_lot(groups[rows], label[rows], val, test, rng)
        room -= np.bincount(held[rest], weights=size[rest], minlength=3)
        small = lot[rest[lot]]
        for full, short in product(np.argsort(room), np.argsort(-room)):
            while (need := min(-room[full], room[short])) > 0:
                fits = small[(held[small] == full) & (size[small] <= need)]
                fits = fits[np.cumsum(size[fits]) <= need]
                if not len(fits):
                    break
                held[fits] = short
                room[[full, short]] += size[fits].sum() * np.array([1, -1])
    return held[inverse]


def stratified_subset(label: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return which `count` rows to keep, each label near its share.

    Every label is kept at least once as far as `count` allows, the most frequent ones first.

    Parameters
    ----------
    label : ndarray of int64, (rows,)
    count : int
        At most the number of rows.
    rng : Generator

    Returns
    -------
    ndarray of bool, (rows,)
    """
    keep = np.zeros(len(label), bool)
    order = np.lexsort((rng.permutation(len(label)), label))
    _, start, size = np.unique(label[order], return_index=True, return_counts=True)
    rank = np.arange(len(label)) - np.repeat(start, size)
    size = np.repeat(size, size)
    # The first row of each label, then all others evenly spread over their labels.
    turn = np.where(rank == 0, -1.0, (rank + 0.5) / size)
    keep[order[np.lexsort((np.arange(len(label)), -size * (rank == 0), turn))[:count]]] = True
    return keep
