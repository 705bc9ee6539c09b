"""What people said since the training, and how it counts for rows like theirs.

Corrections and posted rows are an index of their own. So they change no weight of the past
postings, and a row without a similar one keeps its scores bit by bit.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import DATE, LABEL
from stages.lib.model.past_postings import (
    RESOLUTION,
    Neighbours,
    PastPostings,
    add_rows,
    make_rows,
)
from stages.lib.model.text_experts import TextExperts
from stages.lib.model.text_features import Columns
from stages.lib.model.vendor_words import vendor_words

# What one correction counts, in past postings: ten wrong ones and what the coder learned from them
# are outvoted by one, forty right ones are not.
CORRECTION = 16.0
# What all that the coder thought before counts, in past postings: less, by this power, where the
# nearest past posting is less similar than the nearest correction, as with a new vendor.
BEFORE, DISTANCE_POWER = 4.0, 4.0
# Power of the similarity in a vote. Chosen, as the numbers above, on validation rows half of which
# were posted: docs/history.md.
POWER = 12.0
# A row follows corrections that are at least so similar, and past postings above the second figure
# count against them.
REACH, ALIKE = 0.7, 0.9
# Corrections of a row that is the same but for the spelling of its vendor.
SAME = 0.995
# So many answers about a vendor that all name one account are about all its rows, which are then at
# least so similar.
UNANIMOUS, WHOLE_VENDOR = 5, 0.8
# Rows that are compared at a time.
CHUNK = 256


class Corrections(NamedTuple):
    """What people said.

    Attributes
    ----------
    accounts : list of str, length K + new
        Those of the experts, then those that only corrections have, sorted.
    vendor : int or None
        The place of the vendor among the fields. A correction reaches rows of its vendor alone.
        None: the model sees no vendor, and similarity alone decides.
    vendors : list of str
        The words of the vendor of each correction.
    index : PastPostings
        Of the corrections alone, with the words and weights of the past postings.
    shown : Table
        The date, the fields and the account of each correction.
    """

    accounts: list[str]
    vendor: int | None
    vendors: list[str]
    index: PastPostings
    shown: pa.Table


class Similar(NamedTuple):
    """Pairs of a row and a correction like it, by row, then by correction.

    Attributes
    ----------
    row, correction : ndarray of int64, (pairs,)
    similarity : ndarray of float64, (pairs,)
    """

    row: np.ndarray
    correction: np.ndarray
    similarity: np.ndarray


def build_corrections(experts: TextExperts, rows: pa.Table, vendor: str | None) -> Corrections:
    """Return what people said of `rows`, ready to be compared with new rows.

    Parameters
    ----------
    experts : TextExperts
    rows : Table
        The columns `DATE`, the visible fields and `LABEL`, which is never empty.
    vendor : str or None
        The field with the vendor; None: none of the fields has it.
    """
    fields = experts.fields
    shown = rows.select([*dict.fromkeys([DATE, *fields, LABEL])])
    codes = rows[LABEL].to_pylist()
    accounts = [*experts.accounts, *sorted(set(codes) - set(experts.accounts))]
    place_of = {code: place for place, code in enumerate(accounts)}
    label = np.array([place_of[code] for code in codes], np.int64)
    place = fields.index(vendor) if vendor in fields else None
    columns, vendors = _with_vendor_words([rows[name].to_pylist() for name in fields], place)
    return Corrections(accounts, place, vendors, _own_index(experts.past, columns, label), shown)


def _with_vendor_words(columns: Columns, place: int | None) -> tuple[Columns, list[str]]:
    """Return the columns with each vendor in its words, and these."""
    if place is None:
        return columns, [""] * len(columns[0])
    words = {name: vendor_words(name) for name in dict.fromkeys(columns[place])}
    vendors = [words[name] for name in columns[place]]
    return [*columns[:place], vendors, *columns[place + 1 :]], vendors


def _own_index(past: PastPostings, columns: Columns, label: np.ndarray) -> PastPostings:
    more = max(0, int(label.max(initial=-1)) + 1 - len(past.prior))
    # An account without a past posting is as rare as the rarest that has one.
    prior = np.append(past.prior, [past.prior.min()] * more)
    larger = add_rows(past._replace(prior=prior / prior.sum()), columns, label)
    start = past.rows.shape[0]
    return larger._replace(rows=larger.rows[start:], label=larger.label[start:])


def find_similar(corrections: Corrections, columns: Columns) -> Similar:
    """Return which corrections each row is like.

    Parameters
    ----------
    corrections : Corrections
    columns : list of (list of str)
        The visible fields of rows.
    """
    columns, vendors = _with_vendor_words(columns, corrections.vendor)
    said_of = defaultdict(list)
    for number, vendor in enumerate(corrections.vendors):
        said_of[vendor].append(number)
    rows = np.array([row for row, vendor in enumerate(vendors) if vendor in said_of], np.int64)
    queries = make_rows(corrections.index, [[cells[row] for row in rows] for cells in columns])
    places_of = defaultdict(list)
    for place, row in enumerate(rows):
        places_of[vendors[row]].append(place)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for vendor, places in places_of.items():
        numbers = np.array(said_of[vendor])
        transposed = corrections.index.rows[numbers].T.tocsr()
        least = WHOLE_VENDOR if _is_unanimous(corrections, vendor, numbers) else 0.0
        for start in range(0, len(places), CHUNK):
            part = np.array(places[start : start + CHUNK])
            pairs = (queries[part] @ transposed).toarray().astype(np.float64)
            # Sums of floats depend on their order, which depends on what else is compared.
            value = np.maximum(np.round(pairs / RESOLUTION) * RESOLUTION, least)
            row, column = np.nonzero(value >= REACH)
            found.append((rows[part[row]], numbers[column], value[row, column]))
    row, number, value = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort((number, row))
    return Similar(row[order], number[order], value[order])


def _is_unanimous(corrections: Corrections, vendor: str, numbers: np.ndarray) -> bool:
    label = corrections.index.label[numbers]
    return bool(vendor) and len(label) >= UNANIMOUS and bool((label == label[0]).all())


def correction_votes(
    corrections: Corrections, similar: Similar, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the corrections say of each row.

    Returns
    -------
    votes : ndarray of float64, (rows, K + new)
        In past postings; zeros for a row that no correction is like.
    disagree : ndarray of bool, (rows,)
        Corrections of the same row say different accounts.
    """
    label = corrections.index.label[similar.correction]
    votes = np.zeros((n_rows, len(corrections.accounts)))
    np.add.at(votes, (similar.row, label), CORRECTION * similar.similarity**POWER)
    same = similar.similarity >= SAME
    pairs = np.unique(np.stack([similar.row[same], label[same]]), axis=1)
    return votes, np.bincount(pairs[0], minlength=n_rows) > 1


def follow_corrections(
    chance: np.ndarray,
    votes: np.ndarray,
    similar: Similar,
    past_label: np.ndarray,
    neighbours: Neighbours,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that corrections are like, and the probabilities of their accounts.

    The past postings that are as similar vote with the corrections, each as one.

    Parameters
    ----------
    chance : ndarray of float64, (rows, K)
        What the coder thought before.
    votes : ndarray of float64, (rows, K + new)
        As `correction_votes` returns them.
    similar : Similar
    past_label : ndarray of int64, (past rows,)
    neighbours : Neighbours
        Past rows near to each row.

    Returns
    -------
    rows : ndarray of int64, (touched,)
    chance : ndarray of float64, (touched, K + new)
    """
    rows, start = np.unique(similar.row, return_index=True)
    if not len(rows):
        return rows, np.zeros((0, votes.shape[1]))
    similarity = neighbours.similarity[rows].astype(np.float64)
    closest = np.maximum.reduceat(similar.similarity, start)
    closer = np.minimum(1, similarity.max(axis=1, initial=0) / closest)
    total = votes[rows]
    total[:, : chance.shape[1]] += (BEFORE * closer**DISTANCE_POWER)[:, None] * chance[rows]
    row, k = np.nonzero(similarity > ALIKE)
    label = past_label[neighbours.position[rows][row, k]]
    np.add.at(total, (row, label), similarity[row, k] ** POWER)
    return rows, total / total.sum(axis=1, keepdims=True)


def nearest_with_corrections(
    neighbours: Neighbours, similar: Similar, n_past: int, count: int
) -> Neighbours:
    """Return the nearest past rows and corrections of each row, the corrections first.

    Parameters
    ----------
    neighbours : Neighbours
        The nearest past rows.
    similar : Similar
    n_past : int
        Number of past rows: the first correction has this position.
    count : int
        How many to return for each row.
    """
    position = neighbours.position[:, :count].copy()
    similarity = neighbours.similarity[:, :count].copy()
    order = np.lexsort((similar.correction, -similar.similarity, similar.row))
    rows, starts = np.unique(similar.row[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(rows) else []
    for row, part in zip(rows.tolist(), parts, strict=True):
        chosen = part[:count]
        rest = count - len(chosen)
        position[row] = [*(n_past + similar.correction[chosen]), *position[row, :rest]][:count]
        similarity[row] = [*similar.similarity[chosen], *similarity[row, :rest]][:count]
    return Neighbours(position, similarity)


def experts_to_show(experts: TextExperts, corrections: Corrections) -> TextExperts:
    """Return the experts with the corrections behind the past postings, for what is shown of them.

    They score nothing: their past postings have no words for the corrections.
    """
    label = np.concatenate([experts.past.label, corrections.index.label])
    shown = experts.shown
    if shown is not None:
        more = corrections.shown.select(shown.column_names).cast(shown.schema)
        shown = pa.concat_tables([shown, more]).combine_chunks()
    past = experts.past._replace(label=label)
    return experts._replace(accounts=corrections.accounts, past=past, shown=shown)


def leave_out_known(
    experts: TextExperts, rows: pa.Table, said: pa.Table
) -> tuple[pa.Table, pa.Table]:
    """Return posted rows that are news, and those that past postings or corrections have already.

    They are the same if date, fields and account are: a year-to-date export has them all. Where
    the model was made without the text of past rows, only corrections are compared.

    Parameters
    ----------
    experts : TextExperts
    rows, said : Table
        With the columns `DATE`, the visible fields and `LABEL`.
    """
    names = [*dict.fromkeys([DATE, *experts.fields, LABEL])]

    def tuples(table: pa.Table) -> list[tuple]:
        return list(zip(*(table[name].to_pylist() for name in names), strict=True))

    have = set(tuples(said)) | (set(tuples(experts.shown)) if experts.shown is not None else set())
    known = pa.array([row in have for row in tuples(rows)], pa.bool_())
    return rows.filter(pc.invert(known)), rows.filter(known)
