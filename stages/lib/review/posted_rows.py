"""Posted rows as a model would have coded them, to see whether the model still holds."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.coding import CodedRows, Coder, code_base, load_coder
from stages.lib.contracts.names import AMOUNT, DATE, GROUP, LABEL
from stages.lib.evaluation.certificate import certified_threshold
from stages.lib.ledger.new_rows import read_posted_rows
from stages.lib.model.text_experts import TextExperts
from stages.lib.model.vendor_words import vendor_field, vendor_words
from stages.lib.params.predict import PredictParams
from stages.lib.review.corrections import Correction, read_corrections
from stages.lib.review.decisions import Proposals, reasons_to_review
from stages.lib.review.keys import canonical_text


class CodedByModel(NamedTuple):
    """What a model says of posted rows. Arrays have a value for each row, and false for the rows
    that it has learned, which are not coded.

    Attributes
    ----------
    folder : str
        Of the model.
    correct : ndarray of bool
        The proposed account is the one that was posted.
    in_top3 : ndarray of bool
        One of the first three proposals is.
    posts : ndarray of bool
        `predict` would post the row unseen, or draw it for a random check.
    learned : ndarray of bool
        The model has learned from a row with this date and these fields.
    new_vendor : ndarray of bool or None
        No training row has the vendor. None: the model does not say which vendors it learned.
    trained_rows : dict of str to int
        The training rows of each account.
    remarks : list of str
        What the user should know.
    """

    folder: str
    correct: np.ndarray
    in_top3: np.ndarray
    posts: np.ndarray
    learned: np.ndarray
    new_vendor: np.ndarray | None
    trained_rows: dict[str, int]
    remarks: list[str]


def read_posted(
    sources: Sequence[str], params: SimpleNamespace
) -> tuple[pa.Table, Counter, list[str]]:
    """Return the rows of files and folders, the reasons why others cannot be used, and remarks.

    Raises
    ------
    UserError
        As `read_posted_rows`.
    """
    tables, left_out, remarks = [], Counter(), []
    for source in dict.fromkeys(sources):
        rows, reasons, found = read_posted_rows(source, params)
        tables.append(rows)
        left_out += reasons
        remarks += found
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks(), left_out, remarks


def code_posted(rows: pa.Table, models: Path, params: SimpleNamespace) -> CodedByModel:
    """Code posted rows as if they were new, and compare with the accounts that they have.

    Corrections count as in `predict`, but for those of these rows: when they were coded, nobody
    had corrected them yet.

    Parameters
    ----------
    rows : Table
        A base table with accounts.
    models : Path
        The folder with the models.
    params : SimpleNamespace
        The sections that `predict` takes.

    Raises
    ------
    UserError
        As `load_coder`.
    """
    fields = params.feature.fields
    said = earlier_corrections(read_corrections(), rows, fields)
    coder, remarks = load_coder(models, params, said=said)
    learned, vendor = learned_rows(coder.experts, rows), params.feature.group_column
    new_vendor = new_vendors(coder.experts, rows, vendor)
    if learned is None:
        learned = np.zeros(rows.num_rows, bool)
        remarks.append(
            f"{models}: was made without the text of its training rows "
            "(classify.past_postings.keep_text): all rows count, also those that it has learned"
        )
    correct, in_top3, posts = np.zeros((3, rows.num_rows), bool)
    if not learned.all():
        counted = rows.filter(pa.array(~learned))
        coded = code_base(coder, counted)
        posted, top = np.array(counted[LABEL].to_pylist(), object), proposed_accounts(coded, coder)
        correct[~learned] = top[:, 0] == posted
        in_top3[~learned] = (top == posted[:, None]).any(axis=1)
        posts[~learned] = would_post(counted, coded, coder, params.predict)
    return CodedByModel(
        folder=str(models),
        correct=correct,
        in_top3=in_top3,
        posts=posts,
        learned=learned,
        new_vendor=new_vendor,
        trained_rows=coder.trained_rows,
        remarks=remarks,
    )


def proposed_accounts(coded: CodedRows, coder: Coder) -> np.ndarray:
    """Return the codes of the first three proposals of each row, object (rows, 3 or fewer)."""
    return np.array(coder.accounts, object)[coded.scores.top]


def would_post(
    rows: pa.Table, coded: CodedRows, coder: Coder, predict: PredictParams
) -> np.ndarray:
    """Return which rows `predict` would post unseen if none were drawn for a check, bool (n,)."""
    proposals = Proposals(
        keys=[""] * rows.num_rows,  # only the draw looks at them
        accounts=proposed_accounts(coded, coder)[:, 0].tolist(),
        confidence=coded.scores.confidence,
        amounts=rows[AMOUNT].to_pylist(),
        vendors=rows[GROUP].to_pylist(),
        given=[""] * rows.num_rows,
        equal=coded.equal,
        equal_right=coded.equal_right,
        disagree=coded.disagree,
    )
    threshold = certified_threshold(coder.calibration.certificate, predict.precision)
    rules = predict.review.model_copy(update={"share": 0.0})
    reasons = reasons_to_review(proposals, threshold, predict.precision, coder.trained_rows, rules)
    return np.array([not found for found in reasons], bool)


def _with_day(rows: pa.Table, fields: Sequence[str]) -> list[tuple]:
    names = [*dict.fromkeys([DATE, *fields])]
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def learned_rows(experts: TextExperts, rows: pa.Table) -> np.ndarray | None:
    """Return which rows have date and fields of a training row, bool (n,); whatever the account.

    None: the model was made without the text of its training rows.
    """
    if experts.shown is None:
        return None
    known = set(_with_day(experts.shown, experts.fields))
    return np.array([row in known for row in _with_day(rows, experts.fields)], bool)


def new_vendors(
    experts: TextExperts, rows: pa.Table, group_column: str | None
) -> np.ndarray | None:
    """Return which rows have a vendor that no training row has, bool (n,).

    Spellings of a vendor are one, as for corrections. A row without a vendor is not new. None: the
    model sees no vendor, or was made without the text of its training rows.
    """
    field = vendor_field(experts.fields, group_column)
    if field is None or experts.shown is None:
        return None
    known = {vendor_words(name) for name in experts.shown[field].unique().to_pylist()}
    names = rows[field].to_pylist()
    is_new = {name: bool(name) and vendor_words(name) not in known for name in set(names)}
    return np.array([is_new[name] for name in names], bool)


def earlier_corrections(
    corrections: Sequence[Correction], rows: pa.Table, fields: Sequence[str]
) -> list[Correction]:
    """Return the corrections that are not of these rows. A correction without a date is of every
    row with its fields."""
    columns = [map(canonical_text, rows[name].to_pylist()) for name in fields]
    texts = list(zip(*columns, strict=True))
    with_day, without = set(zip(rows[DATE].to_pylist(), texts, strict=True)), set(texts)

    def is_of_them(row: Correction) -> bool:
        seen = tuple(canonical_text(row.fields.get(name, "")) for name in fields)
        return seen in without if row.day is None else (row.day, seen) in with_day

    return [row for row in corrections if not is_of_them(row)]
