"""Sections that contradict each other are named before any work."""

import pytest
from project import ROOT

from stages.check import SECTIONS
from stages.lib.params.agreement import check_agreement
from stages.lib.params.files import load_params
from stages.lib.params.preprocess import OtherFormat


def errors(**changes: dict) -> list[tuple[str, str]]:
    """Return (code, where) of each contradiction once the shipped sections have other values."""
    params = load_params(ROOT, **SECTIONS)
    for section, values in changes.items():
        setattr(params, section, getattr(params, section).model_copy(update=values))
    return [(error.code, error.where) for error in check_agreement(params)]


def test_the_shipped_sections_agree():
    assert errors() == []


@pytest.mark.parametrize(
    ("section", "key", "value", "code"),
    [
        ("feature", "fields", ["merchant", "nobody"], "unsuitable-column"),
        ("feature", "fields", ["original_amount"], "unsuitable-column"),
        ("feature", "date_column", "merchant", "unsuitable-column"),
        ("feature", "amount_column", "date", "unsuitable-column"),
        ("feature", "credit_column", "merchant", "unsuitable-column"),
        ("feature", "group_column", "acct_code", "unsuitable-column"),
        ("baseline", "lookup_columns", ["group", "nobody"], "unsuitable-column"),
        ("baseline", "lookup_columns", ["acct_code"], "unsuitable-column"),
        ("baseline", "lookup_columns", ["row_id"], "unsuitable-column"),
        ("evaluate", "description_field", "", "unsuitable-column"),
        ("baseline", "character_fields", ["posting_date"], "unsuitable-column"),
        ("evaluate", "description_field", "nobody", "unsuitable-column"),
        ("tokenize", "max_tokens", 11, "prompt-too-short"),
    ],
)
def test_a_key_that_other_sections_contradict_is_named(section, key, value, code):
    file = "params.yaml" if section == "feature" else "params_train.yaml"
    assert errors(**{section: {key: value}})[0] == (code, f"{file}: {section}.{key}")


@pytest.mark.parametrize(
    ("strategy", "column"), [("time", "date_column"), ("group", "group_column")]
)
def test_a_split_by_a_column_that_is_null_is_refused(strategy, column):
    found = errors(split={"strategy": strategy}, feature={column: None})
    assert found == [("needs-column", "params_train.yaml: split.strategy")]
    assert errors(split={"strategy": "stratified"}, feature={column: None}) == []


def test_accounts_from_names_need_a_column_of_names():
    params = load_params(ROOT, **SECTIONS)
    labels = params.preprocess.labels.model_copy(update={"masked_rule": "from_name"})
    columns = {n: c for n, c in params.ingest.columns.items() if c.role != "label_name"}
    assert errors(preprocess={"labels": labels}) == []
    assert errors(preprocess={"labels": labels}, ingest={"columns": columns}) == [
        ("needs-column", "params.yaml: preprocess.labels.masked_rule")
    ]


@pytest.mark.parametrize(
    ("columns", "keys", "is_right"),
    [
        (["date", "posting_date"], {"date_order": "dmy"}, True),
        (["date", "amount"], {"date_order": "dmy", "decimal": "comma"}, True),
        (None, {"typed_dates": "as_is"}, True),
        (["amount"], {"date_order": "dmy"}, False),
        (["date"], {"decimal": "comma"}, False),
        (["merchant"], {"decimal": "comma"}, False),
        (["nobody"], {"typed_dates": "swapped"}, False),
    ],
)
def test_other_formats_name_columns_of_dates_and_amounts(columns, keys, is_right):
    entry = OtherFormat.model_validate({"match": "*", "columns": columns, **keys})
    expected = ("unsuitable-column", "params.yaml: preprocess.other_formats[0].columns")
    assert errors(preprocess={"other_formats": [entry]}) == ([] if is_right else [expected])


def test_deepspeed_and_base_model_compute_in_the_same_precision():
    assert errors(deepspeed={"enabled": True}) == []
    assert errors(deepspeed={"enabled": True}, model={"dtype": "float32"}) == [
        ("precision-mismatch", "params_train.yaml: deepspeed.bf16.enabled")
    ]
    assert errors(model={"dtype": "float32"}) == []  # DeepSpeed is off


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"lora": {"enabled": False}}, False),
        ({"deepspeed": {"enabled": True}}, True),  # ZeRO-2
        ({"model": {"dtype": "float32"}}, True),
    ],
)
def test_weights_in_4_bits_need_adapters(changes, right):
    model = {"quantize": "nf4", **changes.pop("model", {})}
    expected = [("cannot-quantize", "params_train.yaml: model.quantize")]
    assert errors(model=model, **changes) == ([] if right else expected)


def test_weights_in_4_bits_cannot_be_divided_among_the_ranks():
    zero = load_params(ROOT, **SECTIONS).deepspeed.zero_optimization
    stages = {"enabled": True, "zero_optimization": zero.model_copy(update={"stage": 3})}
    expected = [("cannot-quantize", "params_train.yaml: model.quantize")]
    assert errors(model={"quantize": "nf4"}, deepspeed=stages) == expected
    assert errors(model={"quantize": "nf4"}, deepspeed={**stages, "enabled": False}) == []
    assert errors(deepspeed=stages) == []


@pytest.mark.parametrize(("tokens", "right"), [(None, False), (191, False), (192, True)])
def test_rows_end_to_end_need_a_number_of_tokens(tokens, right):
    training = {"packed": True, "train_batch_tokens": tokens}
    expected = [("cannot-pack", "params_train.yaml: training.train_batch_tokens")]
    assert errors(training=training) == ([] if right else expected)


def test_only_rows_end_to_end_are_compiled():
    training = {"packed": True, "train_batch_tokens": 8192, "compile": True}
    assert errors(training=training) == []
    expected = [("cannot-compile", "params_train.yaml: training.compile")]
    assert errors(training={"compile": True}) == expected


def test_rows_end_to_end_need_bfloat16():
    training = {"packed": True, "train_batch_tokens": 8192}
    found = errors(training=training, score={"packed": True}, model={"dtype": "float32"})
    assert found == [
        ("cannot-pack", f"params_train.yaml: {section}.packed") for section in ("training", "score")
    ]


def test_all_contradictions_are_told_at_once():
    assert len(errors(feature={"fields": ["a", "b"]}, tokenize={"max_tokens": 1})) == 3
