"""Code new rows: the account of each row, how sure the coder is, and like which past postings."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from scipy.special import softmax

from stages.lib.checksums import file_sha256
from stages.lib.contracts.evaluate import CALIBRATION, Calibration
from stages.lib.contracts.manifest import MANIFEST
from stages.lib.contracts.names import AMOUNT, DATE, ORIGIN
from stages.lib.contracts.scores import EXPERTS, LANGUAGE_MODEL
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.errors import UserError, UserErrors
from stages.lib.evaluation.calibration import calibrate
from stages.lib.evaluation.combination import combine, log_probabilities
from stages.lib.evaluation.metrics import RowScores, summarise_scores
from stages.lib.ledger.new_rows import NewRows, read_new_rows, read_posted_rows
from stages.lib.model.base_model import load_tokenizer, resolve_base_model
from stages.lib.model.manifest import verify_manifest
from stages.lib.model.prompt import encode_prompts
from stages.lib.model.text_experts import (
    NEAREST,
    TextExperts,
    add_postings,
    describe_neighbours,
    load_text_experts,
    nearest_few,
    posted_votes,
    score_text_experts,
)
from stages.lib.parallel import cores
from stages.lib.params.model import ModelParams
from stages.lib.params.row_shape import row_shape_of
from stages.lib.tables import read_json

# The folder with the models of all stages, and those that have a manifest.
MODELS = CALIBRATION.parents[1]
STAGES = ("train", "classify")
LEAST_CHANCE = 1e-30  # so that its logarithm is finite


class Coded(NamedTuple):
    """New rows with their accounts.

    Attributes
    ----------
    header : list of str
    rows : list of list
        The cells of each coded row, in the order of `header`.
    refused : list of list
        The same for each row that cannot be coded: its origin and the reason; the rest is empty.
    silent : int
        Number of rows without content, which are in neither list.
    posted : dict of str to int
        For each threshold, the number of rows that reach it.
    remarks : list of str
        What the user should know about the files.
    """

    header: list[str]
    rows: list[list]
    refused: list[list]
    silent: int
    posted: dict[str, int]
    remarks: list[str]


def code_rows(
    source: str, params: SimpleNamespace, posted: Sequence[str] = (), models: Path = MODELS
) -> Coded:
    """Return the rows of a file or folder with the accounts that the coder gives them.

    Parameters
    ----------
    source : str
        File or folder in the form of the ledger. Its accounts, if it has any, are not read.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess``, ``feature``, ``score`` and ``model``.
    posted : sequence of str
        Files or folders of rows that were posted since the training. They join the past postings.
    models : Path
        The folder with the models, in one folder a stage.

    Raises
    ------
    UserError
        There is no model, it is damaged, the parameters have changed since its training, or the
        new rows cannot be read.
    """
    calibration = load_models_of(models, params)
    experts, remarks = load_text_experts(models / "classify"), []
    chart = read_json(models / "train" / LABEL_MAP)["accounts"]
    if [entry["acct_code"] for entry in chart] != experts.accounts:
        problem = "its accounts are not those of the text classifier beside it"
        raise UserError("other-model", models / "train", problem, _again(models))
    for path in dict.fromkeys(posted):
        rows, refused = read_posted_rows(path, params)
        experts, left_out = add_postings(experts, rows)
        count = rows.num_rows - sum(left_out.values())
        remarks.append(f"{path}: {count:,} posted rows join the past postings")
        for reason, number in {**refused, **left_out}.items():
            if number:
                remarks.append(f"{path}: {number:,} posted rows left out: {reason}")
    new = read_new_rows(source, params)
    scores, past = code_base(new.base, experts, calibration, params, models)
    coded = coded_rows(new, chart, scores, past, calibration.thresholds, params.feature.fields)
    return coded._replace(remarks=remarks + coded.remarks)


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
        verify_manifest(folder)
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


def code_base(
    base: pa.Table,
    experts: TextExperts,
    calibration: Calibration,
    params: SimpleNamespace,
    models: Path = MODELS,
) -> tuple[RowScores, list[list[str]]]:
    """Return the combined scores of the rows of a base table, and the past postings of each.

    Rows like one that was posted since the training follow it.

    Parameters
    ----------
    base : Table
    experts : TextExperts
    calibration : Calibration
    params : SimpleNamespace
        The sections ``score`` and ``model``.
    """
    scores, neighbours = score_text_experts(experts, base, cores())
    if calibration.weights[LANGUAGE_MODEL]:
        logits = language_model_logits(base, calibration, params, models)
        scores[LANGUAGE_MODEL] = log_probabilities(logits)
    names = [name for name in EXPERTS if name in scores]
    weights = np.array([calibration.weights[name] for name in names])
    logits = combine([scores[name] for name in names], weights)
    votes = posted_votes(experts, neighbours)
    chance = softmax(logits.astype(np.float64), axis=1) + votes
    logits = np.log(np.maximum(chance / (1 + votes.sum(axis=1, keepdims=True)), LEAST_CHANCE))
    unknown = np.full(len(logits), len(experts.accounts))
    combined = calibrate(summarise_scores(logits, unknown, 1.0), tuple(calibration.confidence))
    return combined, describe_neighbours(experts, nearest_few(neighbours))


def language_model_logits(
    base: pa.Table, calibration: Calibration, params: SimpleNamespace, models: Path
) -> np.ndarray:
    """Return the language model's logits of the rows of a base table, float32 (rows, K)."""
    # Torch takes seconds to import, so wrong parameters and files are refused before.
    from stages.lib.model.scoring import load_trained_model, score_rows

    trust, folder = params.model.trust_remote_code, models / "train"
    trained = load_trained_model(folder, trust)
    label_map, manifest = read_json(folder / LABEL_MAP), read_json(folder / MANIFEST)
    if calibration.models["train"] != file_sha256(folder / MANIFEST):
        raise UserError(
            "other-model", folder, "was replaced in the meantime", "run the same command again"
        )
    model = ModelParams(**manifest["base_model"], trust_remote_code=trust)
    prompt = label_map["prompt"]
    columns = [base[field].to_pylist() for field in prompt["fields"]]
    tokenizer = load_tokenizer(resolve_base_model(model))
    input_ids, _ = encode_prompts(tokenizer, columns, prompt["max_tokens"])
    score = params.score
    return score_rows(trained, input_ids, score.batch_tokens, score.threads, "score")


# The table


def coded_rows(
    new: NewRows,
    accounts: list[dict],
    scores: RowScores,
    past: list[list[str]],
    thresholds: dict[str, float | None],
    fields: list[str],
) -> Coded:
    """Return header and rows: origin, account, next best ones, past postings, what the row says.

    Parameters
    ----------
    new : NewRows
    accounts : list of dict, length K
    scores : RowScores
        Of the rows of ``new.base``.
    past : list of list of str
        The nearest past postings of each row, as texts.
    thresholds : dict of str to float or None
        The least probability that is posted, by name; None: none is enough.
    fields : list of str
        The visible fields.
    """
    shown = [DATE, AMOUNT, *fields]
    places = range(1, scores.top.shape[1])
    header = [*ORIGIN, "refused", "predicted", "predicted_name", "probability", *thresholds]
    header += [f"{name}_{place + 1}" for place in places for name in ("choice", "probability")]
    header += [f"past_{place + 1}" for place in range(NEAREST)] + shown
    origins, cells = (
        zip(*(new.base[name].to_pylist() for name in names), strict=True)
        for names in (ORIGIN, shown)
    )
    rows, posted = [], dict.fromkeys(thresholds, 0)
    for origin, top, chances, before, said in zip(
        origins, scores.top.tolist(), scores.probability.tolist(), past, cells, strict=True
    ):
        best = accounts[top[0]]
        row = [*origin, "", best["acct_code"], best["acct_name"], round(chances[0], 4)]
        for name, least in thresholds.items():
            enough = least is not None and chances[0] >= least
            posted[name] += enough
            row.append("yes" if enough else "no")
        for place in places:
            row += [accounts[top[place]]["acct_code"], round(chances[place], 4)]
        before = before + [""] * (NEAREST - len(before))
        rows.append([*row, *before, *said])
    padding = [""] * (len(header) - len(ORIGIN) - 1)
    refused = [row + padding for row in new.refused]
    return Coded(header, rows, refused, new.silent, posted, new.remarks)
