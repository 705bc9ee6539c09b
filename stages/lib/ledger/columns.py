"""Restrict the parameters of reading to some of the columns."""

from collections.abc import Collection

from stages.lib.params.ingest import OF_LABELS, Column, IngestParams


def select_columns(params: IngestParams, names: Collection[str]) -> IngestParams:
    """Return `params` without the columns that are not among `names`, wherever they are named.

    Parameters
    ----------
    params : IngestParams
    names : collection of str
        Columns to keep; the label should be among them.
    """
    return params.model_copy(
        update={
            "columns": {n: column for n, column in params.columns.items() if n in names},
            "required": [n for n in params.required if n in names],
            "patterns": {n: pattern for n, pattern in params.patterns.items() if n in names},
            "fill_down": [n for n in params.fill_down if n in names],
            "wrapped": [n for n in params.wrapped if n in names],
            "reading": [
                reading.model_copy(
                    update={"positions": {n: p for n, p in reading.positions.items() if n in names}}
                )
                for reading in params.reading
            ],
        }
    )


def without_labels(params: IngestParams) -> IngestParams:
    """Return `params` for rows that have no account yet.

    The column of the label is empty in every row: no file is searched for it. The column of the
    accounts' names is left out. Where no other column was required, the first one is.
    """
    kept = select_columns(params, [n for n, r in params.roles.items() if r not in OF_LABELS])
    columns = {**kept.columns, params.label: Column(role="label", names=[])}
    required = kept.required or list(kept.columns)[:1]
    return kept.model_copy(update={"columns": columns, "required": required})
