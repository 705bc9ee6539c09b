"""The drop-down shows code and name, and takes a code alone."""

from stages.lib.review.chart import account_choices, account_label


def test_labels_come_first_then_codes_each_once():
    chart = [("0101", "Office"), ("0102", "사무용품비"), ("3-1", "")]
    assert account_choices(chart) == ["0101 Office", "0102 사무용품비", "3-1", "0101", "0102"]
    assert account_label("3-1", "") == "3-1"
    assert account_choices([]) == []
