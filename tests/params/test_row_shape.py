"""The keys that decide what the model sees of a row, and no guards."""

from types import SimpleNamespace

from ledger_files import INGEST
from raw_tables import ROLES, feature_params, preprocess_params

from stages.lib.params.ingest import IngestParams
from stages.lib.params.row_shape import MaskedKinds, TextCase, row_shape_of


def shape(preprocess=None, feature=None, ingest=None, roles=ROLES) -> dict:
    sections = SimpleNamespace(
        ingest=IngestParams.model_validate({**INGEST, **(ingest or {})}),
        preprocess=preprocess_params(**(preprocess or {})),
        feature=feature_params(**(feature or {})),
    )
    return row_shape_of(sections, roles)


def test_what_shapes_a_row():
    assert shape() == {
        "ingest.mask": ["email", "card", "resident_number", "bank_account", "phone"],
        "preprocess.case": "fold",
        "feature.fields": ["vendor", "memo", "amount_bucket"],
        "feature.amount_column": "amount",
        "feature.credit_column": None,
        "feature.group_column": "vendor",
        "feature.amount_edges": [0, 100, 1000],
    }


def test_guards_shape_no_row():
    changed = shape(
        ingest={"max_reject_fraction": 1.0, "min_content_match": 0.1, "files": ["*.csv"]},
        preprocess={"max_reject_fraction": 1.0, "duplicates": "keep", "unreadable_date": "empty"},
        feature={"max_leak_rate": 1.0, "max_copy_rate": 0.5, "date_column": None},
    )
    assert changed == shape()


def test_how_files_are_read_shapes_no_row():
    changed = shape(
        ingest={"total_words": [], "wrapped": ["memo"], "required": ["memo"]},
        preprocess={"decimal": "comma", "date_order": "dmy", "currency_words": []},
    )
    assert changed == shape()


def test_the_date_column_counts_where_a_date_is_visible():
    roles = {**ROLES, "posted": "date"}
    feature = {"fields": ["memo", "posted"]}
    assert shape(feature=feature, roles=roles)["feature.date_column"] == "date"


def test_whole_sections_and_their_parts_have_the_same_shape():
    sections = SimpleNamespace(
        ingest=MaskedKinds.model_validate(INGEST),
        preprocess=TextCase.model_validate(preprocess_params().model_dump()),
        feature=feature_params(),
    )
    assert row_shape_of(sections, ROLES) == shape()
