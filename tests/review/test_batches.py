"""The cells of a file and what the coder says of them stand side by side, row by row."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import ledger_files as ledger
import numpy as np
import pyarrow as pa
import pytest
from ledger_files import write_xlsx
from raw_tables import feature_params, preprocess_params
from refusals import refused

from stages.lib.coding import CodedRows
from stages.lib.evaluation.metrics import RowScores
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.new_rows import NewPart, Spooled, SpooledPart
from stages.lib.params.ingest import IngestParams
from stages.lib.review.batches import (
    coded_batch,
    find_inputs,
    given_accounts,
    input_columns,
    proposals_of,
    refuse_coded_sheets,
)
from stages.lib.review.columns import Layout as SheetLayout
from stages.lib.review.columns import own_schema, own_titles, say_batch, with_text
from stages.lib.review.keys import row_key
from stages.lib.review.words import load_words

EN = load_words("en")
FIELDS = ["vendor", "memo"]
INGEST = IngestParams.model_validate(ledger.INGEST)


def spooled(*parts: tuple[list[str], dict[str, int], list[int]], titles: list[str]) -> Spooled:
    """Return what was read of parts: header, places of the ledger's columns, places in `titles`."""
    found = [
        SpooledPart(f"{i}.csv", "", Layout(1, header, places, len(header)), Path("t"), Path("c"))
        for i, (header, places, _) in enumerate(parts)
    ]
    return Spooled(found, titles, [place for *_, place in parts], 0, [], [])


def inputs_of(read: Spooled, ingest: IngestParams = INGEST, **feature):
    return find_inputs(read, ingest, feature_params(fields=FIELDS, **feature), EN)


TITLES = ["Doc", "Day", "Net", "Konto", "Account", "reason", ""]
ONE = spooled(
    (TITLES, {"date": 1, "amount": 2}, list(range(7))),
    titles=TITLES,
)


def test_the_columns_of_the_files_have_their_titles_and_types():
    inputs = inputs_of(ONE)
    assert inputs.schema == pa.schema(
        [
            ("Doc", pa.string()),
            ("Day", with_text(pa.date32())),
            ("Net", with_text(pa.float64())),
            ("Konto", pa.string()),
            ("Account", pa.string()),
            ("reason (file)", pa.string()),
            ("column 7", pa.string()),
        ]
    )
    assert (inputs.day, inputs.amount, inputs.account) == (1, 2, 4)


def test_a_date_that_is_in_another_column_of_another_file_stays_text():
    other = (["Net", "When"], {"amount": 0, "date": 1}, [2, 7])
    inputs = inputs_of(
        spooled((TITLES, {"date": 1, "amount": 2}, [*range(7)]), other, titles=[*TITLES, "When"])
    )
    assert (inputs.day, inputs.amount) == (None, 2)
    assert inputs.schema.types[1] == inputs.schema.types[7] == pa.string()


def test_debits_and_credits_stay_as_they_are():
    assert inputs_of(ONE, credit_column="credit").amount is None
    assert inputs_of(ONE, date_column=None, amount_column=None)[1:3] == (None, None)


def test_accounts_in_two_columns_are_not_compared():
    titles = ["Account", "Account"]
    assert inputs_of(spooled((titles, {}, [0, 1]), titles=titles)).account is None


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_sheet_that_was_coded_before_is_named_and_no_other(language):
    ours = [*own_titles(load_words(language), FIELDS).values()]
    sheet = (ours, {}, [*range(7, 7 + len(ours))])
    with refused("coded-sheet", "1.csv", "stages.learn") as caught:
        inputs_of(spooled((TITLES, {}, [*range(7)]), sheet, titles=[*TITLES, *ours]))
    assert "0.csv" not in str(caught.value)
    # Two files of which each has some of the titles are none.
    inputs_of(spooled((["key"], {}, [0]), (["decision", "corrected"], {}, [1, 2]), titles=ours))


def test_a_coded_workbook_is_found_by_any_of_its_sheets(tmp_path):
    (tmp_path / "a.csv").write_text("key,decision,corrected\n")
    write_xlsx(tmp_path / "b.xlsx", {"x": [["Date"]], "empty": []})
    (tmp_path / "c.xlsx").write_bytes(b"PK\x03\x04 and no more")
    paths = [tmp_path / name for name in ("a.csv", "b.xlsx", "c.xlsx", "nowhere")]
    refuse_coded_sheets(paths, FIELDS)
    ours = [*own_titles(EN, FIELDS).values()]
    write_xlsx(tmp_path / "d.xlsx", {"x": [["Date"]], "rows": [["Day", *ours]]})
    with refused("coded-sheet", str(tmp_path / "d.xlsx")):
        refuse_coded_sheets([*paths, tmp_path / "d.xlsx"], FIELDS)


def new_part() -> NewPart:
    base = pa.table(
        {
            "vendor": ["esso", "ymca"],
            "memo": ["fuel", ""],
            "date": pa.array([date(2024, 1, 2), None], pa.date32()),
            "amount": pa.array([1.5, None], pa.float64()),
            "group": ["esso", "ymca"],
        }
    )
    reasons = ["", "blank row", "joined to the row above", "unreadable date in date", ""]
    cells = [
        ["D1", "02.01.24", "1,50", "", "0102"],
        [],
        ["", "", "", "and more"],
        ["D3", "someday", "x"],
        ["D4", "", "", "", " 0101 ", "", "late"],
    ]
    return NewPart("a.csv", "", [2, 3, 4, 5, 6], cells, reasons, base, [0, 4])


CODER = SimpleNamespace(accounts=["0101", "0102", "9"], names={"0101": "MEALS", "9": ""})


def coded_rows(accounts: int = 3) -> CodedRows:
    top = np.array([[0, 1, 2], [2, 0, 1]])[:, :accounts]
    chance = np.array([[0.912349, 0.05, 0.0371], [0.5, 0.3, 0.2]])[:, :accounts]
    none = np.zeros(2)
    scores = RowScores(none, top, chance, none, none)
    past = [["0101 (1.00) esso", "0101 (0.50) esso"], []]
    return CodedRows(scores, past, np.array([3, 0]), np.array([2, 0]), np.array([False, True]))


def batch_of(
    coded: CodedRows, reasons: list[list[str]], ingest: IngestParams = INGEST, coder=CODER
):
    part, inputs = new_part(), inputs_of(ONE, ingest)
    columns = input_columns(part, range(7), len(inputs.schema))
    given = given_accounts(part, columns, inputs, preprocess_params().labels)
    proposals = proposals_of(part, coded, coder, given, FIELDS)
    batch = coded_batch(part, columns, inputs, proposals, coded, reasons, coder, FIELDS)
    return batch, proposals, inputs


def test_every_row_is_there_once_in_its_order_with_its_cells():
    batch, proposals, inputs = batch_of(coded_rows(), [[], ["below_threshold"]])
    assert batch.schema == pa.schema([*inputs.schema, *own_schema(FIELDS)])
    assert batch["source_row"].to_pylist() == [2, 3, 4, 5, 6]
    assert batch["Doc"].to_pylist() == ["D1", "", "", "D3", "D4"]
    assert batch["column 7"].to_pylist() == ["", "", "", "", "late"]
    assert batch["decision"].to_pylist() == ["post", "none", "none", "refused", "review"]
    assert batch["reason"].to_pylist() == [
        [],
        ["blank row"],
        ["joined_to_row_above"],
        ["unreadable date in date"],
        ["below_threshold"],
    ]
    assert batch["Day"].to_pylist() == [
        {"value": date(2024, 1, 2), "text": "02.01.24"},
        {"value": None, "text": ""},
        {"value": None, "text": ""},
        {"value": None, "text": "someday"},
        {"value": None, "text": ""},
    ]
    assert batch["Net"].to_pylist()[0] == {"value": 1.5, "text": "1,50"}
    assert proposals.given == ["0102", "0101"]
    assert proposals.amounts == [1.5, None] and proposals.vendors == ["esso", "ymca"]


def test_what_the_coder_says_is_in_the_rows_that_it_saw_alone():
    batch, proposals, _ = batch_of(coded_rows(), [[], ["below_threshold"]])
    first, blank, *_, last = batch.to_pylist()
    assert first["key"] == proposals.keys[0] == row_key("a.csv", "", 2, ["esso", "fuel"])
    assert (first["acct_code"], first["acct_name"], first["probability"]) == (
        "0101", "MEALS", 0.9123
    )  # fmt: skip
    assert (first["choice_2"], first["choice_3"], first["probability_3"]) == ("0102", "9", 0.0371)
    assert [first[f"why_{n}"] for n in (1, 2, 3)] == ["0101 (1.00) esso", "0101 (0.50) esso", None]
    assert (first["seen_date"], first["seen_amount"]) == (date(2024, 1, 2), 1.5)
    assert (last["acct_code"], last["acct_name"], last["seen_memo"]) == ("9", "", "")
    assert last["why_1"] is None and last["corrected"] == ""
    for key in own_schema(FIELDS).names:
        if key not in ("decision", "reason", "corrected", "source_file", "source_sheet"):
            assert blank[key] in (None, 3), key


def test_a_chart_of_one_account_has_no_second_choice():
    batch, _, _ = batch_of(coded_rows(accounts=1), [[], []])
    assert batch["choice_2"].null_count == batch["probability_3"].null_count == 5
    assert batch["decision"].to_pylist()[0] == "post"


def test_a_batch_can_be_said_in_both_languages():
    batch, _, inputs = batch_of(coded_rows(), [[], ["random_check"]])
    layout = SheetLayout(inputs.schema, FIELDS, [])
    for language in ("en", "ko"):
        words = load_words(language)
        said = say_batch(batch, layout, words).column(len(inputs.schema)).to_pylist()
        expected = ("post", "none", "none", "refused", "review")
        assert said == [words["decisions"][decision] for decision in expected]


def test_an_account_of_several_columns_comes_back_in_its_parts():
    columns = {**ledger.INGEST["columns"], "sub": {"role": "label_part", "names": ["sub"]}}
    ingest = {**ledger.INGEST, "columns": columns, "label_separator": "-"}
    coder = SimpleNamespace(accounts=["4100-02", "4200", "9"], names={})
    parts = IngestParams.model_validate(ingest)
    batch, *_ = batch_of(coded_rows(), [[], []], parts, coder)
    assert batch["acct_code"].to_pylist() == ["4100-02", None, None, None, "9"]
    assert batch["acct_code_1"].to_pylist() == ["4100", "", "", "", "9"]
    assert batch["acct_code_2"].to_pylist() == ["02", "", "", "", ""]
    assert batch.schema.names[:9] == [*TITLES[:5], "reason (file)", "column 7",
                                      "acct_code_1", "acct_code_2"]  # fmt: skip
