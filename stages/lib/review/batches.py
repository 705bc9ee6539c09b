"""Put the cells of a file and what the coder says of them side by side, row by row."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.lib.coding import CodedRows, Coder
from stages.lib.contracts.names import AMOUNT, DATE, GROUP
from stages.lib.errors import UserError
from stages.lib.ledger.accounts import find_codes
from stages.lib.ledger.cells import cell_text
from stages.lib.ledger.header_names import header_key
from stages.lib.ledger.label_parts import split_account
from stages.lib.ledger.new_rows import NewPart, Spooled, is_no_transaction
from stages.lib.ledger.reasons import JOINED
from stages.lib.ledger.source import file_kind
from stages.lib.ledger.workbooks import workbook_sheets
from stages.lib.params.feature import FeatureParams
from stages.lib.params.ingest import IngestParams
from stages.lib.params.preprocess import Labels
from stages.lib.review.columns import input_titles, keys_of_titles, own_schema, with_text
from stages.lib.review.decisions import NONE, POST, REFUSED, REVIEW, Proposals
from stages.lib.review.keys import row_key
from stages.lib.review.words import encode_reason

_PLACES = 3  # accounts that are proposed


class Inputs(NamedTuple):
    """The columns of the files.

    Attributes
    ----------
    schema : Schema
        Their titles and types in the sheet.
    day, amount : int or None
        Which column has the date and the amount, if it is the same one in all files.
    account : int or None
        Which column has the account, if the files have one.
    parts : int
        Of the account, where `separator` joins it from several columns: the last columns are for
        the parts of the account that is proposed. 0: it is in one column.
    separator : str
    """

    schema: pa.Schema
    day: int | None
    amount: int | None
    account: int | None
    parts: int = 0
    separator: str = ""


def find_inputs(
    spooled: Spooled, ingest: IngestParams, feature: FeatureParams, words: Mapping
) -> Inputs:
    """Return the columns of the files that were read.

    Raises
    ------
    UserError
        ``coded-sheet``: a file is a sheet that was coded before.
    """
    for part in spooled.parts:
        if _is_coded(part.layout.header, feature.fields):
            raise _coded_sheet(part.file)
    day = _only_column(spooled, feature.date_column)
    amount = None if feature.credit_column else _only_column(spooled, feature.amount_column)
    types = [pa.string()] * len(spooled.titles)
    for column, kind in ((day, pa.date32()), (amount, pa.float64())):
        if column is not None:
            types[column] = with_text(kind)
    parts = len(ingest.label_parts) if ingest.label_separator else 0
    own = [f"acct_code_{number + 1}" for number in range(parts)]
    titles = input_titles([*spooled.titles, *own], words, feature.fields)
    types += [pa.string()] * parts
    names = {header_key(name) for name in ingest.columns[ingest.label].names}
    found = [i for i, title in enumerate(spooled.titles) if header_key(title) in names]
    account = found[0] if len(found) == 1 and len(ingest.label_parts) == 1 else None
    schema, separator = pa.schema(list(zip(titles, types, strict=True))), ingest.label_separator
    return Inputs(schema, day, amount, account, parts, separator or "")


def _is_coded(titles: Sequence[str], fields: Sequence[str]) -> bool:
    ours = keys_of_titles(fields)
    return {"key", "decision", "corrected"} <= {ours.get(title.strip()) for title in titles}


def _coded_sheet(where: object) -> UserError:
    problem = "is a sheet that was coded before"
    action = "give it back with 'python -m stages.learn', and name the file that it was made from"
    return UserError("coded-sheet", where, problem, action)


def refuse_coded_sheets(paths: Sequence[Path], fields: Sequence[str]) -> None:
    """Raise UserError if a workbook was coded before."""
    for path in paths:
        with suppress(UserError, LookupError):
            sheets = workbook_sheets(path, ["*"]) if file_kind(path) == "workbook" else []
            heads = [list(map(cell_text, next(sheet.rows, []))) for sheet in sheets]
            if any(_is_coded(head, fields) for head in heads):
                break
    else:
        return
    raise _coded_sheet(path)


def _only_column(spooled: Spooled, name: str | None) -> int | None:
    columns = {
        places[part.layout.places[name]]
        for part, places in zip(spooled.parts, spooled.places, strict=True)
        if name in part.layout.places
    }
    return columns.pop() if len(columns) == 1 else None


def input_columns(part: NewPart, places: Sequence[int], count: int) -> list[list[str]]:
    """Return the cells of a part under the columns of all files.

    Parameters
    ----------
    part : NewPart
    places : sequence of int
        The column of each cell of a row.
    count : int
        Number of columns.
    """
    columns = [[""] * len(part.lines) for _ in range(count)]
    for row, cells in enumerate(part.cells):
        for place, cell in zip(places, cells, strict=False):
            columns[place][row] = cell
    return columns


def given_accounts(part: NewPart, columns: list[list[str]], inputs: Inputs, labels: Labels) -> list:
    """Return the account that the file has for each row that was coded, "" for none."""
    if inputs.account is None:
        return [""] * len(part.places)
    cells = columns[inputs.account]
    return find_codes(
        pa.array([cells[row] for row in part.places], pa.string()), labels
    ).to_pylist()


def proposals_of(
    part: NewPart, coded: CodedRows, coder: Coder, given: list[str], fields: Sequence[str]
) -> Proposals:
    """Return the rows that were coded, for the rules that decide about them."""
    seen = zip(*(part.base[field].to_pylist() for field in fields), strict=True)
    lines = [part.lines[place] for place in part.places]
    return Proposals(
        keys=[
            row_key(part.file, part.sheet, line, said)
            for line, said in zip(lines, seen, strict=True)
        ],
        accounts=[coder.accounts[number] for number in coded.scores.top[:, 0].tolist()],
        confidence=coded.scores.confidence,
        amounts=part.base[AMOUNT].to_pylist(),
        vendors=part.base[GROUP].to_pylist(),
        given=given,
        equal=coded.equal,
        equal_right=coded.equal_right,
        disagree=coded.disagree,
    )


def coded_batch(
    part: NewPart,
    columns: list[list[str]],
    inputs: Inputs,
    proposals: Proposals,
    coded: CodedRows,
    reasons: list[list[str]],
    coder: Coder,
    fields: Sequence[str],
) -> pa.Table:
    """Return the rows of a part as the review sheet has them, each once and in its order.

    Parameters
    ----------
    part : NewPart
    columns : list of list of str
        As `input_columns` returns them.
    inputs : Inputs
    proposals : Proposals
    coded : CodedRows
    reasons : list of list of str
        Why a person looks at each row that was coded.
    coder : Coder
    fields : sequence of str
    """
    count, base = len(part.lines), part.base
    own = own_schema(fields)
    said = {name: [None] * count for name in own.names}
    said["source_file"], said["source_sheet"] = [part.file] * count, [part.sheet] * count
    said["source_row"], said["corrected"] = part.lines, [""] * count
    for row, reason in enumerate(part.reasons):
        said["decision"][row] = NONE if is_no_transaction(reason) else REFUSED
        said["reason"][row] = [encode_reason("joined_to_row_above") if reason == JOINED else reason]
    values = {
        "decision": [REVIEW if why else POST for why in reasons],
        "reason": reasons,
        "key": proposals.keys,
        "seen_date": base[DATE].to_pylist(),
        "seen_amount": base[AMOUNT].to_pylist(),
        **{f"seen_{field}": base[field].to_pylist() for field in fields},
        **_accounts(coded, coder),
        **_past(coded),
    }
    for name, cells in values.items():
        for place, cell in zip(part.places, cells, strict=True):
            said[name][place] = cell
    columns = columns[: len(columns) - inputs.parts] + _account_parts(said["acct_code"], inputs)
    arrays = [pa.array(cells, pa.string()) for cells in columns]
    for column, values in ((inputs.day, said["seen_date"]), (inputs.amount, said["seen_amount"])):
        if column is not None:
            kind = inputs.schema.types[column]
            arrays[column] = pa.StructArray.from_arrays(
                [pa.array(values, kind[0].type), arrays[column]], fields=list(kind)
            )
    arrays += [pa.array(said[field.name], field.type) for field in own]
    return pa.Table.from_arrays(arrays, schema=pa.schema([*inputs.schema, *own]))


def _account_parts(codes: list[str | None], inputs: Inputs) -> list[list[str]]:
    """Return a column for each part of the accounts that are proposed, as the ledger has them."""
    if not inputs.parts:
        return []
    rows = [split_account(code or "", inputs.parts, inputs.separator) for code in codes]
    return [list(column) for column in zip(*rows, strict=True)] or [[]] * inputs.parts


def _accounts(coded: CodedRows, coder: Coder) -> dict[str, list]:
    """Return the accounts that are proposed for each row, with their names and probabilities."""
    top, chance = coded.scores.top, np.round(coded.scores.probability, 4)
    found = {}
    for place in range(_PLACES):
        code, probability = ("acct_code", "probability")
        if place:
            code, probability = f"choice_{place + 1}", f"probability_{place + 1}"
        if place < top.shape[1]:
            found[code] = [coder.accounts[number] for number in top[:, place].tolist()]
            found[probability] = chance[:, place].tolist()
        else:  # a chart of one or two accounts
            found[code], found[probability] = [[None] * len(top)] * 2
    found["acct_name"] = [coder.names.get(code, "") for code in found["acct_code"]]
    return found


def _past(coded: CodedRows) -> dict[str, list[str | None]]:
    return {
        f"why_{place + 1}": [past[place] if place < len(past) else None for past in coded.past]
        for place in range(_PLACES)
    }
