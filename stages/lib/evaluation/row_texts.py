"""Show rows of the split as the ledger has them: in its spelling, each cell with its column."""

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.contracts.names import AMOUNT, AMOUNT_BUCKET, DATE, LABEL, ORIGIN, ROW_ID

PLACE = (ROW_ID, *ORIGIN, DATE, AMOUNT)  # where to find a row in the ledger


def shown_fields(fields: list[str]) -> list[str]:
    """Return the visible fields that are shown: not the word for the amount, which is shown too."""
    return [name for name in fields if name != AMOUNT_BUCKET]


def ledger_columns(fields: list[str], names: list[str]) -> list[str]:
    """Return the columns of the ledger, out of `names`, that `in_ledger_spelling` reads."""
    return [*ORIGIN, *(name for name in fields if name in names)]


def in_ledger_spelling(rows: pa.Table, fields: list[str], ledger: pa.Table) -> pa.Table:
    """Return rows of the split with the cells of `fields` as the ledger has them.

    A cell stays as it is where the ledger has none for it: in a row that is a correction, or in a
    column that the base table makes itself.

    Parameters
    ----------
    rows : Table
        A split table.
    fields : list of str
        Visible fields.
    ledger : Table
        What `ingest` read: origin, and columns of text.
    """
    place = {key: index for index, key in enumerate(_origins(ledger))}
    found = pa.array([place.get(key) for key in _origins(rows)], pa.int64())
    for name in fields:
        if name in ledger.column_names:
            cells = ledger[name].take(found)
            filled = pc.fill_null(pc.not_equal(cells, ""), False)
            cells = pc.if_else(filled, cells, rows[name].cast(pa.string()))
            rows = rows.set_column(rows.column_names.index(name), name, cells)
    return rows


def ledger_texts(rows: pa.Table, fields: list[str], ledger: pa.Table) -> list[str]:
    """Return the cells of `fields` in one text for each row, as the ledger has them.

    Parameters
    ----------
    rows : Table
        With the origin of each row; of the ledger's cells it needs none.
    fields : list of str
    ledger : Table
        As for `in_ledger_spelling`.
    """
    if not fields:
        return [""] * rows.num_rows
    blank = pa.array([""] * rows.num_rows, pa.string())
    origin = {name: rows[name] for name in ORIGIN}
    shown = in_ledger_spelling(pa.table({**origin, **dict.fromkeys(fields, blank)}), fields, ledger)
    return [" | ".join(filter(None, row.values())) for row in shown.select(fields).to_pylist()]


def _origins(rows: pa.Table) -> zip:
    return zip(*(rows[name].to_pylist() for name in ORIGIN), strict=True)


def describe(rows: pa.Table, places: list[int], fields: list[str]) -> list[dict]:
    """Return what a reader needs to find and to understand these rows of a split table.

    ``text`` has the cells of `fields`, in their order.
    """
    taken = rows.take(pa.array(places, pa.int64()))
    texts = zip(*(taken[name].to_pylist() for name in fields), strict=True)
    texts = texts if fields else [()] * len(places)
    return [
        {**record, "text": list(text)}
        for record, text in zip(taken.select(list(PLACE)).to_pylist(), texts, strict=True)
    ]


def describe_past(
    train: pa.Table, neighbours: list[list[tuple[int, float]]], fields: list[str]
) -> list[list[str]]:
    """Return each neighbour as a text: its account and similarity, its date and its fields."""
    texts = []
    for found in neighbours:
        rows = train.take(pa.array([place for place, _ in found], pa.int64())).to_pylist()
        texts.append(
            [
                " ".join(
                    [
                        f"{row[LABEL]} ({value:.2f})",
                        " | ".join(str(row[name]) for name in (DATE, *fields) if row[name]),
                    ]
                ).rstrip()
                for row, (_, value) in zip(rows, found, strict=True)
            ]
        )
    return texts
