"""New rows get the account that the model gives them, or the reason why they have none."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from project import set_params
from refusals import refused
from small_ledger import HEADER, ledger_rows, write_ledger, write_new_rows
from trained_project import (
    THRESHOLDS,
    change_calibration,
    change_json,
    write_calibration,
    write_text_experts,
)

from stages.lib.coding import MODELS, check_made_with, code_base, code_rows, load_calibration
from stages.lib.model.text_experts import load_text_experts
from stages.lib.params.feature import FeatureParams
from stages.lib.params.files import load_params
from stages.lib.params.ingest import IngestParams
from stages.lib.params.model import ModelTrust
from stages.lib.params.preprocess import PreprocessParams
from stages.lib.params.score import ScoreParams
from stages.lib.tables import read_json, read_table


@pytest.fixture
def own_project(trained_project, tmp_path, monkeypatch) -> Path:
    """Return a copy of the project, in which the test runs."""
    folder = shutil.copytree(trained_project, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def new(tmp_path) -> str:
    """Return a file of eight new rows."""
    write_new_rows(tmp_path / "march.csv", ledger_rows(8))
    return str(tmp_path / "march.csv")


def sections():
    return load_params(
        ingest=IngestParams,
        preprocess=PreprocessParams,
        feature=FeatureParams,
        score=ScoreParams,
        model=ModelTrust,
    )


def test_new_rows_get_what_the_same_rows_of_the_ledger_get(trained_project, tmp_path, monkeypatch):
    monkeypatch.chdir(trained_project)
    write_new_rows(tmp_path / "새 거래.csv", ledger_rows())
    coded = code_rows(str(tmp_path / "새 거래.csv"), sections())
    base = read_table("data/feature/base.parquet")
    experts = load_text_experts(MODELS / "classify")
    scores, past = code_base(base, experts, load_calibration(), sections())
    accounts = read_json("models/train/label_map.json")["accounts"]
    assert len(coded.rows) == len(base) == 60
    assert (coded.refused, coded.silent, coded.remarks) == ([], 0, [])
    posted = 0
    for cells, top, chances, before, known in zip(
        coded.rows,
        scores.top.tolist(),
        scores.probability.tolist(),
        past,
        base.to_pylist(),
        strict=True,
    ):
        row = dict(zip(coded.header, cells, strict=True))
        best, second, third = (accounts[place] for place in top)
        assert row["source_row"] == known["source_row"]
        assert (row["predicted"], row["predicted_name"]) == (best["acct_code"], best["acct_name"])
        assert [row["choice_2"], row["choice_3"]] == [second["acct_code"], third["acct_code"]]
        assert row["probability"] == round(chances[0], 4)
        assert row["probability_3"] == round(chances[2], 4)
        assert row["autopost95"] == ("yes" if chances[0] >= THRESHOLDS["autopost95"] else "no")
        assert row["autopost99"] == "no"
        assert [row[n] for n in ("date", "amount", "merchant", "purpose")] == [
            known[n] for n in ("date", "amount", "merchant", "purpose")
        ]
        assert [row[f"past_{n}"] for n in (1, 2, 3)] == before
        # The index has the very row, so it is the nearest.
        assert before[0].startswith(f"{known['acct_code']} (1.00) {known['date']} | ")
        posted += row["autopost95"] == "yes"
    assert coded.posted == {"autopost95": posted, "autopost99": 0}
    assert len({row[4] for row in coded.rows}) > 1 and 0 < posted < 60


def test_each_row_is_coded_or_listed_with_its_reason_or_counted(
    trained_project, tmp_path, monkeypatch
):
    monkeypatch.chdir(trained_project)
    rows = ledger_rows(8)
    rows[1] = rows[0]  # no duplicate here: both want an account
    rows[2][HEADER.index("Merchant Name")] = ""
    rows[3][HEADER.index("Transaction Amt.")] = "unknown"
    rows[4][HEADER.index("Purpose")] = "=1+1 jane@example.com"
    total = ["" if name != "Transaction Amt." else "99.00" for name in HEADER]
    (tmp_path / "new").mkdir()
    write_new_rows(tmp_path / "new/march.csv", [*rows, total, [""] * len(HEADER)])
    coded = code_rows(str(tmp_path / "new"), sections())
    place, reason = coded.header.index("source_row"), coded.header.index("refused")
    assert [(row[place], row[reason]) for row in coded.refused] == [
        (4, "no merchant"),
        (10, "subtotal"),
        (5, "unreadable amount in amount"),
    ]
    assert {len(row) for row in (*coded.refused, *coded.rows)} == {len(coded.header)}
    assert [row[place] for row in coded.rows] == [2, 3, 6, 7, 8, 9]
    assert coded.silent == 1
    predicted = coded.header.index("predicted")
    assert coded.rows[0][predicted:] == coded.rows[1][predicted:]
    assert coded.rows[2][coded.header.index("purpose")] == "=1+1 [email]"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"feature.amount_edges": [10.0, 20.0]}, "feature.amount_edges"),
        ({"feature.fields": ["merchant", "purpose"]}, "feature.fields"),
        ({"ingest.mask": []}, "ingest.mask"),
        ({"preprocess.case": "keep"}, "preprocess.case"),
    ],
)
def test_rows_made_in_another_way_are_refused(own_project, new, change, key):
    set_params(own_project, change)
    with refused("rows-made-otherwise", f"params.yaml: {key}:", str(change[key])):
        code_rows(new, sections())


def test_a_guard_refuses_no_row(own_project, new):
    before = code_rows(new, sections())
    set_params(
        own_project,
        {
            "feature.max_leak_rate": 0.5,
            "feature.max_copy_rate": 0.9,
            "preprocess.max_reject_fraction": 0.5,
            "ingest.max_reject_fraction": 0.0,
        },
    )
    assert code_rows(new, sections()) == before


def test_a_base_table_that_was_rebuilt_does_not_hide_the_change(own_project, new):
    from stages import feature

    set_params(own_project, {"feature.amount_edges": [10.0, 20.0]})
    feature.main()
    with refused("rows-made-otherwise", "feature.amount_edges", "5000"):
        code_rows(new, sections())


def test_each_changed_key_is_named():
    with refused("rows-made-otherwise", "feature.gone: None", "feature.case: keep") as caught:
        check_made_with(
            {"feature.gone": 1, "feature.case": "fold", "feature.same": [1.0]},
            {"feature.case": "keep", "feature.same": [1]},
        )
    assert len(caught.value.errors) == 2


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
        ("unknown", 1),
    ],
)
def test_an_invalid_calibration_is_named_by_its_key(own_project, key, value):
    change_calibration(**{key: value})
    with refused("invalid-calibration", "calibration.json", key):
        load_calibration()


@pytest.mark.parametrize(
    "path",
    [
        "models/train/label_map.json",
        "models/classify/weights.npz",
        "models/evaluate/calibration.json",
    ],
)
def test_a_damaged_model_is_refused(own_project, path):
    Path(path).write_text("{}")
    with refused("damaged-model", path, f"dvc pull {Path(path).parts[1]}"):
        load_calibration()


@pytest.mark.parametrize("folder", ["models/train", "models/classify"])
def test_a_missing_model_is_refused(own_project, folder):
    shutil.rmtree(folder)
    with refused("no-model", folder):
        load_calibration()


def test_a_model_that_is_replaced_meanwhile_is_not_mixed_with_the_old_calibration(own_project):
    calibration = load_calibration()
    change_json(Path("models/train/manifest.json"), versions={})
    base = read_table("data/feature/base.parquet").slice(0, 2)
    experts = load_text_experts(MODELS / "classify")
    with refused("other-model", "models/train"):
        code_base(base, experts, calibration, sections())


def test_an_expert_without_weight_does_not_run(own_project, new, monkeypatch):
    whole = read_json("models/evaluate/calibration.json")["weights"]
    change_calibration(weights=whole | {"language_model": 0.0})
    monkeypatch.setitem(sys.modules, "stages.lib.model.scoring", None)  # cannot be imported
    assert len(code_rows(new, sections()).rows) == 8


def zamboni_rows(count: int) -> list[list[str]]:
    """Return rows of a vendor that the ledger does not have."""
    rows = ledger_rows(count)
    for row in rows:
        row[HEADER.index("Merchant Name")] = "Zamboni Palace"
        row[HEADER.index("Purpose")] = "ice resurfacing"
    return rows


def column(coded, name: str) -> list:
    return [row[coded.header.index(name)] for row in coded.rows]


def test_a_row_that_was_posted_since_decides_rows_like_it_at_once(own_project, tmp_path):
    fresh, account = zamboni_rows(2), HEADER.index("G/L Account")
    write_new_rows(tmp_path / "new.csv", fresh)
    before = code_rows(str(tmp_path / "new.csv"), sections())
    assert not any("zamboni" in text for text in column(before, "past_1"))
    # Posted to the account that the coder thought of last.
    codes = sorted({row[account] for row in ledger_rows()})
    wanted = next(code for code in codes if code not in {*column(before, "predicted"), "5999"})
    posted = [[*fresh[0]], [*fresh[1]], ledger_rows()[0]]
    posted[0][account], posted[1][account] = wanted, "no account"
    write_ledger(tmp_path / "posted.csv", posted)
    kept = {path: path.read_bytes() for path in own_project.rglob("*") if path.is_file()}
    after = code_rows(str(tmp_path / "new.csv"), sections(), [str(tmp_path / "posted.csv")] * 2)
    assert column(after, "predicted")[0] == wanted
    assert column(after, "probability")[0] > 0.6
    assert all(text.startswith(f"{wanted} (") for text in column(after, "past_1"))
    said = "\n".join(after.remarks)
    assert said.count("1 posted rows join the past postings") == 1
    assert "1 posted rows left out: already a past posting" in said
    assert said.count("posted rows left out") == 2
    assert {path: path.read_bytes() for path in own_project.rglob("*") if path.is_file()} == kept


def test_posted_rows_of_an_account_that_was_never_trained_are_counted(own_project, tmp_path, new):
    rows = zamboni_rows(2)
    for row in rows:
        row[HEADER.index("G/L Account")] = "8888"
    write_ledger(tmp_path / "posted.csv", rows)
    coded = code_rows(new, sections(), [str(tmp_path / "posted.csv")])
    assert any("2 posted rows left out: account without a training row" in r for r in coded.remarks)
    assert column(coded, "predicted") == column(code_rows(new, sections()), "predicted")


def test_posted_rows_that_cannot_be_read_are_refused_with_their_file(own_project, tmp_path, new):
    rows = ledger_rows(3)
    for row in rows:
        row[HEADER.index("Transaction Date")] = "2018-02-31"
    write_ledger(tmp_path / "posted.csv", rows)
    with refused("no-posted-row", "posted.csv", "unreadable date in date: 3 rows"):
        code_rows(new, sections(), [str(tmp_path / "posted.csv")])


def test_a_released_model_that_is_not_whole_is_to_be_fetched_again(own_project, new):
    shutil.copytree("models", "released")
    released = Path("released")
    assert code_rows(new, sections(), models=released) == code_rows(new, sections())
    (released / "classify/weights.npz").write_bytes(b"")
    with refused("damaged-model", "released/classify/weights.npz", "dvc artifacts get"):
        code_rows(new, sections(), models=released)
    shutil.rmtree(released / "evaluate")
    with refused("damaged-model", "dvc artifacts get"):
        code_rows(new, sections(), models=released)
    with refused("no-model", "nowhere/train", "dvc artifacts get"):
        code_rows(new, sections(), models=Path("nowhere"))


def test_models_of_other_accounts_are_refused(own_project, new):
    write_text_experts(rows=40)
    write_calibration()
    with refused("other-model", "models/train", "accounts"):
        code_rows(new, sections())


def test_a_model_without_the_text_of_past_rows_shows_their_accounts(own_project, new):
    shutil.rmtree("models/classify")
    set_params(own_project, {"classify.past_postings.keep_text": False})
    write_text_experts()
    write_calibration()
    assert not Path("models/classify/past_rows.parquet").exists()
    coded = code_rows(new, sections())
    place = coded.header.index("past_1")
    assert all(re.fullmatch(r"\d{4} \(\d\.\d\d\)", row[place]) for row in coded.rows)
