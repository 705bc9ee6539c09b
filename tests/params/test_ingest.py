"""Parameters of reading that contradict each other are refused."""

import pytest
from ledger_files import INGEST
from pydantic import ValidationError

from stages.lib.params.ingest import IngestParams


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("group", "group"),
        ("amount_bucket", "category"),
        ("row_id", "id"),
        ("source_row", "id"),
        ("masked", "text"),
        ("date", "text"),
        ("acct_code", "category"),
    ],
)
def test_names_that_the_pipeline_gives_itself_are_refused(name, role):
    columns = {**INGEST["columns"], name: {"role": role, "names": ["x"]}}
    with pytest.raises(ValidationError, match=name):
        IngestParams.model_validate({**INGEST, "columns": columns})


COLUMNS = INGEST["columns"]
TWO_LABELS = {**COLUMNS, "sub": {"role": "label", "names": ["sub"]}}
PARTS = {**COLUMNS, "sub": {"role": "label_part", "names": ["sub"]}}
NUMBERS = {**COLUMNS, **{name: {"role": "id", "names": [name]} for name in ("doc", "line")}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"required": ["date", "when"]}, "when"),
        ({"fill_down": ["when"]}, "when"),
        ({"patterns": {"when": "x"}}, "when"),
        ({"voucher": "when"}, "when"),
        ({"wrapped": ["when"]}, "when"),
        ({"wrapped": ["amount"]}, "wrapped: amount"),
        ({"label_separator": ""}, "label_separator"),
        ({"columns": TWO_LABELS}, "label_part"),
        ({"columns": PARTS, "patterns": {"sub": "[0-9]+"}}, "patterns: sub"),
        ({"columns": NUMBERS, "fill_down": ["vendor"]}, "doc and line"),
        ({"columns": NUMBERS, "fill_down": ["doc", "line", "vendor"]}, "doc and line"),
        ({"patterns": {"account": "["}}, "patterns.account"),
        ({"columns": {"date": INGEST["columns"]["date"]}, "required": ["date"]}, "label"),
        ({"reading": [{**INGEST["reading"][0], "positions": {"when": 1}}]}, "when"),
        ({"reading": [{**INGEST["reading"][0], "header_row": 0}]}, "positions"),
    ],
)
def test_parameters_that_contradict_are_refused(change, named):
    with pytest.raises(ValidationError, match=named):
        IngestParams.model_validate({**INGEST, **change})


@pytest.mark.parametrize("delimiter", ["auto", "pipe", "^", "|~|", "\x1f", "\t", "¦"])
def test_a_delimiter_is_a_name_or_signs(delimiter):
    reading = {**INGEST["reading"][0], "delimiter": delimiter}
    params = IngestParams.model_validate({**INGEST, "reading": [reading]})
    assert params.reading[0].delimiter == delimiter


@pytest.mark.parametrize("delimiter", ["", "colon", "x", "\\t", '"', "\n", "|||||"])
def test_a_delimiter_of_letters_or_quotes_is_refused(delimiter):
    reading = {**INGEST["reading"][0], "delimiter": delimiter}
    with pytest.raises(ValidationError, match=r"reading\.0\.delimiter"):
        IngestParams.model_validate({**INGEST, "reading": [reading]})


def test_roles_are_in_the_order_of_the_columns():
    params = IngestParams.model_validate(INGEST)
    assert params.label == "account"
    assert list(params.roles.items())[:2] == [("date", "date"), ("vendor", "group")]


def test_the_parts_of_an_account_are_its_label():
    params = IngestParams.model_validate({**INGEST, "columns": PARTS})
    assert params.label_parts == ["account", "sub"]
    assert params.roles == {name: column["role"] for name, column in COLUMNS.items()}


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({}, None),
        ({"columns": NUMBERS}, None),
        ({"columns": NUMBERS, "fill_down": ["line", "vendor"]}, "line"),
        ({"columns": NUMBERS, "fill_down": ["line", "vendor"], "voucher": "doc"}, "doc"),
        ({"columns": {**COLUMNS, "doc": NUMBERS["doc"]}, "fill_down": ["vendor"]}, "doc"),
        ({"columns": {**COLUMNS, "doc": NUMBERS["doc"]}, "voucher": None}, None),
        ({"columns": NUMBERS, "fill_down": ["account", "name"]}, None),
    ],
)
def test_the_voucher_is_the_only_document_number_unless_it_is_named(change, column):
    assert IngestParams.model_validate({**INGEST, **change}).voucher_column == column
