"""New rows get the account that the model gives them, or the reason why they have none."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from project import set_params
from refusals import refused
from small_ledger import HEADER, ledger_rows, write_ledger, write_new_rows
from trained_project import THRESHOLDS, change_json, write_calibration, write_text_experts

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
        change_json(Path("models/evaluate/calibration.json"), models=whole | {stage: "0" * 64})
        with refused("other-model", "calibration.json", f"models/{stage}"):
            load_calibration()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confidence", [1.0]),
        ("weights", {"language_model": -1.0}),
        ("thresholds", {"autopost95": 2.0}),
        ("unknown", 1),
    ],
)
def test_an_invalid_calibration_is_named_by_its_key(own_project, key, value):
    change_json(Path("models/evaluate/calibration.json"), **{key: value})
    with refused("invalid-calibration", "calibration.json", key):
        load_calibration()


@pytest.mark.parametrize("path", ["models/train/label_map.json", "models/classify/weights.npz"])
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
    change_json(Path("models/evaluate/calibration.json"), weights=whole | {"language_model": 0.0})
    monkeypatch.setitem(sys.modules, "stages.lib.model.scoring", None)  # cannot be imported
    assert len(code_rows(new, sections()).rows) == 8


def test_rows_that_were_posted_since_count_as_past_postings(own_project, tmp_path):
    fresh = ledger_rows(2)
    for row in fresh:
        row[HEADER.index("Merchant Name")] = "Zamboni Palace"
        row[HEADER.index("Purpose")] = "ice resurfacing"
    write_new_rows(tmp_path / "new.csv", fresh)
    before = code_rows(str(tmp_path / "new.csv"), sections())
    place = before.header.index("past_1")
    assert not any("zamboni" in row[place] for row in before.rows)

    posted = [*fresh, *ledger_rows(1)]
    posted[1] = [*fresh[1]]
    posted[1][HEADER.index("G/L Account")] = "no account"
    write_ledger(tmp_path / "posted.csv", posted)
    files = {path: path.read_bytes() for path in own_project.rglob("*") if path.is_file()}
    after = code_rows(str(tmp_path / "new.csv"), sections(), [str(tmp_path / "posted.csv")])
    code = fresh[0][HEADER.index("G/L Account")]
    assert all(row[place].startswith(f"{code} (") for row in after.rows)
    assert all("zamboni palace" in row[place] for row in after.rows)
    assert any("2 posted rows join the past postings; 1 cannot be used" in r for r in after.remarks)
    assert {path: path.read_bytes() for path in own_project.rglob("*") if path.is_file()} == files


def test_a_model_without_the_text_of_past_rows_shows_their_accounts(own_project, new):
    shutil.rmtree("models/classify")
    set_params(own_project, {"classify.past_postings.keep_text": False})
    write_text_experts()
    write_calibration()
    assert not Path("models/classify/past_rows.parquet").exists()
    coded = code_rows(new, sections())
    place = coded.header.index("past_1")
    assert all(re.fullmatch(r"\d{4} \(\d\.\d\d\)", row[place]) for row in coded.rows)
