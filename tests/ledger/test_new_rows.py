"""New rows become what the same rows are in the base table, and need no column that shapes none."""

from types import SimpleNamespace

import ledger_files as ledger
import pytest
from ledger_files import HEADER, csv_text
from raw_tables import feature_params, preprocess_params, row
from refusals import refused

from stages.lib.ledger.base_table import make_base_table
from stages.lib.ledger.cleaning import clean_rows
from stages.lib.ledger.new_rows import params_of_new_rows, read_new_rows
from stages.lib.ledger.reading import read_ledger
from stages.lib.params.ingest import IngestParams


def sections(ingest: dict | None = None, preprocess: dict | None = None, **feature: object):
    return SimpleNamespace(
        ingest=IngestParams.model_validate({**ledger.INGEST, **(ingest or {})}),
        preprocess=preprocess_params(**(preprocess or {})),
        feature=feature_params(**feature),
    )


@pytest.fixture
def new(tmp_path):
    """Return a function that reads rows of a file without the columns `left_out`."""

    def read(rows: list[list[str]], params: SimpleNamespace, *left_out: str):
        kept = [i for i, name in enumerate(HEADER) if name not in left_out]
        (tmp_path / "new.csv").write_text(csv_text([[r[i] for i in kept] for r in [HEADER, *rows]]))
        return read_new_rows(str(tmp_path / "new.csv"), params)

    return read


def origins(found) -> list[tuple]:
    return [(row[2], row[3]) for row in found.refused]


ROWS = [row(memo=f"thing {i}", vendor=f"Shop {i % 3}", amount=str(i), account=f"010{i % 4}")
        for i in range(12)]  # fmt: skip


def test_new_rows_are_made_as_those_of_the_ledger_were(new, tmp_path):
    params = sections({"source": str(tmp_path)})
    (tmp_path / "new.csv").write_text(csv_text([HEADER, *ROWS]))
    cleaned = clean_rows(read_ledger(params.ingest).transactions, params.preprocess)
    known = make_base_table(cleaned.transactions, params.feature).to_pydict()
    found = new(ROWS, params, "Account", "Account name").base.to_pydict()
    assert set(found.pop("acct_code")) == {""} and known.pop("acct_code")
    assert found == known


def test_accounts_that_the_file_has_are_not_read(new):
    rows = [row(account="no code"), row(account="***"), row(account="#N/A"), row(account="0101")]
    found = new(rows, sections())
    assert found.base["acct_code"].to_pylist() == [""] * 4 and found.refused == []


def test_every_row_is_kept_refused_or_silent(new):
    rows = [
        row(),
        row(),  # no duplicate: both want an account
        row(amount="unknown"),
        row(date="someday"),
        row(date="", vendor="", memo="", amount="12.50", account="", name=""),
        ["", "", "", "", "", ""],
        HEADER,
        row(memo="jane@example.com"),
    ]
    found = new(rows, sections(), "Account", "Account name")
    assert found.base["source_row"].to_pylist() == [2, 3, 9]
    assert found.base["memo"].to_pylist()[-1] == "[email]"
    assert origins(found) == [
        (6, "subtotal"),
        (4, "unreadable amount in amount"),
        (5, "unreadable date in date"),
    ]
    assert found.silent == 2


def test_columns_that_shape_no_visible_field_may_be_missing(new):
    params = sections(
        {"required": ["account"]}, fields=["memo"], date_column=None, amount_column=None
    )
    left_out = ("Date", "Vendor", "Amount", "Account", "Account name")
    assert len(new(ROWS, params, *left_out).base) == 12
    with refused("column-not-found", "ingest.columns.vendor"):
        new(ROWS, sections({"required": ["memo"]}), "Vendor", "Account", "Account name")


def test_a_visible_group_is_the_vendor(new):
    found = new(ROWS[:2], sections(fields=["memo", "group"]), "Account", "Account name")
    assert found.base["group"].to_pylist() == ["shop 0", "shop 1"]


def test_a_ledger_that_requires_little_loses_no_new_row(new):
    columns = {**ledger.INGEST["columns"], "memo": {"role": "category", "names": ["memo"]}}
    params = sections({"required": ["account"], "columns": columns}, date_column=None)
    rows = ROWS[:6]
    rows[0], rows[1] = row(vendor="TOTAL 4512"), row(vendor="Total Wine")
    rows[2] = row(vendor="")  # without labels, its category makes it a transaction
    found = new(rows, params, "Date", "Account", "Account name")
    assert found.base["source_row"].to_pylist() == [2, 3, 5, 6, 7]
    assert origins(found) == [(4, "no vendor")]


def test_the_parameters_of_new_rows():
    params = sections(
        {
            "required": ["date", "memo", "account"],
            "fill_down": ["vendor", "account"],
            "patterns": {"account": "[0-9]{4}", "memo": ".*"},
        },
        fields=["memo", "amount_bucket"],
    )
    ingest, feature = params_of_new_rows(params.ingest, params.feature, "new.csv")
    assert (ingest.source, ingest.max_reject_fraction) == ("new.csv", 1.0)
    assert list(ingest.columns) == ["date", "memo", "amount", "account"]
    assert ingest.required == ["date", "memo"]
    assert ingest.fill_down == ["account"] and sorted(ingest.patterns) == ["account", "memo"]
    assert feature.group_column is None and feature.amount_column == "amount"


def test_a_file_without_a_good_row_is_refused(new):
    with refused("too-many-rejects", "2 of 2"):
        new([row(amount="5 5"), row(amount="1-1")], sections(), "Account", "Account name")
