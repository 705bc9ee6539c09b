"""Parameters of reading are restricted to some columns, wherever those are named."""

from ledger_files import ingest_params

from stages.lib.ledger.columns import select_columns, without_labels
from stages.lib.params.ingest import Column

PARAMS = ingest_params(
    "raw",
    {"positions": {"memo": 3, "account": 5, "name": 6}},
    fill_down=["memo", "account"],
    wrapped=["memo", "vendor"],
    patterns={"account": "[0-9]{4}", "vendor": ".+"},
)


def test_columns_are_left_out_wherever_they_are_named():
    found = select_columns(PARAMS, ["account", "date", "vendor"])
    assert list(found.columns) == ["date", "vendor", "account"]
    assert found.required == ["date", "account"]
    assert found.patterns == PARAMS.patterns
    assert found.fill_down == ["account"]
    assert found.wrapped == ["vendor"]
    assert found.reading[0].positions == {"account": 5}
    assert found.reading[0].encoding == "auto"
    assert select_columns(PARAMS, PARAMS.columns) == PARAMS


def test_without_labels_no_file_is_searched_for_them():
    found = without_labels(PARAMS)
    assert found.label == "account" and found.columns["account"].names == []
    assert list(found.columns) == ["date", "vendor", "memo", "amount", "account"]
    assert found.required == ["date", "amount"]
    assert found.patterns == {"vendor": ".+"}
    assert found.fill_down == ["memo"]
    assert found.reading[0].positions == {"memo": 3}
    assert without_labels(found) == found


def test_without_labels_no_part_of_them_is_left():
    columns = {**PARAMS.columns, "sub": Column(role="label_part", names=["sub"])}
    params = PARAMS.model_copy(update={"columns": columns})
    assert params.label_parts == ["account", "sub"] and "sub" not in params.roles
    assert list(without_labels(params).columns) == ["date", "vendor", "memo", "amount", "account"]


def test_a_column_is_required_even_where_only_the_label_was():
    only_label = PARAMS.model_copy(update={"required": ["account"]})
    assert without_labels(only_label).required == ["date"]
