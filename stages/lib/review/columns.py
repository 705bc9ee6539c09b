"""The columns of a review sheet: the input's own, then ours, under titles in words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.review.chart import Chart
from stages.lib.review.words import LANGUAGES, load_words, say_reasons

DECISIONS = ("post", "review", "refused", "none")
_FIRST = {
    "decision": pa.string(),
    "reason": pa.list_(pa.string()),
    "acct_code": pa.string(),
    "acct_name": pa.string(),
    "probability": pa.float64(),
    "corrected": pa.string(),
    "choice_2": pa.string(),
    "probability_2": pa.float64(),
    "choice_3": pa.string(),
    "probability_3": pa.float64(),
    "why_1": pa.string(),
    "why_2": pa.string(),
    "why_3": pa.string(),
    "source_file": pa.string(),
    "source_sheet": pa.string(),
    "source_row": pa.int64(),
}
_SEEN = {"seen_date": pa.date32(), "seen_amount": pa.float64()}


class Layout(NamedTuple):
    """What a review sheet is made of.

    Attributes
    ----------
    inputs : Schema
        The input's columns: titles as `input_titles` makes them, and types string, date32,
        float64, or what `with_text` makes of the last two.
    fields : sequence of str
        ``feature.fields``.
    chart : sequence of (str, str)
        Code and name of each account that may be chosen.
    """

    inputs: pa.Schema
    fields: Sequence[str]
    chart: Chart


def with_text(type_: pa.DataType) -> pa.DataType:
    """Return the type of a column of days or numbers that keeps the text of each cell.

    The sheet shows the text where the value is null: of a date that could not be read.
    """
    return pa.struct([("value", type_), ("text", pa.string())])


def value_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of a column."""
    return pc.struct_field(column, "value") if pa.types.is_struct(column.type) else column


def text_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the cells of a column as texts."""
    if pa.types.is_struct(column.type):
        return pc.struct_field(column, "text")
    return column.cast(pa.string())


def own_schema(fields: Sequence[str]) -> pa.Schema:
    """Return keys and types of our columns, in their order.

    ``reason`` is a list of texts that `encode_reason` made.
    """
    seen = {f"seen_{field}": pa.string() for field in fields}
    return pa.schema({**_FIRST, **_SEEN, **seen, "key": pa.string()})


def own_titles(words: Mapping, fields: Sequence[str]) -> dict[str, str]:
    """Return the title of each of our columns, by key."""
    seen = {f"seen_{field}": words["seen"].format(field=field) for field in fields}
    titles = {**seen, **words["titles"]}
    return {key: titles[key] for key in own_schema(fields).names}


def keys_of_titles(fields: Sequence[str]) -> dict[str, str]:
    """Return the key of each title of our columns, in any language."""
    return {
        title: key
        for language in LANGUAGES
        for key, title in own_titles(load_words(language), fields).items()
    }


def input_titles(found: Sequence[str], words: Mapping, fields: Sequence[str]) -> list[str]:
    """Return the titles under which the input's columns are in the sheet, each only once.

    A column without a title gets its number. A title that is one of ours, in any language, and one
    that another column has, get something behind them.

    Parameters
    ----------
    found : sequence of str
        The titles in the file; empty for a column without one.
    """
    ours, titles = {*own_schema(fields).names, *keys_of_titles(fields)}, []
    # The titles of the file itself come first: none of them is taken by one that is made up.
    taken = {*ours, *found}
    for place, title in enumerate(found):
        name = title.strip() and title
        if name and name not in ours and name not in titles:
            titles.append(name)
            continue
        if not name:
            name = words["nameless"].format(number=place + 1)
        elif name in ours:
            name = words["from_file"].format(title=name)
        base, number = name, 1
        while name in taken:
            number += 1
            name = words["again"].format(title=base, number=number)
        titles.append(name)
        taken.add(name)
    return titles


def say_batch(batch: pa.Table, layout: Layout, words: Mapping) -> pa.Table:
    """Return a batch as the sheet shows it: titles, decisions and reasons in words.

    Parameters
    ----------
    batch : Table
        The input's columns, then ours as in `own_schema`.
    """
    inputs, own = layout.inputs, own_schema(layout.fields)
    found = batch.schema.remove_metadata()
    if found != pa.schema([*inputs, *own]):
        raise RuntimeError(f"the batch has other columns than its layout: {found}")
    columns, first = batch.columns, len(inputs)
    decision, reason = own.get_field_index("decision"), own.get_field_index("reason")
    said = dict.fromkeys(map(tuple, columns[first + reason].to_pylist()))
    said = {reasons: say_reasons(words, reasons) for reasons in said}
    for place, values in (
        (decision, [words["decisions"][value] for value in columns[first + decision].to_pylist()]),
        (reason, [said[tuple(reasons)] for reasons in columns[first + reason].to_pylist()]),
    ):
        columns[first + place] = pa.chunked_array([pa.array(values, pa.string())])
    return pa.Table.from_arrays(columns, schema=said_schema(layout, words))


def said_schema(layout: Layout, words: Mapping) -> pa.Schema:
    """Return titles and types of the sheet's columns."""
    titles = own_titles(words, layout.fields)
    own = [
        pa.field(titles[field.name], pa.string() if pa.types.is_list(field.type) else field.type)
        for field in own_schema(layout.fields)
    ]
    return pa.schema([*layout.inputs, *own])
