"""What spellings of a vendor have in common."""

import pytest

from stages.lib.model.vendor_words import vendor_field, vendor_words


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ACME LTD", "Acme Ltd.", "ACME LIMITED #12", "acme, l.t.d.", "ＡＣＭＥ  gmbh"], "acme"),
        (["The Home Depot #7027", "the home depot 7001"], "the home depot"),
        (["Paul Wolf Electric L", "Paul Wolf Electric & L"], "paul wolf electric"),
        (["(주)한국전력", "㈜ 한국전력", "주식회사 한국전력", "한국전력주식회사"], "한국전력"),
        (["Facebk 9NKEGDSV92", "FACEBK 65PAYGWV92"], "facebk"),
        (["Tim Horton's", "tim hortons"], "tim hortons"),
        (["3M"], "3m"),
        (["B & Q", "b q ltd"], "b q"),
        (["Co."], "co"),
        (["", " - "], ""),
    ],
)
def test_spellings_of_a_vendor_have_the_same_words(names, words):
    assert [vendor_words(name) for name in names] == [words] * len(names)


def test_other_vendors_have_other_words():
    names = ["acme hardware", "acme", "delta hotel", "delta airlines", "canada post", "canada"]
    assert len({vendor_words(name) for name in names}) == 6


def test_the_field_with_the_vendor():
    assert vendor_field(["memo", "vendor"], "vendor") == "vendor"
    assert vendor_field(["memo", "group"], "vendor") == "group"
    assert vendor_field(["memo"], "vendor") is None
    assert vendor_field(["memo"], None) is None
