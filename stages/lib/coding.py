"""Code new rows with the trained model: the account of each row, and how sure the model is."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from stages.lib.checksums import file_sha256
from stages.lib.contracts.evaluate import CALIBRATION, Calibration
from stages.lib.contracts.names import AMOUNT, DATE, ORIGIN
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.contracts.train import MANIFEST, MODEL
from stages.lib.errors import UserError, UserErrors
from stages.lib.evaluation.metrics import RowScores, summarise_scores
from stages.lib.ledger.new_rows import NewRows, read_new_rows
from stages.lib.model.base_model import load_tokenizer, resolve_base_model
from stages.lib.model.manifest import verify_manifest
from stages.lib.model.prompt import encode_prompts
from stages.lib.params.model import ModelParams
from stages.lib.params.row_shape import row_shape_of
from stages.lib.tables import read_json


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


def code_rows(source: str, params: SimpleNamespace) -> Coded:
    """Return the rows of a file or folder with the accounts that the trained model gives them.

    Parameters
    ----------
    source : str
        File or folder in the form of the ledger. Its accounts, if it has any, are not read.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess``, ``feature``, ``score`` and ``model``.

    Raises
    ------
    UserError
        There is no model, it is damaged, the parameters have changed since its training, or the
        new rows cannot be read.
    """
    calibration = load_calibration()
    check_made_with(calibration.rows_made_with, row_shape_of(params, params.ingest.roles))
    new = read_new_rows(source, params)
    accounts, scores = score_base(new.base, calibration, params)
    return coded_rows(new, accounts, scores, calibration.thresholds, params.feature.fields)


# The model


def load_calibration() -> Calibration:
    """Return what `evaluate` fitted for the model in ``models/train/``.

    Raises
    ------
    UserError
        There is no model, it is damaged, or the calibration belongs to another one.
    """
    again = "build it again with 'dvc repro evaluate'"
    if not (MODEL / MANIFEST).is_file():
        raise UserError(
            "no-model", MODEL, "has no model", "run 'dvc repro', or fetch it with 'dvc pull'"
        )
    verify_manifest(MODEL)
    try:
        calibration = Calibration.model_validate(read_json(CALIBRATION))
    except ValidationError as error:
        what = error.errors()[0]
        key = ".".join(map(str, what["loc"]))
        raise UserError(
            "invalid-calibration", CALIBRATION, f"{key}: {what['msg']}", again
        ) from None
    if calibration.model != file_sha256(MODEL / MANIFEST):
        raise UserError(
            "other-model",
            CALIBRATION,
            f"belongs to another model than the one in {MODEL}",
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
                    f"{now.get(name)}; the model in {MODEL} was trained with {noted.get(name)}",
                    "undo the change, or run 'dvc repro'",
                )
                for name in changed
            ]
        )


def score_base(
    base: pa.Table, calibration: Calibration, params: SimpleNamespace
) -> tuple[list[dict], RowScores]:
    """Return the model's accounts, and its scores of the rows of a base table.

    Parameters
    ----------
    base : Table
    calibration : Calibration
    params : SimpleNamespace
        The sections ``score`` and ``model``.

    Returns
    -------
    accounts : list of dict, length K
        With the keys acct_code and acct_name, in the order of the scores.
    scores : RowScores
    """
    # Torch takes seconds to import, so wrong parameters and files are refused before.
    from stages.lib.model.scoring import load_trained_model, score_rows

    trust = params.model.trust_remote_code
    trained = load_trained_model(MODEL, trust)
    label_map, manifest = read_json(MODEL / LABEL_MAP), read_json(MODEL / MANIFEST)
    if calibration.model != file_sha256(MODEL / MANIFEST):
        raise UserError(
            "other-model", MODEL, "was replaced in the meantime", "run the same command again"
        )
    model = ModelParams(**manifest["base_model"], trust_remote_code=trust)
    prompt, accounts = label_map["prompt"], label_map["accounts"]
    columns = [base[field].to_pylist() for field in prompt["fields"]]
    tokenizer = load_tokenizer(resolve_base_model(model))
    input_ids, _ = encode_prompts(tokenizer, columns, prompt["max_tokens"])
    score = params.score
    logits = score_rows(trained, input_ids, score.batch_tokens, score.threads, "score")
    unknown = np.full(len(logits), len(accounts))
    return accounts, summarise_scores(logits, unknown, calibration.temperature)


# The table


def coded_rows(
    new: NewRows,
    accounts: list[dict],
    scores: RowScores,
    thresholds: dict[str, float | None],
    fields: list[str],
) -> Coded:
    """Return header and rows: origin, account, next best accounts, and what the row says.

    Parameters
    ----------
    new : NewRows
    accounts : list of dict, length K
    scores : RowScores
        Of the rows of ``new.base``.
    thresholds : dict of str to float or None
        The least probability that is posted, by name; None: none is enough.
    fields : list of str
        The visible fields.
    """
    shown = [DATE, AMOUNT, *fields]
    places = range(1, scores.top.shape[1])
    header = [*ORIGIN, "refused", "predicted", "predicted_name", "probability", *thresholds]
    header += [f"{name}_{place + 1}" for place in places for name in ("choice", "probability")]
    header += shown
    origins, cells = (
        zip(*(new.base[name].to_pylist() for name in names), strict=True)
        for names in (ORIGIN, shown)
    )
    rows, posted = [], dict.fromkeys(thresholds, 0)
    for origin, top, chances, said in zip(
        origins, scores.top.tolist(), scores.probability.tolist(), cells, strict=True
    ):
        best = accounts[top[0]]
        row = [*origin, "", best["acct_code"], best["acct_name"], round(chances[0], 4)]
        for name, least in thresholds.items():
            enough = least is not None and chances[0] >= least
            posted[name] += enough
            row.append("yes" if enough else "no")
        for place in places:
            row += [accounts[top[place]]["acct_code"], round(chances[place], 4)]
        rows.append([*row, *said])
    padding = [""] * (len(header) - len(ORIGIN) - 1)
    refused = [row + padding for row in new.refused]
    return Coded(header, rows, refused, new.silent, posted, new.remarks)
