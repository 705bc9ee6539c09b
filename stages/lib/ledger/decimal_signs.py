"""Find columns of amounts that a file writes with another decimal sign than the parameters say.

A cell such as 1.234 is a number with either sign. The other cells of the file tell which.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.amounts import amount_marks, parse_amount
from stages.lib.ledger.format_findings import Finding
from stages.lib.ledger.formats import Format, Place, format_of
from stages.lib.params.preprocess import PreprocessParams

# What the digits and signs of a cell look like: of which decimal sign, three digits after the only
# sign, or digits alone.
_FORMS = {
    "point": r"^(?:\d+\.(?:\d{1,2}|\d{4,})|0+\.\d+|\d{4,}\.\d{3}|\d{1,3}(?:,\d{2,3})*,\d{3}\.\d+"
    r"|\d{1,3}(?:,\d{2,3})+,\d{3})$",
    "comma": r"^(?:\d+,(?:\d{1,2}|\d{4,})|0+,\d+|\d{4,},\d{3}|\d{1,3}(?:\.\d{2,3})*\.\d{3},\d+"
    r"|\d{1,3}(?:\.\d{2,3})+\.\d{3})$",
    "three after point": r"^[1-9]\d{0,2}\.\d{3}$",
    "three after comma": r"^[1-9]\d{0,2},\d{3}$",
    "whole": r"^\d+$",
}
_TYPED = r"^-?\d+(?:\.\d+)?E0$"


class Form(NamedTuple):
    """Of the cells of a form: how many rows and how many different ones there are, the first row
    and its cell."""

    rows: int
    different: int
    row: int
    cell: str


# The forms that the cells of a column of a file have.
Forms = dict[str, Form]


def _form(texts: pa.Array) -> pa.Array:
    """Return the form of each of `texts`, null for what a workbook typed and for all others."""
    bare = pc.replace_substring_regex(texts, r"[^0-9.,]", "")
    bare = pc.utf8_trim(bare, ".,")
    conditions = pc.make_struct(
        pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _TYPED),
        *(pc.match_substring_regex(bare, pattern) for pattern in _FORMS.values()),
    )
    names = [pa.scalar(None, pa.string()), *map(pa.scalar, _FORMS)]
    return pc.case_when(conditions, *names)


def seen_amounts(raw: pa.Table, name: str) -> dict[Place, Forms]:
    """Return the forms of the cells that each file has in the column of amounts `name`."""
    cells = raw[name].combine_chunks().dictionary_encode()
    files = raw["source_file"].combine_chunks()
    forms = _form(cells.dictionary).take(cells.indices)
    at = pa.array(np.arange(len(raw)))
    rows = pa.table({"file": files.indices, "form": forms, "cell": cells.indices, "at": at})
    rows = rows.filter(pc.is_valid(rows["form"]))
    found = rows.group_by(["file", "form"]).aggregate(
        [("at", "count"), ("cell", "count_distinct"), ("at", "min")]
    )
    seen: dict[Place, Forms] = {}
    for one in found.sort_by("at_min").to_pylist():
        place, at = (files.dictionary[one["file"]].as_py(), name), one["at_min"]
        form = Form(
            one["at_count"],
            one["cell_count_distinct"],
            raw["source_row"][at].as_py(),
            raw[name][at].as_py(),
        )
        seen.setdefault(place, {})[one["form"]] = form
    return seen


def merge_amounts(seen: dict[Place, Forms], more: dict[Place, Forms]) -> None:
    """Add the forms of later rows to `seen`."""
    for place, forms in more.items():
        known = seen.setdefault(place, {})
        for name, form in forms.items():
            old = known.get(name)
            known[name] = (
                form
                if old is None
                else old._replace(
                    rows=old.rows + form.rows, different=max(old.different, form.different)
                )
            )


def find_decimal_signs(
    seen: dict[Place, Forms], params: PreprocessParams
) -> tuple[list[Finding], set[Place]]:
    """Return what is wrong or in doubt with the amounts of each file and column, and all files and
    columns that have amounts with decimals."""
    found, sure = [], set()
    for place, forms in seen.items():
        if finding := _unread(place, forms, format_of(*place, params), params):
            found.append(finding)
            if finding.cure:
                sure.add(place[0])
    for place, forms in seen.items():
        how = format_of(*place, params)
        if "decimal" not in how.by_entry and all(f.place != place for f in found):
            found += filter(None, [_doubtful(place, forms, how, place[0] in sure)])
    return found, {place for place, forms in seen.items() if forms.keys() - {"whole"}}


def _other(decimal: str) -> str:
    return {"point": "comma", "comma": "point"}[decimal]


def _unread(place: Place, forms: Forms, how: Format, params: PreprocessParams) -> Finding | None:
    decimal, other = how.decimal, _other(how.decimal)
    if other not in forms:
        return None
    form, mine = forms[other], forms.get(decimal)
    marks = amount_marks(tuple(params.currency_words), tuple(params.credit_words))
    if parse_amount(form.cell, decimal, *marks) is not None or (
        parse_amount(form.cell, other, *marks) is None
    ):
        return None
    problem = f"{place[1]} {form.cell!r} is no amount with decimal {decimal}, but with {other}"
    if mine:
        problem += (
            f", and {mine.cell!r} in row {mine.row:,} is one only with {decimal}: the file has "
            f"amounts of both kinds ({form.rows:,} and {mine.rows:,} rows)"
        )
        return Finding("two-decimal-signs", place, form.row, problem, {}, False)
    thousands = forms.get(f"three after {decimal}")
    problem += f": {form.rows:,} rows are so, and no amount there needs {decimal}"
    if thousands:
        problem += f"; {thousands.rows:,} like {thousands.cell!r} get a thousandth of their value"
    texts = sum(form.rows for form in forms.values())
    is_sure = form.different >= 3 and (thousands is not None or 2 * form.rows > texts)
    return Finding("other-decimal-sign", place, form.row, problem, {"decimal": other}, is_sure)


def _doubtful(place: Place, forms: Forms, how: Format, is_other: bool) -> Finding | None:
    """Find amounts that all have three digits after the decimal sign, or none: it is likelier that
    the sign is between thousands."""
    decimal, other = how.decimal, _other(how.decimal)
    form = forms.get(f"three after {decimal}")
    if form is None or decimal in forms:
        return None
    if not is_other and ("whole" not in forms or form.different < 3):
        return None
    problem = (
        f"{place[1]} {form.cell!r} is read with decimal {decimal}, so {form.rows:,} amounts there "
        "have three decimals and no other has any"
        + (f"; other amounts of the file have the {other}" if is_other else "")
    )
    return Finding("amounts-in-doubt", place, form.row, problem, {"decimal": other}, False)
