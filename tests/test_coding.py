"""The coder gives new rows what the models give them, or says why it cannot."""

import re
import shutil
import sys
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from coded_files import code, coded, read_coded, sections
from project import set_params
from refusals import refused
from small_ledger import HEADER, ledger_rows, write_ledger, write_new_rows
from trained_project import (
    WITHOUT_LANGUAGE_MODEL,
    change_calibration,
    change_json,
    write_calibration,
    write_light_models,
    write_text_experts,
)

from stages.lib.coding import (
    MODELS,
    CodedRows,
    check_made_with,
    code_base,
    language_model_logits,
    load_calibration,
    load_coder,
)
from stages.lib.contracts.feature import BASE
from stages.lib.errors import UserError
from stages.lib.evaluation.combination import combine, log_probabilities
from stages.lib.model.text_experts import score_text_experts
from stages.lib.review.corrections import Correction, write_corrections
from stages.lib.tables import read_json, read_table, write_table

STAGES = ["train", "classify", "evaluate"]


@pytest.fixture
def own_project(light_project, tmp_path, monkeypatch) -> Path:
    """Return a copy of the project without a language model, in which the test runs."""
    folder = shutil.copytree(light_project, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def new(tmp_path) -> Path:
    """Return a file of eight new rows."""
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    return tmp_path / "march.csv"


@pytest.fixture
def out(tmp_path):
    """Return a function that returns a name that is free."""
    return lambda: tmp_path / f"out{len(list(tmp_path.iterdir()))}.csv"


def bits(rows: CodedRows, place: int | None = None) -> list:
    """Return everything that is said of all rows, or of one."""
    part = slice(None) if place is None else slice(place, place + 1)
    arrays = (rows.scores.top, rows.scores.probability, *rows[2:])
    return [rows.past[part], *(values[part].tobytes() for values in arrays)]


# With the language model --------------------------------------------------------------------------


@pytest.fixture
def whole(trained_project, monkeypatch):
    """Return the coder with its language model, and the rows of the ledger."""
    monkeypatch.chdir(trained_project)
    return load_coder(MODELS, sections())[0], read_table("data/feature/base.parquet")


def test_rows_of_the_ledger_get_the_sum_of_what_the_experts_say(whole):
    coder, base = whole
    found = code_base(coder, base)
    scores, _ = score_text_experts(coder.experts, base, 1)
    scores["language_model"] = log_probabilities(language_model_logits(coder, base))
    weights = coder.calibration.weights
    logits = combine([scores[name] for name in weights], np.array([*weights.values()]))
    assert found.scores.top[:, 0].tolist() == logits.argmax(axis=1).tolist()
    assert len(set(found.scores.top[:, 0].tolist())) > 1
    # The index has the very row, so it is the nearest.
    for past, row in zip(found.past, base.to_pylist(), strict=True):
        assert past[0].startswith(f"{row['acct_code']} (1.00) {row['date']} | ")


def test_a_row_alone_gets_the_bits_that_it_gets_among_others(whole):
    coder, base = whole
    together = code_base(coder, base)
    for place in (0, 13, 59):
        assert bits(code_base(coder, base.slice(place, 1))) == bits(together, place)
    backwards = code_base(coder, base.take(list(range(59, -1, -1))))
    assert [bits(backwards, 59 - place) for place in range(60)] == [
        bits(together, place) for place in range(60)
    ]


def test_a_model_that_is_replaced_meanwhile_is_not_mixed_with_the_old_calibration(
    trained_project, tmp_path, monkeypatch
):
    monkeypatch.chdir(shutil.copytree(trained_project, tmp_path / "project"))
    coder, _ = load_coder(MODELS, sections())
    change_json(Path("models/train/manifest.json"), versions={})
    with refused("other-model", "models/train"):
        code_base(coder, read_table("data/feature/base.parquet").slice(0, 2))


# Without it ---------------------------------------------------------------------------------------


def test_an_expert_without_weight_does_not_run(own_project, new, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "stages.lib.model.scoring", None)  # cannot be imported
    assert len(coded([new], out())) == 8


def test_equal_rows_are_scored_once_and_all_get_what_one_gets(own_project, monkeypatch):
    coder, base = load_coder(MODELS, sections())[0], read_table("data/feature/base.parquet")
    apart, asked = code_base(coder, base), []

    def score(experts, rows, workers):
        asked.append(rows.num_rows)
        return score_text_experts(experts, rows, workers)

    monkeypatch.setattr("stages.lib.coding.score_text_experts", score)
    order = [5, 3, 5, 5, 0, 3]
    found = code_base(coder, base.take(order))
    assert asked == [3]
    assert [bits(found, i) for i in range(6)] == [bits(apart, place) for place in order]
    monkeypatch.setattr("stages.lib.coding.ROWS_AT_ONCE", 7)
    assert bits(code_base(coder, base)) == bits(apart)
    assert max(asked[1:]) == 7
    none = code_base(coder, base.slice(0, 0))
    assert len(none.scores.top) == len(none.past) == len(none.equal) == 0


def test_equal_past_rows_are_counted_as_a_look_through_them_all_counts(own_project):
    coder, base = load_coder(MODELS, sections())[0], read_table("data/feature/base.parquet")
    twice = base.take([*range(60), *range(0, 60, 2)])
    write_models_of(twice)
    coder, _ = load_coder(MODELS, sections())
    found, fields = code_base(coder, base), coder.experts.fields
    past = [(tuple(row[f] for f in fields), row["acct_code"]) for row in twice.to_pylist()]
    for place, row in enumerate(base.to_pylist()):
        same = [code for words, code in past if words == tuple(row[f] for f in fields)]
        proposed = coder.accounts[found.scores.top[place, 0]]
        assert found.equal[place] == len(same)
        assert found.equal_right[place] == same.count(proposed)


def write_models_of(rows) -> None:
    """Make the models anew from `rows`."""
    write_table(rows, BASE)
    write_light_models()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"feature.amount_edges": [10.0, 20.0]}, "feature.amount_edges"),
        ({"feature.fields": ["merchant", "purpose"]}, "feature.fields"),
        ({"ingest.mask": []}, "ingest.mask"),
        ({"preprocess.case": "keep"}, "preprocess.case"),
    ],
)
def test_rows_made_in_another_way_are_refused(own_project, change, key):
    set_params(own_project, change)
    with refused("rows-made-otherwise", f"params.yaml: {key}:", str(change[key])):
        load_coder(MODELS, sections())


def test_a_guard_or_another_way_of_reading_refuses_no_row(own_project, new, out):
    before = coded([new], out())
    set_params(
        own_project,
        {
            "feature.max_leak_rate": 0.5,
            "feature.max_copy_rate": 0.9,
            "preprocess.max_reject_fraction": 0.5,
            "preprocess.decimal": "point",
            "preprocess.currency_words": ["sek"],
            "ingest.max_reject_fraction": 0.0,
            "ingest.total_words": ["totaal"],
        },
    )
    assert coded([new], out()) == before


def test_a_base_table_that_was_rebuilt_does_not_hide_the_change(own_project):
    from stages import feature

    set_params(own_project, {"feature.amount_edges": [10.0, 20.0]})
    feature.main()
    with refused("rows-made-otherwise", "feature.amount_edges", "5000"):
        load_coder(MODELS, sections())


def test_each_changed_key_is_named():
    with refused("rows-made-otherwise", "feature.gone: None", "feature.case: keep") as caught:
        check_made_with(
            {"feature.gone": 1, "feature.case": "fold", "feature.same": [1.0]},
            {"feature.case": "keep", "feature.same": [1]},
        )
    assert len(caught.value.errors) == 2


# The models ---------------------------------------------------------------------------------------


def test_a_calibration_of_another_model_is_refused(own_project):
    whole = read_json("models/evaluate/calibration.json")["models"]
    for stage in ("train", "classify"):
        change_calibration(models=whole | {stage: "0" * 64})
        with refused("other-model", "calibration.json", f"models/{stage}"):
            load_calibration()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confidence", [1.0]),
        ("weights", {"language_model": -1.0}),
        ("weights", {"text_classifier": 1.0}),
        ("thresholds", {"autopost95": 2.0}),
        ("certificate", [[0.5, 1.0]]),
        ("unknown", 1),
    ],
)
def test_an_invalid_calibration_is_named_by_its_key(own_project, key, value):
    change_calibration(**{key: value})
    with refused("invalid-calibration", "calibration.json", key):
        load_calibration()


@pytest.mark.parametrize("stage", STAGES)
def test_a_flipped_bit_in_any_file_of_a_model_is_one_line(own_project, stage):
    load_calibration()
    for path in sorted(Path("models", stage).iterdir()):
        content = path.read_bytes()
        changed = bytearray(content)
        changed[len(content) // 2] ^= 1
        path.write_bytes(changed)
        with refused_in_one_line():
            load_calibration()
        path.write_bytes(content)
    load_calibration()


@pytest.mark.parametrize("stage", STAGES)
def test_a_flipped_bit_anywhere_in_a_manifest_is_one_line(own_project, stage):
    path = Path("models", stage, "manifest.json")
    content = path.read_bytes()
    places = np.random.default_rng(0).permutation(8 * len(content))[:400]
    for place in places.tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with refused_in_one_line():
            load_calibration()
    path.write_bytes(content)
    load_calibration()


@contextmanager
def refused_in_one_line():
    with pytest.raises(UserError) as caught:
        yield
    assert caught.value.code in ("damaged-model", "other-model", "no-model")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("folder", ["models/train", "models/classify", "models/evaluate"])
def test_a_missing_model_is_refused(own_project, folder):
    shutil.rmtree(folder)
    with refused("no-model", folder):
        load_calibration()


def zamboni_rows(count: int) -> list[list[str]]:
    """Return rows of a vendor that the ledger does not have."""
    rows = ledger_rows(count)
    for row in rows:
        row[HEADER.index("Merchant Name")] = "Zamboni Palace"
        row[HEADER.index("Purpose")] = "ice resurfacing"
    return rows


def column(rows: list[dict], name: str) -> list:
    return [row[name] for row in rows]


def test_a_row_that_was_posted_since_decides_rows_like_it_at_once(own_project, tmp_path, out):
    fresh, account = zamboni_rows(2), HEADER.index("G/L Account")
    write_new_rows(tmp_path / "new.csv", fresh)
    before = coded([tmp_path / "new.csv"], out())
    assert not any("zamboni" in text for text in column(before, "why_1"))
    # Posted to the account that the coder thought of last.
    codes = sorted({row[account] for row in ledger_rows()})
    wanted = next(code for code in codes if code not in {*column(before, "acct_code"), "5999"})
    posted = [[*fresh[0]], [*fresh[1]], ledger_rows()[0]]
    posted[0][account], posted[1][account] = wanted, "no account"
    write_ledger(tmp_path / "posted.csv", posted)
    kept = {path: path.read_bytes() for path in own_project.rglob("*") if path.is_file()}
    path = out()
    done = code([tmp_path / "new.csv"], path, posted=[str(tmp_path / "posted.csv")] * 2)
    after = read_coded(path)
    assert column(after, "acct_code")[0] == wanted
    assert float(column(after, "probability")[0]) > 0.6
    assert all(text.startswith(f"{wanted} (") for text in column(after, "why_1"))
    said = "\n".join(done.remarks)
    assert said.count("1 posted rows count as corrections") == 1
    assert "1 posted rows left out: already a past posting" in said
    assert said.count("posted rows left out") == 2
    assert {path: path.read_bytes() for path in own_project.rglob("*") if path.is_file()} == kept


def correct(rows: list[list[str]], *accounts: str) -> None:
    """Keep corrections of rows, as if their sheets had come back."""
    fields = sections().feature.fields
    write_new_rows(Path("corrected.csv"), rows)
    found = coded(["corrected.csv"], Path("corrected_out.csv"))
    seen = [{field: row[f"seen_{field}"] for field in fields} for row in found]
    corrections = [
        Correction(f"{i:016}", account, "0", date(2018, 1, 1), 1.0, row)
        for i, (row, account) in enumerate(zip(seen, accounts, strict=True))
    ]
    write_corrections(corrections, fields)


def test_a_correction_counts_at_once_for_its_vendor_and_no_other_row_changes(
    own_project, tmp_path, out
):
    rows = [*zamboni_rows(2), *ledger_rows(8)]
    rows[1][HEADER.index("Merchant Name")] = "ZAMBONI PALACE LTD. #12"
    write_new_rows(tmp_path / "new.csv", rows)
    before = coded([tmp_path / "new.csv"], out())
    wanted = column(before, "choice_3")[0]
    correct(rows[:1], wanted)
    path = out()
    done = code([tmp_path / "new.csv"], path)
    after = read_coded(path)
    assert column(after, "acct_code")[:2] == [wanted, wanted]
    assert after[2:] == before[2:]
    assert column(after, "why_1")[0].startswith(f"{wanted} (1.00)")
    assert "1 corrections count" in done.remarks


def test_equal_rows_that_were_corrected_to_different_accounts_are_reviewed(own_project, out):
    rows = [*zamboni_rows(1), *ledger_rows(3)]
    write_new_rows(Path("new.csv"), rows)
    correct([rows[0], rows[0]], "0101", "2010")
    reasons = column(coded(["new.csv"], out()), "reason")
    assert "corrections of equal rows disagree" in reasons[0]
    assert not any("disagree" in reason for reason in reasons[1:])


def test_an_account_that_was_never_trained_is_proposed_for_rows_like_the_correction(
    own_project, tmp_path, out
):
    rows = [*zamboni_rows(1), *ledger_rows(8)]
    write_new_rows(tmp_path / "new.csv", rows)
    before = coded([tmp_path / "new.csv"], out())
    correct(zamboni_rows(1), "8888")
    after = coded([tmp_path / "new.csv"], out())
    assert (after[0]["acct_code"], after[0]["acct_name"]) == ("8888", "")
    assert after[1:] == before[1:]
    # It is new, so a person looks.
    assert after[0]["decision"] == "review"
    assert "account with only 0 past postings" in after[0]["reason"]
    # The same from rows that were posted since.
    Path("data/corrections.csv").unlink()
    posted = zamboni_rows(1)
    posted[0][HEADER.index("G/L Account")] = "8888"
    write_ledger(tmp_path / "posted.csv", posted)
    alone = coded([tmp_path / "new.csv"], out(), posted=[str(tmp_path / "posted.csv")])
    assert column(alone, "acct_code") == column(after, "acct_code")


def test_a_closed_account_is_never_proposed(own_project, new, out):
    first = column(coded([new], out()), "acct_code")[0]
    correct(ledger_rows(1), first)
    set_params(own_project, {"preprocess.labels.retire": [first]})
    path = out()
    done = code([new], path)
    found = read_coded(path)
    proposed = [column(found, name) for name in ("acct_code", "choice_2", "choice_3")]
    assert first not in {code for codes in proposed for code in codes}
    assert any(f"1 corrections to the closed account {first}" in line for line in done.remarks)


def test_posted_rows_that_cannot_be_read_are_refused_with_their_file(
    own_project, tmp_path, new, out
):
    rows = ledger_rows(3)
    for row in rows:
        row[HEADER.index("Transaction Date")] = "2018-02-31"
    write_ledger(tmp_path / "posted.csv", rows)
    with refused("no-posted-row", "posted.csv", "unreadable date in date: 3 rows"):
        code([new], out(), posted=[str(tmp_path / "posted.csv")])


def test_a_released_model_that_is_not_whole_is_to_be_fetched_again(own_project, new, out):
    shutil.copytree("models", "released")
    released = Path("released")
    assert coded([new], out(), models=released) == coded([new], out())
    (released / "classify/weights.npz").write_bytes(b"")
    with refused("damaged-model", "released/classify/weights.npz", "dvc artifacts get"):
        code([new], out(), models=released)
    shutil.rmtree(released / "evaluate")
    with refused("damaged-model", "dvc artifacts get"):
        code([new], out(), models=released)
    with refused("no-model", "nowhere/train", "dvc artifacts get"):
        code([new], out(), models=Path("nowhere"))


def test_models_of_other_accounts_are_refused(own_project, new, out):
    write_text_experts(rows=40)
    write_calibration()
    with refused("other-model", "models/train", "accounts"):
        code([new], out())


def test_a_model_without_the_text_of_past_rows_shows_their_accounts(own_project, new, out):
    shutil.rmtree("models/classify")
    set_params(own_project, {"classify.past_postings.keep_text": False})
    write_text_experts()
    write_calibration(WITHOUT_LANGUAGE_MODEL)
    assert not Path("models/classify/past_rows.parquet").exists()
    found = coded([new], out())
    assert all(re.fullmatch(r"\d{4} \(\d\.\d\d\)", row["why_1"]) for row in found)
