"""Make the base table: what the model may see of each row, and the account it was posted to."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import AMOUNT, AMOUNT_BUCKET, DATE, GROUP, LABEL, ORIGIN, ROW_ID
from stages.lib.contracts.roles import column_of_role, column_roles
from stages.lib.errors import UserErrors
from stages.lib.ledger.buckets import amount_buckets, net_amounts
from stages.lib.params.feature import FeatureParams, check_columns


def make_base_table(clean: pa.Table, params: FeatureParams) -> pa.Table:
    """Return the base table of clean rows.

    Parameters
    ----------
    clean : Table
        As `clean_rows` returns them, with the role of each column.
    params : FeatureParams

    Returns
    -------
    Table
        Its columns are those in ``contracts/feature.py``.

    Raises
    ------
    UserError
        A key names a column that the ledger lacks, or one of an unsuitable role.
    """
    check_base_columns(clean.schema, params)
    return base_rows(clean, 0, params)


def check_base_columns(clean: pa.Schema, params: FeatureParams) -> None:
    """Raise UserError if a key names a column that is missing or has an unsuitable role."""
    if errors := check_columns(params, column_roles(clean)):
        raise UserErrors(errors)


def base_rows(rows: pa.Table, first: int, params: FeatureParams) -> pa.Table:
    """Return the rows of the base table for the clean `rows`, numbered from `first`."""
    count = len(rows)
    nothing = pa.array([""] * count, pa.string())
    amounts = net_amounts(rows, params.amount_column, params.credit_column)
    made = {
        AMOUNT_BUCKET: amount_buckets(
            amounts.fill_null(np.nan).to_numpy(zero_copy_only=False), params.amount_edges
        ),
        GROUP: rows[params.group_column] if params.group_column else nothing,
    }
    columns = {
        ROW_ID: pa.array(np.arange(first, first + count)),
        **{name: rows[name] for name in ORIGIN},
        **{name: made[name] if name in made else rows[name] for name in params.fields},
        DATE: rows[params.date_column] if params.date_column else pa.nulls(count, pa.date32()),
        AMOUNT: amounts,
        **{name: column for name, column in made.items() if name not in params.fields},
        LABEL: column_of_role(rows, "label"),
    }
    fields = {
        name: pc.fill_null(column.cast(pa.string()), "") if name in params.fields else column
        for name, column in columns.items()
    }
    return pa.table(fields).combine_chunks()


def base_schema(clean: pa.Schema, params: FeatureParams) -> pa.Schema:
    """Return the schema of the base table of clean rows that have the schema `clean`."""
    return base_rows(clean.empty_table(), 0, params).schema


def field_roles(roles: dict[str, str], fields: list[str]) -> dict[str, str]:
    """Return the role of each visible field.

    What the base table makes itself has its own name as its role: ``amount_bucket``, ``group``.

    Parameters
    ----------
    roles : dict of str to str
        The role of each column of the ledger.
    fields : list of str
        ``feature.fields``.
    """
    return {name: name if name in (AMOUNT_BUCKET, GROUP) else roles[name] for name in fields}
