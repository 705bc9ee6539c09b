"""Rows are shown as the ledger has them."""

import datetime

import pyarrow as pa

from stages.lib.evaluation import row_texts

ORIGIN = ("source_file", "source_sheet", "source_row")


def rows(*origins, **columns) -> pa.Table:
    parts = zip(*origins, strict=True)
    return pa.table({**dict(zip(ORIGIN, map(list, parts), strict=True)), **columns})


LEDGER = rows(("a", "s", 2), ("a", "s", 3), ("b", "s", 2), shop=["ESSO", "İş Bankası", ""])


def test_cells_get_the_spelling_of_the_ledger_by_their_origin():
    split = rows(("b", "s", 2), ("a", "s", 3), ("a", "s", 2), shop=["filled", "iş", "esso"])
    found = row_texts.in_ledger_spelling(split, ["shop"], LEDGER)
    # An empty cell of the ledger was filled from above.
    assert found["shop"].to_pylist() == ["filled", "İş Bankası", "ESSO"]


def test_a_row_or_column_that_the_ledger_lacks_stays_as_it_is():
    split = rows(("corrections.csv", "", 2), shop=["esso"], group=["g"])
    found = row_texts.in_ledger_spelling(split, ["shop", "group"], LEDGER)
    assert found.to_pylist() == split.to_pylist()


def test_origins_of_dictionaries_are_compared_by_their_texts():
    split = rows(("b", "s", 2), ("a", "s", 2), shop=["x", "x"])
    coded = split["source_file"].dictionary_encode()
    split = split.set_column(0, "source_file", coded)
    found = row_texts.in_ledger_spelling(split, ["shop"], LEDGER)
    assert found["shop"].to_pylist() == ["x", "ESSO"]


def test_the_word_for_the_amount_is_not_shown_beside_the_amount():
    assert row_texts.shown_fields(["shop", "amount_bucket"]) == ["shop"]
    assert row_texts.ledger_columns(["shop", "group"], ["shop", "x"]) == [*ORIGIN, "shop"]


def test_a_neighbour_is_its_account_similarity_date_and_fields():
    day = datetime.date(2024, 5, 1)
    train = pa.table(
        {
            "acct_code": ["b", "a"],
            "date": pa.array([day, None], pa.date32()),
            "shop": ["esso", ""],
            "memo": ["fuel", "car"],
        }
    )
    found = row_texts.describe_past(train, [[(0, 0.876), (1, 0.5)], []], ["shop", "memo"])
    assert found == [["b (0.88) 2024-05-01 | esso | fuel", "a (0.50) car"], []]
