"""A line about files in another form has the entry to copy, one for each file."""

import pytest
from raw_tables import preprocess_params

from stages.lib.ledger.format_findings import Finding, entries_of, tell_findings

DATES = {"date", "posted"}
MDY, COMMA = {"date_order": "mdy"}, {"decimal": "comma"}


def finding(file: str, column: str, cure: dict, is_sure: bool = True) -> Finding:
    return Finding("a-code", (file, column), 2, "problem", cure, is_sure)


def tell(*findings: Finding, more: tuple = (("other", "date"), ("other", "amount")), **options):
    judged = {f.place for f in findings}.union(more)
    given = {"is_ledger": True} | options
    return tell_findings(list(findings), judged, DATES, preprocess_params(), **given)


@pytest.mark.parametrize(
    ("cures", "entry"),
    [
        ({"date": MDY, "posted": MDY}, '{match: "a", date_order: mdy}'),
        ({"date": MDY}, '{match: "a", columns: [date], date_order: mdy}'),
        ({"date": MDY, "posted": MDY, "x": COMMA}, '{match: "a", date_order: mdy, decimal: comma}'),
        (
            {"date": MDY, "x": COMMA},
            '{match: "a", columns: [date], date_order: mdy}, {match: "a", decimal: comma}',
        ),
        ({"x": COMMA, "y": COMMA}, '{match: "a", decimal: comma}'),
    ],
)
def test_an_entry_names_columns_only_where_dates_differ(cures, entry):
    findings = [finding("a", column, cure) for column, cure in cures.items()]
    assert entries_of(findings, DATES) == {"a": entry}


def test_the_general_key_is_named_only_if_all_files_need_it():
    (told,) = tell(finding("a", "date", MDY))
    assert '{match: "a", columns: [date], date_order: mdy}' in str(told.error)
    (told,) = tell(finding("a", "date", MDY), more=())
    assert "set preprocess.date_order: mdy" in str(told.error)
    (told,) = tell(finding("a", "date", MDY), more=(), is_ledger=False)
    assert "match" in str(told.error)


def test_files_that_are_alike_share_a_line():
    (told,) = tell(*(finding(f"{i}.csv", "amount", COMMA) for i in range(9)))
    text = str(told.error)
    assert text.count("match") == 3 and "8 more files" in text and "6 more files" in text


def test_what_is_in_doubt_is_not_written_beside_what_is_sure():
    sure, doubt = tell(finding("a", "amount", COMMA, False), finding("a", "date", MDY))
    assert (sure.is_sure, doubt.is_sure) == (True, False)
    assert "comma" not in str(sure.error) and "comma" in str(doubt.error)
