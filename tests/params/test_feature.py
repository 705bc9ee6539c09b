"""The section ``feature``: the visible fields, and columns of the right role."""

import pytest
from pydantic import ValidationError
from raw_tables import ROLES, feature_params

from stages.lib.params.feature import check_columns


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"fields": ["memo", "memo"]}, "fields"),
        ({"fields": ["acct_code"]}, "acct_code"),
        ({"fields": ["date"]}, "ingest.columns"),
        ({"amount_edges": [5.0, 5.0]}, "amount_edges"),
        ({"amount_column": "memo", "credit_column": "memo"}, "credit_column"),
        ({"amount_column": None, "credit_column": "amount"}, "credit_column"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(change, key):
    with pytest.raises(ValidationError, match=key):
        feature_params(**change)


@pytest.mark.parametrize(
    ("change", "key", "found"),
    [
        ({"fields": ["name"]}, "feature.fields", "role label_name"),
        ({"fields": ["account"]}, "feature.fields", "role label"),
        ({"fields": ["colour"]}, "feature.fields", "'colour'"),
        ({"amount_column": "memo"}, "feature.amount_column", "role text"),
        ({"credit_column": "memo"}, "feature.credit_column", "role text"),
        ({"date_column": "when"}, "feature.date_column", "'when'"),
        ({"group_column": "date"}, "feature.group_column", "role date"),
    ],
)
def test_a_column_that_is_missing_or_has_another_role_is_named(change, key, found):
    (error,) = check_columns(feature_params(**change), ROLES)
    assert error.code == "unsuitable-column" and key in error.where and found in str(error)


def test_the_columns_that_would_do_are_listed():
    (error,) = check_columns(feature_params(fields=["name"]), {**ROLES, "when": "date"})
    assert "date, vendor, memo, when" in str(error)


def test_suitable_columns_are_accepted():
    assert check_columns(feature_params(fields=["memo", "group", "amount_bucket"]), ROLES) == []
    nothing = {key: None for key in ("date_column", "amount_column", "group_column")}
    assert check_columns(feature_params(fields=["memo"], **nothing), ROLES) == []
