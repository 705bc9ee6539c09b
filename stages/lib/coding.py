"""The coder: the models, and the accounts that they give to rows of a base table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from stages.lib.checksums import file_sha256
from stages.lib.contracts.evaluate import CALIBRATION, Calibration
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.names import DATE, LABEL
from stages.lib.contracts.scores import EXPERTS, LANGUAGE_MODEL
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.errors import UserError, UserErrors
from stages.lib.evaluation.combination import combine, log_probabilities
from stages.lib.evaluation.metrics import RowScores
from stages.lib.ledger.new_rows import read_posted_rows
from stages.lib.model.base_model import load_tokenizer, resolve_base_model
from stages.lib.model.correction_votes import (
    Corrections,
    build_corrections,
    experts_to_show,
    leave_out_known,
)
from stages.lib.model.manifest import verify_manifest
from stages.lib.model.past_postings import RESOLUTION, Neighbours
from stages.lib.model.prompt import encode_prompts
from stages.lib.model.text_experts import (
    TextExperts,
    describe_neighbours,
    load_text_experts,
    score_text_experts,
)
from stages.lib.model.vendor_words import vendor_field
from stages.lib.parallel import cores
from stages.lib.params.model import saved_base_model
from stages.lib.params.row_shape import row_shape_of
from stages.lib.review.account_finder import read_chart
from stages.lib.review.allowed_accounts import allowed_accounts
from stages.lib.review.corrected_scores import correct_scores
from stages.lib.review.corrections import Correction, read_corrections, usable_corrections
from stages.lib.tables import read_json

# The folder with the models of all stages, and those that have a manifest.
MODELS = CALIBRATION.parents[1]
STAGES = ("train", "classify")
# Rows whose scores for all accounts are in memory at a time.
ROWS_AT_ONCE = 20_000


@dataclass
class Coder:
    """The models, ready to code rows.

    Attributes
    ----------
    calibration : Calibration
    experts : TextExperts
    corrections : Corrections
        What people said since the training.
    names : dict of str to str
        The name of each account, by code; "" for none.
    allowed : ndarray of bool, (accounts,)
        Which of ``corrections.accounts`` may be proposed.
    folder : Path
        Of the models.
    params : SimpleNamespace
        The sections ``score`` and ``model``.
    """

    calibration: Calibration
    experts: TextExperts
    corrections: Corrections
    names: dict[str, str]
    allowed: np.ndarray
    folder: Path
    params: SimpleNamespace

    @property
    def accounts(self) -> list[str]:
        """Codes, by the numbers that scores use."""
        return self.corrections.accounts

    @cached_property
    def shown(self) -> TextExperts:
        """The experts, with the corrections behind the past postings, to be shown."""
        return experts_to_show(self.experts, self.corrections)

    @cached_property
    def trained_rows(self) -> dict[str, int]:
        """The number of training rows of each account."""
        count = np.bincount(self.experts.past.label, minlength=len(self.experts.accounts))
        return dict(zip(self.experts.accounts, count.tolist(), strict=True))

    @cached_property
    def equal_rows(self) -> tuple[np.ndarray, csr_matrix]:
        """The group of equal words of each past row, and how many rows of each account it has."""
        rows = self.experts.past.rows
        weights = np.random.default_rng(0).random(rows.shape[1])
        _, group = np.unique(rows.astype(np.float64) @ weights, return_inverse=True)
        ones, label = np.ones(len(group)), self.experts.past.label
        return group, csr_matrix((ones, (group, label)))

    @cached_property
    def language_model(self):
        """The language model, its tokenizer, and how its prompts are made."""
        # Torch takes seconds to import, so wrong parameters and files are refused before.
        from stages.lib.model.scoring import load_trained_model

        trust, folder = self.params.model.trust_remote_code, self.folder / "train"
        trained = load_trained_model(folder, trust, self.params.score.packed)
        label_map, manifest = read_json(folder / LABEL_MAP), read_json(folder / MANIFEST)
        if self.calibration.models["train"] != file_sha256(folder / MANIFEST):
            raise UserError(
                "other-model", folder, "was replaced in the meantime", "run the same command again"
            )
        model = saved_base_model(manifest["base_model"], trust)
        return trained, load_tokenizer(resolve_base_model(model)), label_map["prompt"]


class CodedRows(NamedTuple):
    """What the coder says of the rows of a base table.

    Attributes
    ----------
    scores : RowScores
        Accounts are numbers in ``Coder.accounts``.
    past : list of list of str
        The nearest past postings and corrections of each row, as texts.
    equal : ndarray of int64, (rows,)
        Past rows with the same words.
    equal_right : ndarray of int64, (rows,)
        How many of them have the account that is proposed.
    disagree : ndarray of bool, (rows,)
        Corrections of rows with the same words say different accounts.
    """

    scores: RowScores
    past: list[list[str]]
    equal: np.ndarray
    equal_right: np.ndarray
    disagree: np.ndarray


def load_coder(
    models: Path,
    params: SimpleNamespace,
    posted: Sequence[str] = (),
    chart: Path | str | None = None,
    said: Sequence[Correction] | None = None,
) -> tuple[Coder, list[str]]:
    """Return the coder in a folder, and what the user should know about it.

    Parameters
    ----------
    models : Path
        In one folder a stage.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess``, ``feature``, ``score`` and ``model``.
    posted : sequence of str
        Files and folders of rows that were posted since the training. They count as corrections.
    chart : Path or str or None
        A file with the accounts that may be proposed; None: all that are not closed.
    said : sequence of Correction or None
        What people said since the training; None: all of data/corrections.csv.

    Raises
    ------
    UserError
        There is no model, it is damaged, the parameters have changed since its training, or a file
        cannot be read.
    """
    calibration = load_models_of(models, params)
    experts = load_text_experts(models / "classify")
    entries = read_json(models / "train" / LABEL_MAP)["accounts"]
    if [entry["acct_code"] for entry in entries] != experts.accounts:
        problem = "its accounts are not those of the text classifier beside it"
        raise UserError("other-model", models / "train", problem, _again(models))
    said = read_corrections() if said is None else said
    corrections, remarks = gather_corrections(experts, said, posted, params)
    allowed, more = allowed_accounts(
        chart, corrections.accounts, params.preprocess.labels, len(experts.accounts)
    )
    sections = SimpleNamespace(score=params.score, model=params.model)
    coder = Coder(calibration, experts, corrections, read_chart(models), allowed, models, sections)
    return coder, remarks + more


def gather_corrections(
    experts: TextExperts,
    corrections: Sequence[Correction],
    posted: Sequence[str],
    params: SimpleNamespace,
) -> tuple[Corrections, list[str]]:
    """Return what people said since the training: corrections, and rows of the files `posted`.

    Returns
    -------
    corrections : Corrections
    remarks : list of str
        How many rows count, and why others do not.
    """
    fields, labels = experts.fields, params.preprocess.labels
    said, remarks = usable_corrections(corrections, fields, labels)
    if said.num_rows:
        remarks.append(f"{said.num_rows:,} corrections count")
    said = said.select([*dict.fromkeys([DATE, *fields, LABEL])])
    for path in dict.fromkeys(posted):
        rows, left_out, found = read_posted_rows(path, params)
        remarks += found
        fresh, known = leave_out_known(experts, rows, said)
        said = pa.concat_tables([said, fresh.select(said.column_names).cast(said.schema)])
        remarks.append(f"{path}: {fresh.num_rows:,} posted rows count as corrections")
        for reason, number in {**left_out, "already a past posting": known.num_rows}.items():
            if number:
                remarks.append(f"{path}: {number:,} posted rows left out: {reason}")
    vendor = vendor_field(fields, params.feature.group_column)
    return build_corrections(experts, said, vendor), remarks


# The model


def _again(models: Path) -> str:
    """Return what to do about a folder of models that is not whole."""
    if models == MODELS:
        return "run 'dvc repro', or fetch it with 'dvc pull'"
    return "fetch the released model again with 'dvc artifacts get', into a new folder"


def load_models_of(models: Path, params: SimpleNamespace) -> Calibration:
    """Return the calibration of the models in a folder, after checking that all fit.

    Raises
    ------
    UserError
        A model is missing or damaged, or today's parameters would make other rows.
    """
    try:
        calibration = load_calibration(models)
        check_made_with(calibration.rows_made_with, row_shape_of(params, params.ingest.roles))
    except UserError as error:
        if models == MODELS or error.code == "rows-made-otherwise":
            raise
        raise UserError(error.code, error.where, error.problem, _again(models)) from None
    return calibration


def load_calibration(models: Path = MODELS) -> Calibration:
    """Return what `evaluate` fitted for the models in the folder `models`.

    Raises
    ------
    UserError
        There is no model, it is damaged, or the calibration belongs to another one.
    """
    again = "build it again with 'dvc repro evaluate'"
    path = models / CALIBRATION.relative_to(MODELS)
    for folder in (*(models / stage for stage in STAGES), path.parent):
        if not (folder / MANIFEST).is_file():
            raise UserError("no-model", folder, "has no model", _again(models))
        manifest = verify_manifest(folder)
    # No other file has the digest of this manifest, so it must be what `evaluate` writes.
    if manifest != {"versions": {}, "files": {path.name: file_sha256(path)}}:
        problem = "is not what was saved"
        raise UserError("damaged-model", path.with_name(MANIFEST), problem, _again(models))
    try:
        calibration = Calibration.model_validate(read_json(path))
    except ValidationError as error:
        what = error.errors()[0]
        key = ".".join(map(str, what["loc"]))
        raise UserError("invalid-calibration", path, f"{key}: {what['msg']}", again) from None
    for stage in STAGES:
        if calibration.models.get(stage) != file_sha256(models / stage / MANIFEST):
            raise UserError(
                "other-model",
                path,
                f"belongs to another model than the one in {models / stage}",
                f"fetch both with 'dvc pull', or {again}",
            )
    return calibration


def check_made_with(noted: dict[str, object], now: dict[str, object]) -> None:
    """Raise UserError if new rows would be made in another way than those that the model learned.

    Files may be read in another way, as new files may have other headers. What is masked may not.

    Parameters
    ----------
    noted, now : dict of str to object
        The parameters that shape a row, as ``section.key``: of the training rows, and today's.
    """
    changed = [name for name in sorted(noted.keys() | now) if noted.get(name) != now.get(name)]
    if changed:
        raise UserErrors(
            [
                UserError(
                    "rows-made-otherwise",
                    f"params.yaml: {name}",
                    f"{now.get(name)}; the model was made with {noted.get(name)}",
                    "undo the change, or run 'dvc repro'",
                )
                for name in changed
            ]
        )


def code_base(coder: Coder, base: pa.Table) -> CodedRows:
    """Return the account of each row of a base table, and the reasons for it.

    Rows like one that a person corrected or posted since the training follow it. Rows that the
    model sees as one are scored once.
    """
    columns = [base[field].to_pylist() for field in coder.experts.fields]
    number: dict[tuple, int] = {}  # of distinct rows, as they first appear
    which = [number.setdefault(seen, len(number)) for seen in zip(*columns, strict=True)]
    _, first = np.unique(which, return_index=True)
    distinct = base.take(pa.array(first))
    starts = range(0, max(1, len(first)), ROWS_AT_ONCE)
    parts = [_code_distinct(coder, distinct.slice(start, ROWS_AT_ONCE)) for start in starts]
    scores = {
        name: np.concatenate([vars(part.scores)[name] for part in parts])[which]
        for name in vars(parts[0].scores)
    }
    past = [texts for part in parts for texts in part.past]
    rest = zip(*(part[2:] for part in parts), strict=True)
    return CodedRows(
        RowScores(**scores),
        [past[place] for place in which],
        *(np.concatenate(values)[which] for values in rest),
    )


def _code_distinct(coder: Coder, base: pa.Table) -> CodedRows:
    experts, calibration = coder.experts, coder.calibration
    scores, neighbours = score_text_experts(experts, base, cores())
    if calibration.weights[LANGUAGE_MODEL]:
        scores[LANGUAGE_MODEL] = log_probabilities(language_model_logits(coder, base))
    names = [name for name in EXPERTS if name in scores]
    weights = np.array([calibration.weights[name] for name in names])
    logits = combine([scores[name] for name in names], weights)
    found = correct_scores(
        logits,
        [base[field].to_pylist() for field in experts.fields],
        neighbours,
        experts.past,
        coder.corrections,
        coder.allowed,
        tuple(calibration.confidence),
    )
    past = describe_neighbours(coder.shown, found.nearest)
    equal, right = count_equal_rows(coder, neighbours, found.scores.top[:, 0])
    return CodedRows(found.scores, past, equal, right, found.disagree)


def count_equal_rows(
    coder: Coder, neighbours: Neighbours, proposed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many past rows have the words of each row, and how many of these have the account
    that is proposed; both int64 (rows,)."""
    nearest, similarity = neighbours.position[:, 0], neighbours.similarity[:, 0]
    same = (nearest >= 0) & (similarity >= 1 - RESOLUTION)
    group, counts = coder.equal_rows
    equal, right = np.zeros((2, len(nearest)), np.int64)
    chosen = group[nearest[same]]
    equal[same] = np.asarray(counts.sum(axis=1)).ravel()[chosen]
    known = proposed[same] < counts.shape[1]
    right[np.flatnonzero(same)[known]] = np.asarray(
        counts[chosen[known], proposed[same][known]]
    ).ravel()
    return equal, right


def language_model_logits(coder: Coder, base: pa.Table) -> np.ndarray:
    """Return the language model's logits of the rows of a base table, float32 (rows, K)."""
    from stages.lib.model.scoring import score_rows

    trained, tokenizer, prompt = coder.language_model
    columns = [base[field].to_pylist() for field in prompt["fields"]]
    beginning = prompt.get("beginning", ())
    input_ids, _ = encode_prompts(tokenizer, columns, prompt["max_tokens"], beginning)
    score = coder.params.score
    return score_rows(trained, input_ids, score.batch_tokens, score.threads, "score")
