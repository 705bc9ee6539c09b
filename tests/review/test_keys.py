"""The key of a row is the same after a spreadsheet has had it, and another for every other row."""

import pytest

from stages.lib.review.keys import canonical_text, row_key

FIELDS = ["acme", "toner", "<50"]


def test_a_key_is_a_digest_of_place_and_fields():
    # printf '["march.csv","",7,"acme","toner","<50"]' | sha256sum
    assert row_key("march.csv", "", 7, FIELDS) == "6716e0eae5fff974"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Café  AG\n", "cafe\u0301 ag"),
        ("ＡＢＣ　１", "abc 1"),
        ("a\x01b\x1b", "a b"),
        ("'=1+1", "=1+1"),
        ("x" * 1_000 + "y", "x" * 1_000),
        ("사무용품비", "사무용품비"),
    ],
)
def test_what_a_spreadsheet_does_to_a_text_does_not_change_the_key(text, same):
    assert canonical_text(text) == canonical_text(same) == canonical_text(canonical_text(text))
    assert row_key(text, text, 1, [text]) == row_key(same, same, 1, [same])


def test_an_apostrophe_of_the_text_itself_stays():
    assert canonical_text("'s Gravenhage") == "'s gravenhage"


def test_every_part_of_a_key_counts():
    keys = {
        row_key("a", "", 1, ["x", "y"]),
        row_key("", "a", 1, ["x", "y"]),
        row_key("a", "", 2, ["x", "y"]),
        row_key("a", "", 1, ["y", "x"]),
        row_key("a", "", 1, ["xy"]),
        row_key("a", "", 1, ["x y"]),
        row_key("a", "", 1, ["x", "y", ""]),
    }
    assert len(keys) == 7
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)
