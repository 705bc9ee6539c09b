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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"required": ["date", "when"]}, "when"),
        ({"fill_down": ["when"]}, "when"),
        ({"patterns": {"when": "x"}}, "when"),
        ({"patterns": {"account": "["}}, "patterns.account"),
        ({"columns": {"date": INGEST["columns"]["date"]}, "required": ["date"]}, "label"),
        ({"reading": [{**INGEST["reading"][0], "positions": {"when": 1}}]}, "when"),
        ({"reading": [{**INGEST["reading"][0], "header_row": 0}]}, "positions"),
    ],
)
def test_parameters_that_contradict_are_refused(change, named):
    with pytest.raises(ValidationError, match=named):
        IngestParams.model_validate({**INGEST, **change})


def test_roles_are_in_the_order_of_the_columns():
    params = IngestParams.model_validate(INGEST)
    assert params.label == "account"
    assert list(params.roles.items())[:2] == [("date", "date"), ("vendor", "group")]
