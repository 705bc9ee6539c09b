"""Parameters of the section ``feature``: what the model may see."""

from pydantic import Field, model_validator

from stages.lib.contracts.names import AMOUNT_BUCKET, GROUP, OWN
from stages.lib.errors import UserError
from stages.lib.params.section import Section


class FeatureParams(Section):
    fields: list[str] = Field(min_length=1)
    date_column: str | None
    amount_column: str | None
    credit_column: str | None
    group_column: str | None
    amount_edges: list[float] = Field(min_length=1)
    max_leak_rate: float = Field(ge=0, le=1)
    max_copy_rate: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _keys_agree(self) -> "FeatureParams":
        if len(set(self.fields)) < len(self.fields):
            raise ValueError("fields: a field is listed twice")
        if any(a >= b for a, b in zip(self.amount_edges, self.amount_edges[1:], strict=False)):
            raise ValueError("amount_edges: each edge must be above the one before it")
        if self.credit_column and not self.amount_column:
            raise ValueError("credit_column: needs amount_column, the debit")
        if self.credit_column and self.credit_column == self.amount_column:
            raise ValueError("credit_column: is amount_column, so that every amount would be 0")
        if own := sorted(set(self.fields) & set(OWN)):
            raise ValueError(
                f"fields: {', '.join(own)} is a column that the base table makes itself, not one "
                "of the ledger; give the ledger's column another name in ingest.columns"
            )
        return self


def check_columns(params: FeatureParams, roles: dict[str, str]) -> list[UserError]:
    """Return an error for each key that names a column which the ledger lacks or which has an
    unsuitable role.

    Parameters
    ----------
    params : FeatureParams
    roles : dict of str to str
        The role of each column of the ledger.
    """
    visible = ("text", "category", "group", "date")
    named = [("fields", n, visible) for n in params.fields if n not in (AMOUNT_BUCKET, GROUP)]
    named += [
        ("date_column", params.date_column, ("date",)),
        ("amount_column", params.amount_column, ("amount",)),
        ("credit_column", params.credit_column, ("amount",)),
        ("group_column", params.group_column, ("group", "text", "category")),
    ]
    errors = []
    for key, name, allowed in named:
        if name is not None and roles.get(name) not in allowed:
            have = ", ".join(n for n, role in roles.items() if role in allowed) or "none"
            found = f"has the role {roles[name]}" if name in roles else "is not in ingest.columns"
            errors.append(
                UserError(
                    "unsuitable-column",
                    f"params.yaml: feature.{key}",
                    f"'{name}' {found}; expected a column of the role {' or '.join(allowed)}",
                    f"such columns: {have}",
                )
            )
    return errors
