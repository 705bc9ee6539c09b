"""Say which files write dates or amounts in another way than the parameters say."""

from collections import defaultdict
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.formats import Place, format_of
from stages.lib.params.preprocess import PreprocessParams

_KEY = "preprocess.other_formats"
_MANY = 3  # entries that are written out


class Finding(NamedTuple):
    """What is wrong or in doubt with a column of a file.

    Attributes
    ----------
    code : str
        As that of an error.
    place : (file, column)
    row : int
        The first row that it is about.
    problem : str
    cure : dict of str to str
        Keys of an entry of ``preprocess.other_formats``; empty if none would help.
    is_sure : bool
        Wrong values would pass if nobody acted.
    """

    code: str
    place: Place
    row: int
    problem: str
    cure: dict[str, str]
    is_sure: bool


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _entry(file: str, keys: dict[str, str]) -> str:
    pairs = [f"match: {_quoted(file)}", *(f"{key}: {value}" for key, value in keys.items())]
    return "{" + ", ".join(pairs) + "}"


def entries_of(findings: list[Finding], dates: set[str]) -> dict[str, str]:
    """Return the entries of ``other_formats`` that each file needs, as YAML.

    Parameters
    ----------
    findings : list of Finding
    dates : set of str
        The ledger's columns of dates. If only some of a file's need an entry, it names them.
    """
    by_file = defaultdict(lambda: defaultdict(dict))
    for finding in findings:
        file, column = finding.place
        by_file[file][column if column in dates else None].update(finding.cure)
    entries = {}
    for file, cures in by_file.items():
        amounts = cures.pop(None, {})
        columns = defaultdict(list)
        for column, cure in cures.items():
            if cure:
                columns[tuple(sorted(cure.items()))].append(column)
        if len(columns) == 1 and {*next(iter(columns.values()))} == dates:
            parts = [dict(next(iter(columns))) | amounts]
        else:
            parts = [{"columns": f"[{', '.join(c)}]", **dict(keys)} for keys, c in columns.items()]
            parts += [amounts] if amounts else []
        entries[file] = ", ".join(_entry(file, keys) for keys in parts)
    return entries


class Told(NamedTuple):
    """A line about findings of one column: whether wrong values would pass, and the line."""

    column: str
    is_sure: bool
    error: UserError


def tell_findings(
    findings: list[Finding],
    judged: set[Place],
    dates: set[str],
    params: PreprocessParams,
    is_ledger: bool,
) -> list[Told]:
    """Return one line for each kind of finding and column, with what to do; the sure ones first.

    Parameters
    ----------
    findings : list of Finding
    judged : set of Place
        All columns of files whose cells tell the order of dates, or the decimal sign.
    dates : set of str
        The ledger's columns of dates.
    params : PreprocessParams
    is_ledger : bool
        These are all files. Then the general keys are named if they would cure all.
    """
    # What is in doubt is no part of the entry that what is sure needs.
    sure = entries_of([finding for finding in findings if finding.is_sure], dates)
    entries = entries_of(findings, dates)
    kinds = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: not finding.is_sure):
        kinds[finding.code, finding.place[1], str(finding.cure), finding.is_sure].append(finding)
    told = []
    for (code, *_), alike in kinds.items():
        first, more = alike[0], len(alike) - 1
        problem = first.problem + (f"; {more:,} more files are like that" if more else "")
        action = _general(first, findings, judged, dates, params) if is_ledger else ""
        action = action or _entries(alike, sure if first.is_sure else entries, params)
        where = f"{first.place[0]} row {first.row}"
        error = UserError(code, where, problem, action)
        told.append(Told(first.place[1], first.is_sure, error))
    return told


def _general(
    first: Finding,
    findings: list[Finding],
    judged: set[Place],
    dates: set[str],
    params: PreprocessParams,
) -> str:
    """Return which general key to set if all files need the same, else ""."""
    same = {finding.place for finding in findings if finding.cure == first.cure}
    of_role = {place for place in judged if (place[1] in dates) == (first.place[1] in dates)}
    key, value = next(iter(first.cure.items()), ("typed_dates", ""))
    if key == "typed_dates" or not same >= of_role or format_of(*first.place, params).by_entry:
        return ""
    return f"set preprocess.{key}: {value}" + ("" if first.is_sure else ", if that is likelier")


def _entries(alike: list[Finding], entries: dict[str, str], params: PreprocessParams) -> str:
    """Return which entries to add to ``other_formats``."""
    first = alike[0]
    if not first.cure:
        return "give the rows of each kind a file of their own"
    key = next(iter(first.cure))
    files = list(dict.fromkeys(finding.place[0] for finding in alike))
    written = ", ".join(entries[file] for file in files[:_MANY])
    rest = f", and the same for {len(files) - _MANY:,} more files" if len(files) > _MANY else ""
    now = "as_is" if key == "typed_dates" else getattr(format_of(*first.place, params), key)
    other = "" if first.is_sure and key != "typed_dates" else f"; if they are right, {key}: {now}"
    return f"write {written} first in {_KEY}{rest}{other}"
