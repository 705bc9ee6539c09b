"""The two experts that are no language model, side by side: text classifier and past postings."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.contracts.classify import CODES, SHOWN
from stages.lib.contracts.names import DATE, LABEL
from stages.lib.contracts.scores import PAST_POSTINGS, TEXT_CLASSIFIER
from stages.lib.model.manifest import (
    changed_libraries,
    library_versions,
    verify_manifest,
    write_manifest,
)
from stages.lib.model.past_postings import (
    Neighbours,
    PastPostings,
    build_index,
    load_index,
    nearest_rows,
    save_index,
    score_neighbours,
)
from stages.lib.model.text_networks import (
    TextModel,
    fit_text_model,
    load_text_model,
    save_text_model,
    score_text_model,
)
from stages.lib.params.classify import ClassifyParams
from stages.lib.tables import read_json, read_table, write_json, write_table

# What shapes the numbers of both.
LIBRARIES = Path("requirements-classify.txt")
# Past rows that are shown for a row.
NEAREST = 3


class TextExperts(NamedTuple):
    """Both experts, and what they need to know of rows.

    Attributes
    ----------
    accounts : list of str, length K
        Codes in the order of the columns of all scores, sorted.
    fields : list of str
        The columns of text that a row is made from.
    text : TextModel
    past : PastPostings
    shown : Table or None
        What is shown of past rows, in their order: date, the fields, acct_code. None: the model was
        made without the text of past rows.
    """

    accounts: list[str]
    fields: list[str]
    text: TextModel
    past: PastPostings
    shown: pa.Table | None


def _columns(table: pa.Table, fields: Sequence[str]) -> list[list[str]]:
    return [table[name].to_pylist() for name in fields]


def fit_text_experts(
    train: pa.Table,
    fields: list[str],
    roles: dict[str, str],
    params: ClassifyParams,
    workers: int,
) -> TextExperts:
    """Return both experts, which have learned from all training rows.

    Parameters
    ----------
    train : Table
        The training rows of the split.
    fields : list of str
        Visible fields.
    roles : dict of {field: role}
    params : ClassifyParams
    workers : int
        Processes. The result does not depend on it.
    """
    codes = train[LABEL].to_pylist()
    accounts = sorted(set(codes))
    position = {code: index for index, code in enumerate(accounts)}
    label = np.array([position[code] for code in codes])
    columns, kinds = _columns(train, fields), [roles.get(name, "") for name in fields]
    settings = params.text_classifier
    text = fit_text_model(columns, kinds, label, len(accounts), settings, workers)
    past = build_index(columns, label, len(accounts), params.past_postings)
    kept = _shown(train, fields) if params.past_postings.keep_text else None
    return TextExperts(accounts, fields, text, past, kept)


def _shown(rows: pa.Table, fields: list[str]) -> pa.Table:
    return rows.select([*dict.fromkeys([DATE, *fields, LABEL])])


def describe_neighbours(experts: TextExperts, nearest: Neighbours) -> list[list[str]]:
    """Return a text for each of the nearest past rows of each row, nearest first.

    It has the account and the similarity, and the date and fields where the model has them.
    """
    label, shown = experts.past.label, experts.shown
    places = np.unique(nearest.position[nearest.position >= 0])
    texts = {}
    rows = shown.take(pa.array(places)).to_pylist() if shown is not None else [{}] * len(places)
    for place, row in zip(places.tolist(), rows, strict=True):
        said = [str(row[name]) for name in (DATE, *experts.fields) if row.get(name)]
        texts[place] = " | ".join(said)
    return [
        [
            f"{experts.accounts[label[place]]} ({value:.2f}) {texts[place]}".rstrip()
            for place, value in zip(places, values, strict=True)
            if place >= 0
        ]
        for places, values in zip(
            nearest.position.tolist(), nearest.similarity.tolist(), strict=True
        )
    ]


def score_text_experts(
    experts: TextExperts, rows: pa.Table, workers: int
) -> tuple[dict[str, np.ndarray], Neighbours]:
    """Return the log-probabilities of each expert, float32 (rows, K), and the rows that vote."""
    columns = _columns(rows, experts.fields)
    neighbours = nearest_rows(experts.past, columns, workers=workers)
    scores = {
        TEXT_CLASSIFIER: score_text_model(experts.text, columns),
        PAST_POSTINGS: score_neighbours(experts.past, neighbours),
    }
    return scores, neighbours


def nearest_few(neighbours: Neighbours) -> Neighbours:
    """Return the past rows that are shown."""
    return Neighbours(*(part[:, :NEAREST] for part in neighbours))


def save_text_experts(experts: TextExperts, folder: Path) -> None:
    """Write both experts to `folder`, which must be empty: the same bytes for the same experts."""
    save_text_model(experts.text, folder)
    save_index(experts.past, folder)
    if experts.shown is not None:
        write_table(experts.shown, folder / SHOWN)
    write_json({"accounts": experts.accounts, "fields": experts.fields}, folder / CODES)
    write_manifest(folder, library_versions(LIBRARIES))


def load_text_experts(folder: Path) -> TextExperts:
    """Return the experts in `folder`.

    Raises
    ------
    UserError
        A file is missing, or its bytes are not those that were saved.
    """
    manifest = verify_manifest(folder)
    if changed := changed_libraries(manifest["versions"]):
        print(
            f"{folder}: made with {', '.join(changed)}; scores may differ a little",
            file=sys.stderr,
        )
    codes, past = read_json(folder / CODES), load_index(folder)
    return TextExperts(
        **codes,
        text=load_text_model(folder),
        past=past,
        shown=read_table(folder / SHOWN) if SHOWN in manifest["files"] else None,
    )
