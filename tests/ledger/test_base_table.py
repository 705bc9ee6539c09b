"""The base table has the visible fields, and what the pipeline makes itself."""

from datetime import date

import pyarrow as pa
from raw_tables import feature_params, preprocess_params, raw_table, row
from refusals import refused

from stages.lib.ledger.base_table import base_schema, field_roles, make_base_table
from stages.lib.ledger.cleaning import clean_rows


def clean(*rows: list[str], **roles: str) -> pa.Table:
    return clean_rows(raw_table(*rows, **roles), preprocess_params()).transactions


def rows(count: int) -> list[list[str]]:
    return [
        row(vendor=f"Shop {i % 5}", memo=f"thing {i}", amount=str(i * 10)) for i in range(count)
    ]


def test_its_columns_and_their_types():
    table = make_base_table(clean(*rows(40)), feature_params())
    origin = "dictionary<values=string, indices=int32, ordered=0>"
    assert {field.name: str(field.type) for field in table.schema} == {
        "row_id": "int64",
        "source_file": origin,
        "source_sheet": origin,
        "source_row": "int32",
        "vendor": "string",
        "memo": "string",
        "amount_bucket": "string",
        "date": "date32[day]",
        "amount": "double",
        "group": "string",
        "acct_code": "string",
    }
    assert table["row_id"].to_pylist() == list(range(40))
    assert list(table.to_pylist()[15].values()) == [
        15, "a.csv", "", 17, "shop 0", "thing 15", "<1000", date(2020, 4, 16), 150.0, "shop 0",
        "0101",
    ]  # fmt: skip
    assert table["vendor"].null_count == 0
    assert table.schema == base_schema(clean(*rows(1)).schema, feature_params())


def test_a_ledger_without_vendor_amount_and_date():
    params = feature_params(
        fields=["memo"], date_column=None, amount_column=None, group_column=None
    )
    table = make_base_table(clean(*rows(40)), params)
    assert table.column_names == [
        "row_id", "source_file", "source_sheet", "source_row", "memo", "date", "amount",
        "amount_bucket", "group", "acct_code",
    ]  # fmt: skip
    assert set(table["group"].to_pylist()) == set(table["amount_bucket"].to_pylist()) == {""}
    assert table["date"].null_count == table["amount"].null_count == 40


def test_debits_and_credits():
    pairs = [("5", ""), ("", "7.5"), ("10", "2"), ("", "")]
    table = clean(*(row(amount=debit, memo=credit) for debit, credit in pairs), memo="amount")
    params = feature_params(fields=["vendor", "amount_bucket"], credit_column="memo")
    base = make_base_table(table, params)
    assert base["amount"].to_pylist() == [5.0, -7.5, 8.0, None]
    assert base["amount_bucket"].to_pylist() == ["<100", "<0", "<100", ""]


def test_a_visible_date_is_text_and_empty_where_there_is_none():
    table = clean(row(memo="2020-04-17"), row(memo="", vendor="x"), memo="date")
    base = make_base_table(table, feature_params(fields=["vendor", "memo"]))
    assert base["memo"].to_pylist() == ["2020-04-17", ""]


def test_rows_of_several_files_are_one_table():
    files = [raw_table(*rows(2), file="a.csv"), raw_table(row(memo="other"), file="b.csv")]
    cleaned = clean_rows(pa.concat_tables(files), preprocess_params())
    base = make_base_table(cleaned.transactions, feature_params())
    assert base["source_file"].to_pylist() == ["a.csv", "a.csv", "b.csv"]
    assert base["row_id"].to_pylist() == [0, 1, 2]


def test_a_column_of_an_unsuitable_role_is_refused():
    with refused("unsuitable-column", "feature.fields", "name"):
        make_base_table(clean(row()), feature_params(fields=["name"]))


def test_what_the_base_table_makes_has_its_own_name_as_its_role():
    roles = {"vendor": "group", "memo": "text", "amount": "amount"}
    assert field_roles(roles, ["memo", "group", "amount_bucket", "vendor"]) == {
        "memo": "text",
        "group": "group",
        "amount_bucket": "amount_bucket",
        "vendor": "group",
    }
