"""The section ``preprocess``: codes have one form, and merges have an end."""

from copy import deepcopy

import pytest
from ledger_files import PREPROCESS
from pydantic import ValidationError
from raw_tables import preprocess_params

from stages.lib.params.preprocess import PreprocessParams


def test_codes_are_padded_and_chains_of_merges_are_followed():
    labels = {"pad_to": 4, "merge": {"1": "2", "0002": "0003"}, "retire": [" 9"]}
    found = preprocess_params(labels).labels
    assert found.merge == {"0001": "0003", "0002": "0003"}
    assert found.retire == ["0009"]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"merge": {"0001": "0002", "0002": "0001"}}, "0001 becomes 0002 becomes 0001"),
        ({"merge": {"0001": "0001"}}, "0001 becomes 0001"),
        ({"merge": {"1": "0002", "0001": "0003"}}, "0001"),
        ({"merge": {"1": "2"}, "retire": ["2"]}, "retire closes 0002"),
        ({"merge": {"1": "2"}, "retire": ["0001"]}, "retire closes 0001"),
        ({"merge": {"1": "rent"}}, "rent does not fit labels.pattern"),
    ],
)
def test_merges_that_contradict_each_other_are_refused(labels, found):
    with pytest.raises(ValidationError) as caught:
        preprocess_params({"pad_to": 4, **labels})
    (error,) = caught.value.errors()
    assert error["loc"] == ("labels",)
    assert "merge: " in error["msg"] and found in error["msg"]


@pytest.mark.parametrize(
    "entry",
    [
        {"match": "*"},
        {"match": "*", "columns": ["date"]},
        {"match": "", "decimal": "comma"},
        {"match": "*", "columns": [], "decimal": "comma"},
        {"match": "*", "date_order": "ydm"},
        {"match": "*", "typed_dates": True},
        {"match": "*", "decimal": "comma", "colums": ["amount"]},
    ],
)
def test_an_entry_of_other_formats_says_something_that_exists(entry):
    with pytest.raises(ValidationError) as caught:
        preprocess_params(other_formats=[entry])
    assert caught.value.errors()[0]["loc"][:2] == ("other_formats", 0)


@pytest.mark.parametrize("key", ["pattern", "masked"])
def test_what_is_no_regular_expression_is_refused(key):
    content = deepcopy(PREPROCESS)
    content["labels"][key] = "("
    with pytest.raises(ValidationError) as caught:
        PreprocessParams.model_validate(content)
    assert caught.value.errors()[0]["loc"] == ("labels", key)
