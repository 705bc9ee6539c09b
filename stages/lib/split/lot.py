"""Draw lots: which side a group of rows is on."""

import numpy as np

from stages.lib.split.sides import TEST, TRAIN, VAL


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
