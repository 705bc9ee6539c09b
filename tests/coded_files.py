"""Code files in a small project, and read what came out."""

import csv
from pathlib import Path
from types import SimpleNamespace

from small_ledger import HEADER

from stages.lib.coding import MODELS
from stages.lib.params.coding import SECTIONS
from stages.lib.params.files import load_params
from stages.lib.review.coding_run import Done, code_files

PLACE = {name: place for place, name in enumerate(HEADER)}


def sections(reading: Path | None = None, **predict: object) -> SimpleNamespace:
    """Return the parameters of the project in this folder; `predict` replaces keys there."""
    params = load_params(reading=reading, **SECTIONS)
    params.predict = params.predict.model_copy(update=predict)
    return params


def rules(**changes: object):
    """Return ``predict.review`` of the project in this folder, with other keys."""
    return sections().predict.review.model_copy(update=changes)


def read_coded(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def code(sources: list, out: Path, params: SimpleNamespace | None = None, **more) -> Done:
    """Code files with the models of the project in this folder."""
    params, models = params or sections(), more.pop("models", MODELS)
    return code_files([str(source) for source in sources], out, params, models, **more)


def coded(sources: list, out: Path, params: SimpleNamespace | None = None, **more) -> list[dict]:
    """Return the rows of the .csv `out`, into which files were coded."""
    code(sources, out, params, **more)
    return read_coded(out)


def with_cells(row: list[str], **cells: str) -> list[str]:
    """Return a row of the small ledger with other cells; `merchant_name` is ``Merchant Name``."""
    row = list(row)
    for name, cell in cells.items():
        (title,) = (t for t in PLACE if t.casefold().replace(" ", "_").strip(".") == name)
        row[PLACE[title]] = cell
    return row
