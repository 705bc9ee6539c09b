"""Raw rows in, clean rows and counted refusals out."""

from functools import partial

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_tables import preprocess_params, raw_table, row
from refusals import refused

from stages.lib.ledger.cleaning import clean_groups, clean_rows
from stages.lib.ledger.cleaning_report import Tally


def clean(*rows: list[str], labels: dict | None = None, has_labels: bool = True, **params: object):
    return clean_rows(raw_table(*rows), preprocess_params(labels, **params), has_labels=has_labels)


def rejects(cleaned) -> list[tuple]:
    columns = ("source_row", "reason", "column")
    return list(zip(*(cleaned.rejects[name].to_pylist() for name in columns), strict=True))


def test_clean_rows_are_typed_by_role_and_keep_their_origin():
    cleaned = clean(
        row(
            vendor=" ㈜한빛\n문구 ",
            memo="ＡＢＣ",
            amount="(1,234.50)",
            date="43937",
            name="  Meals ",
        )
    )
    table = cleaned.transactions
    assert {field.name: str(field.type) for field in table.schema} == {
        "source_file": "dictionary<values=string, indices=int32, ordered=0>",
        "source_sheet": "dictionary<values=string, indices=int32, ordered=0>",
        "source_row": "int32",
        "date": "date32[day]",
        "vendor": "string",
        "memo": "string",
        "amount": "double",
        "account": "string",
        "name": "string",
    }
    assert list(map(str, table.to_pylist()[0].values())) == [
        "a.csv",
        "",
        "2",
        "2020-04-16",
        "(주)한빛 문구",
        "abc",
        "-1234.5",
        "0101",
        "Meals",
    ]


def test_ids_are_left_behind():
    cleaned = clean_rows(raw_table(row(memo="INV-1"), memo="id"), preprocess_params())
    assert "memo" not in cleaned.transactions.column_names


def test_what_cannot_be_read_is_refused_or_emptied_by_rule():
    rows = [row(memo=str(i)) for i in range(8)] + [row(amount="12,5 m"), row(date="31.02.2020")]
    cleaned = clean(*rows)
    assert rejects(cleaned) == [
        (10, "unreadable amount", "amount"),
        (11, "unreadable date", "date"),
    ]
    assert cleaned.report == {
        "rows_in": 10,
        "rows_out": 8,
        "rows_rejected": 2,
        "reasons": {"unreadable amount in amount": 1, "unreadable date in date": 1},
        "accounts": 1,
        "cells_emptied": {},
    }
    cleaned = clean(*rows, unreadable_amount="empty", unreadable_date="empty")
    assert cleaned.transactions["amount"].to_pylist()[8:] == [None, 1.0]
    assert cleaned.transactions["date"].to_pylist()[9] is None
    assert cleaned.report["cells_emptied"] == {"amount": 1, "date": 1}
    assert cleaned.report["rows_rejected"] == 0


def test_hundreds_of_digits_are_no_amount():
    cleaned = clean(row(), row(amount="9" * 400), row(amount="1,000" + ",000" * 200), row(memo="x"))
    assert [reason for _, reason, _ in rejects(cleaned)] == ["unreadable amount"] * 2


def test_amounts_whose_currency_sign_was_lost_are_counted():
    cleaned = clean(row(), row(amount="\ufffd12.50"), row(amount="-\ufffd3"))
    assert cleaned.transactions["amount"].to_pylist() == [1.0, 12.5, -3.0]
    (remark,) = cleaned.remarks
    assert "2 cells of amount" in remark and "a.csv row 3: '\ufffd12.50'" in remark


ERRORS = ["#N/A", "#REF!", "#VALUE!", "#DIV/0!"]


@pytest.mark.parametrize("error", ERRORS)
def test_a_spreadsheet_error_is_no_amount_date_or_account(error):
    good = [row(memo=str(i)) for i in range(5)]
    bad = [row(amount=error), row(date=error)]
    cleaned = clean(*good, *bad, row(account=f" {error} "), labels={"pattern": ".+"})
    assert rejects(cleaned) == [
        (7, "unreadable amount", "amount"),
        (8, "unreadable date", "date"),
        (9, "spreadsheet error", "account"),
    ]
    assert cleaned.report["rows_out"] == 5
    cleaned = clean(*good, *bad, unreadable_amount="empty", unreadable_date="empty")
    assert cleaned.report["cells_emptied"] == {"amount": 1, "date": 1}
    assert cleaned.transactions["amount"][5].as_py() is None
    assert cleaned.transactions["date"][6].as_py() is None


def test_a_spreadsheet_error_says_nothing_as_text_and_is_counted():
    rows = [row(memo=error, vendor=error, name=error) for error in ERRORS]
    cleaned = clean(*rows, row(memo="#N/A order", vendor="NA", name="N/A"))
    assert cleaned.transactions["memo"].to_pylist() == ["", "", "", "", "#n/a order"]
    assert cleaned.transactions["vendor"].to_pylist() == ["", "", "", "", "na"]
    assert cleaned.report["cells_emptied"] == {"memo": 4, "name": 4, "vendor": 4}
    assert cleaned.accounts["acct_name"].to_pylist() == ["N/A"]


def test_accounts_are_padded_merged_retired_and_checked():
    codes = ["101", " 0101", "２０１０", "2020", "9999", "***", "12345", "x"]
    labels = {"pad_to": 4, "merge": {"2010": "2020"}, "retire": ["9999"]}
    cleaned = clean(*(row(account=code, memo=code) for code in codes), labels=labels)
    assert cleaned.transactions["account"].to_pylist() == ["0101", "0101", "2020", "2020"]
    assert rejects(cleaned) == [
        (6, "retired account", "account"),
        (7, "masked account", "account"),
        (8, "no valid account", "account"),
        (9, "no valid account", "account"),
    ]
    assert cleaned.report["accounts"] == 2


def test_merges_are_followed_to_their_end():
    labels = {"pad_to": 4, "merge": {"1": "2", "0002": "0003"}, "retire": ["9"]}
    codes = ["1", "0001", "2", "9"]
    cleaned = clean(
        *(row(account=code, memo=str(i)) for i, code in enumerate(codes)), labels=labels
    )
    assert cleaned.transactions["account"].to_pylist() == ["0003"] * 3
    assert rejects(cleaned) == [(5, "retired account", "account")]


def test_no_code_is_masked_by_an_empty_pattern():
    rows = [row(), row(memo="2"), row(account="", memo="x"), row(account="***", memo="y")]
    cleaned = clean(*rows, labels={"masked": "", "masked_rule": "from_name"})
    assert [reason for _, reason, _ in rejects(cleaned)] == ["no valid account"] * 2


def test_masked_accounts_are_recovered_by_a_name_that_has_one_code():
    rows = [
        row(account="0101", name="Meals"),
        row(account="2010", name="Rebate"),
        row(account="2020", name="Rebate"),
        row(account="***", name=" Meals "),
        row(account="***", name="Rebate"),
        row(account="***", name="Unknown"),
    ]
    cleaned = clean(*rows, labels={"masked_rule": "from_name"})
    assert cleaned.transactions["account"].to_pylist() == ["0101", "2010", "2020", "0101"]
    assert rejects(cleaned) == [(6, "masked account", "account"), (7, "masked account", "account")]


def test_a_spreadsheet_error_is_no_name_to_recover_an_account_by():
    rows = [row(account="0101", name="#N/A"), row(account="***", name="#N/A")]
    cleaned = clean(*rows, labels={"masked_rule": "from_name"})
    assert rejects(cleaned) == [(3, "masked account", "account")]


def test_names_that_differ_in_case_are_one_name_for_masked_codes():
    rows = [("0101", "Meals"), ("***", "MEALS"), ("2010", "RENT"), ("2020", "rent"), ("*", "Rent")]
    cleaned = clean(
        *(row(account=code, name=name) for code, name in rows), labels={"masked_rule": "from_name"}
    )
    assert cleaned.transactions["account"].to_pylist() == ["0101", "0101", "2010", "2020"]
    assert rejects(cleaned) == [(6, "masked account", "account")]


def test_duplicates_are_rows_equal_in_every_column():
    rows = [row(), row(memo="other"), row(), row(amount="1.0"), row()]
    cleaned = clean(*rows, duplicates="reject_all")
    assert rejects(cleaned) == [(4, "duplicate", ""), (6, "duplicate", "")]
    assert cleaned.report["reasons"] == {"duplicate": 2}
    (remark,) = cleaned.report["remarks"]
    assert "2 rows" in remark and "a.csv row 4" in remark
    cleaned = clean(*rows, duplicates="keep")
    assert cleaned.report["rows_out"] == 5 and "remarks" not in cleaned.report


def test_rows_that_a_sheet_lists_twice_without_a_number_are_real_and_named():
    rows = [row(), row(memo="other"), row(), row(date="x")]
    cleaned = clean(*rows, max_reject_fraction=0.5)
    assert rejects(cleaned) == [(5, "unreadable date", "date")]
    (remark,) = cleaned.report["remarks"]
    assert "1 rows" in remark and "a.csv row 4" in remark and "reject_all" in remark


def test_accounts_in_several_spellings_are_named_with_what_to_merge():
    codes = ["Meals", "MEALS", "meals.", "Meals", "7 %", "19 %"]
    rows = [row(account=code, memo=str(i)) for i, code in enumerate(codes)]
    report = clean(*rows, labels={"pattern": ".+"}).report
    assert report["merge"] == {"MEALS": "Meals", "meals.": "Meals"}
    (remark,) = report["remarks"]
    assert "5 accounts" in remark and "'MEALS' and 'Meals'" in remark
    merged = clean(*rows, labels={"pattern": ".+", "merge": report["merge"]})
    assert merged.report["accounts"] == 3 and "remarks" not in merged.report


def test_accounts_that_the_pattern_refuses_are_described_by_their_forms():
    codes = ["6110-20", "6110-30", "6110-20", "61a1", "홍길동", "", "6110"]
    rows = [row(account=code, memo=str(i)) for i, code in enumerate(codes)]
    with refused(
        "too-many-rejects",
        "preprocess.labels.pattern",
        "6 rows, such as a.csv row 2: '6110-20'",
        "9999-99 (3 rows)",
        "99A9 (1 rows)",
        "AAA (1 rows)",
        "limit is 50.0%",
    ) as caught:
        clean(*rows, labels={"pattern": "[0-9]{4}"})
    assert "홍길동" not in str(caught.value)
    with refused("too-many-rejects", "pattern: '[0-9]{4}|[0-9]{4}-[0-9]{2}'"):
        clean(*rows[:3], labels={"pattern": "[0-9]{4}"})


def test_rows_that_differ_only_in_what_was_masked_are_no_duplicates():
    raw = raw_table(row(memo="call [phone]"), row(memo="call [phone]"), row(memo="call [phone]"))
    place = raw.schema.get_field_index("masked")
    raw = raw.set_column(place, raw.schema.field(place), pa.array(["1f", "2e", "1f"]))
    params = preprocess_params(duplicates="reject_all")
    assert rejects(clean_rows(raw, params)) == [(4, "duplicate", "")]


def test_a_wrong_date_order_fails_with_an_example():
    days = [row(date=f"{day}/04/2020", memo=str(day)) for day in range(1, 31)]
    with refused(
        "too-many-rejects",
        "preprocess.max_reject_fraction",
        "18 of 30",
        "unreadable date in date: 18 rows, such as a.csv row 14",
    ):
        clean(*days, date_order="mdy", max_reject_fraction=0.1)
    assert clean(*days, date_order="dmy").report["rows_out"] == 30


def test_a_refusal_shows_nothing_personal():
    secret = "홍길동 800101-1234567"
    rows = [row(memo=secret, amount=secret), row(date=secret), row(account=secret), row()]
    with refused("too-many-rejects", "3 of 4") as caught:
        clean(*rows, max_reject_fraction=0.0)
    assert "800101" not in str(caught.value)


def test_a_table_without_rows_is_refused():
    with refused("too-many-rejects"):
        clean()


# New rows


def test_new_rows_need_no_account_and_repeat_each_other():
    rows = [row(account="", name=""), row(account="", name=""), row(account="#N/A", memo="x")]
    cleaned = clean(*rows, has_labels=False)
    assert cleaned.transactions["account"].to_pylist() == ["", "", ""]
    assert (len(cleaned.rejects), len(cleaned.accounts)) == (0, 0)


def test_most_new_rows_may_be_refused_but_not_all():
    rows = [row(amount="unknown"), row(amount="none"), row(account="")]
    cleaned = clean(*rows, has_labels=False, max_reject_fraction=0.0)
    assert rejects(cleaned) == [
        (2, "unreadable amount", "amount"),
        (3, "unreadable amount", "amount"),
    ]
    with refused("too-many-rejects", "2 of 2"):
        clean(*rows[:2], has_labels=False)


# Groups


def make_group(start: int, stop: int) -> pa.Table:
    # Duplicates across groups, and a masked code that only another group reveals.
    rows = [row(memo=f"m{i % 90}", vendor=f"v{i % 7}", account=f"{i % 3:04}", name=f"N{i % 3}")
            for i in range(200)]  # fmt: skip
    rows[0][4] = "***"
    return raw_table(*rows[start:stop])


def test_groups_make_no_difference():
    params = preprocess_params({"masked_rule": "from_name"})
    whole = clean_rows(make_group(0, 200), params)
    groups = [partial(make_group, start, start + 40) for start in range(0, 200, 40)]
    tally, steps, parts = Tally(), [], []
    for part in clean_groups(groups, params, progress=lambda: steps.append(1)):
        tally.add(*part)
        parts.append(part)
    assert tally.report() == whole.report
    assert whole.report["rows_rejected"] == 0 and len(steps) == 10
    taken = pa.concat_tables(part.taken for part in parts).drop_columns("source_row")
    assert taken.to_pylist() == whole.transactions.drop_columns("source_row").to_pylist()
    assert taken["account"][0].as_py() == "0000"


def test_a_row_that_another_group_has_is_a_duplicate():
    groups = [partial(make_group, 0, 40), partial(make_group, 30, 60)]
    parts = list(clean_groups(groups, preprocess_params(duplicates="reject_all")))
    assert [len(part.rejects) for part in parts] == [1, 10]  # the masked code, ten duplicates


CELL = st.text(st.sampled_from("0129.,-/ '()년월일#*xN/A!가원$₩△½²١\u00a0\u200b"), max_size=9)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.one_of(CELL, st.sampled_from(["2020-04-16", "7", "0101", "***"])),
                         min_size=6, max_size=6), min_size=1, max_size=12))  # fmt: skip
def test_every_row_comes_out_or_is_refused_whatever_its_cells_hold(table):
    cleaned = clean(row(), *table, max_reject_fraction=1.0)
    places = cleaned.transactions["source_row"].to_pylist()
    places += cleaned.rejects["source_row"].to_pylist()
    count = len(table) + 1
    assert sorted(places) == list(range(2, 2 + count))
    report = cleaned.report
    assert report["rows_out"] + report["rows_rejected"] == count == report["rows_in"]
