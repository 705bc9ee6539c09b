"""Which equal rows are one transaction, and which are several."""

from itertools import chain

import numpy as np
import pytest
from ledger_files import read
from raw_tables import raw_table, row

from stages.lib.ledger.duplicates import FIRST, KEPT, REFUSED, find_repeated, list_rows


def kinds(*files: list[list[str]], rule: str = "reject", **roles: str) -> list[list[int]]:
    groups = [list_rows(raw_table(*rows, file=f"{i}.csv", **roles)) for i, rows in enumerate(files)]
    return [kind.tolist() for kind in find_repeated(groups, rule)]


A, B = row(memo="a"), row(memo="b")


def test_rows_of_one_sheet_without_a_number_are_real():
    assert kinds([A, B, A, A]) == [[FIRST, FIRST, KEPT, KEPT]]
    assert kinds([A, B, A], rule="reject_all") == [[FIRST, FIRST, REFUSED]]
    assert kinds([A, B, A], rule="keep") == [[FIRST, FIRST, FIRST]]


def test_a_row_that_two_files_list_is_one_transaction():
    assert kinds([A], [B, A]) == [[FIRST], [FIRST, REFUSED]]


@pytest.mark.parametrize(
    ("counts", "kept"), [((2, 2), 2), ((1, 3), 3), ((3, 1), 3), ((2, 1, 4, 3), 4)]
)
def test_as_many_are_kept_as_the_file_with_the_most_of_them_has(counts, kept):
    found = [*chain(*kinds(*([A] * count for count in counts)))]
    assert (found.count(FIRST), found.count(KEPT)) == (1, kept - 1)
    assert found.count(REFUSED) == sum(counts) - kept


def test_rows_with_a_number_are_one_transaction_wherever_they_are():
    numbered = [row(name="7"), row(name="8"), row(name="7"), row(name=" "), row(name=" ")]
    expected = [[FIRST, FIRST, REFUSED, FIRST, KEPT], [REFUSED]]
    assert kinds(numbered, [row(name="7")], name="id") == expected


def test_groups_of_one_file_make_no_difference():
    rows = [A, B, A, A, B, row(memo="c"), A]
    whole = find_repeated([list_rows(raw_table(*rows))], "reject")[0]
    cut = find_repeated(
        [list_rows(raw_table(*part)) for part in (rows[:3], [], rows[3:])], "reject"
    )
    assert np.concatenate(cut).tolist() == whole.tolist()
    assert [len(part) for part in cut] == [3, 0, 4]


# Columns that are not listed


def lines(
    folder, *files: list[list[str]], header: str = "no,vendor,amount,account,tax"
) -> list[int]:
    """Return what the rows of some files are."""
    for i, rows in enumerate(files):
        (folder / f"{i}.csv").write_text("\n".join([header, *map(",".join, rows)]) + "\n")
    columns = {
        "no": {"role": "id", "names": ["no"]},
        "vendor": {"role": "group", "names": ["vendor"]},
        "amount": {"role": "amount", "names": ["amount"]},
        "account": {"role": "label", "names": ["account"]},
    }
    ledger = read(folder, columns=columns, required=["account"], min_content_match=0.0)
    kinds = find_repeated([list_rows(ledger.transactions)], "reject")[0]
    return kinds.tolist()


def test_lines_of_a_document_that_only_another_column_tells_apart_are_real(tmp_path):
    first = [
        ["7", "A", "1", "0101", "5 %"],
        ["7", "A", "1", "0101", "9 %"],
        ["8", "A", "1", "0101", ""],
    ]
    assert lines(tmp_path, first) == [FIRST, FIRST, FIRST]
    assert lines(tmp_path, first, first) == [FIRST, FIRST, FIRST, REFUSED, REFUSED, REFUSED]
    again = [["7", "A", "1", "0101", "5 %"]] * 2
    assert lines(tmp_path, again, [["9", "A", "1", "0101", ""]]) == [FIRST, REFUSED, FIRST]


def test_what_only_one_export_says_does_not_hide_that_a_row_is_the_same(tmp_path):
    first, second = [["7", "A", "1", "0101", "monday"]], [["7", "A", "1", "0101", "tuesday"]]
    assert lines(tmp_path, first, second) == [FIRST, REFUSED]


def test_rows_without_a_number_are_counted_whatever_other_columns_say(tmp_path):
    first = [["", "A", "1", "0101", "1"], ["", "A", "1", "0101", "2"]]
    second = [["", "A", "1", "0101", "8"], ["", "A", "1", "0101", "9"]]
    assert lines(tmp_path, first, second) == [FIRST, KEPT, REFUSED, REFUSED]
