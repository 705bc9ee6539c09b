"""The role of a column, kept as metadata of its field in a table's schema."""

import pyarrow as pa


def with_role(name: str, kind: pa.DataType, role: str) -> pa.Field:
    """Return the field of a column of the ledger."""
    return pa.field(name, kind, metadata={"role": role})


def column_roles(schema: pa.Schema) -> dict[str, str]:
    """Return ``{column: role}`` of the ledger's columns, in their order."""
    return {f.name: f.metadata[b"role"].decode() for f in schema if f.metadata}


def column_of_role(table: pa.Table, role: str) -> pa.Array | None:
    """Return the first column of `table` that has `role`, None if there is none."""
    roles = column_roles(table.schema)
    name = next((name for name in roles if roles[name] == role), None)
    return None if name is None else table[name].combine_chunks()
