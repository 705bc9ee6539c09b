"""Checkpoints: only whole ones are used, and only those of the very same run."""

import json
import shutil
from pathlib import Path

import pytest

from stages.lib.model.checkpoints import (
    drop_old_checkpoints,
    is_sealed,
    newest_sealed_checkpoint,
    run_key,
    scratch_folder,
    seal_checkpoint,
)


def make(folder: Path, step: int, sealed: bool = True, best: int | None = None) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "global_step").mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_bytes(b"0123456789")
    (checkpoint / "global_step/rank_0.pt").write_bytes(b"abc")
    (checkpoint / "trainer_state.json").write_text(json.dumps({"best_global_step": best}))
    if sealed:
        seal_checkpoint(checkpoint)
    return checkpoint


def test_a_sealed_checkpoint_is_whole(tmp_path):
    assert is_sealed(make(tmp_path, 1))
    assert not is_sealed(make(tmp_path, 2, sealed=False))
    assert not is_sealed(tmp_path / "checkpoint-3")


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: (c / "optimizer.pt").unlink(),
        lambda c: (c / "optimizer.pt").write_bytes(b"01234"),
        lambda c: (c / "optimizer.pt").write_bytes(b""),
        lambda c: flip(c / "optimizer.pt"),
        lambda c: (c / "global_step/rank_0.pt").unlink(),
        lambda c: flip(c / "global_step/rank_0.pt"),
        lambda c: (c / "stranger.pt").write_bytes(b"x"),
        lambda c: (c / "sha256.json").unlink(),
        lambda c: (c / "sha256.json").write_text('{"optimizer.pt":'),
        lambda c: (c / "sha256.json").rename(c / "sha256.json.partial"),
    ],
)
def test_any_damage_is_noticed_and_the_one_before_is_used(tmp_path, damage, capsys):
    older, newer = make(tmp_path, 9), make(tmp_path, 10)
    damage(newer)
    assert not is_sealed(newer)
    assert newest_sealed_checkpoint(tmp_path, clean=False) == older
    assert newer.exists()
    assert newest_sealed_checkpoint(tmp_path, clean=True) == older
    assert not newer.exists()
    assert "checkpoint-10 is not whole" in capsys.readouterr().out


def test_the_newest_is_that_of_the_highest_step(tmp_path):
    for step in (9, 100, 20):
        make(tmp_path, step)
    assert newest_sealed_checkpoint(tmp_path, clean=True).name == "checkpoint-100"


def test_there_may_be_nothing_to_resume_from(tmp_path):
    assert newest_sealed_checkpoint(tmp_path / "none", clean=True) is None
    make(tmp_path, 1, sealed=False)
    assert newest_sealed_checkpoint(tmp_path, clean=True) is None


def test_the_run_is_named_by_values_names_and_bytes(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    key = run_key({"lr": 1e-4, "r": 16}, [a, b])
    assert key == run_key({"r": 16, "lr": 1e-4}, [b, a])
    others = {
        run_key({"lr": 1e-4, "r": 8}, [a, b]),
        run_key({"lr": 1e-4, "r": 16}, [a]),
        run_key({"lr": 1e-4, "r": 16}, [a, a]),
    }
    b.write_text("3")
    others.add(run_key({"lr": 1e-4, "r": 16}, [a, b]))
    assert len(others) == 4 and key not in others


def test_checkpoints_of_a_queued_experiment_are_in_the_original_repository(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = scratch_folder({"r": 1}, [])
    assert folder == Path(".scratch") / f"train-{run_key({'r': 1}, [])}"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert scratch_folder({"r": 1}, []) == tmp_path / folder


def steps(folder: Path) -> set[int]:
    return {int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*")}


def test_old_checkpoints_go_but_not_the_best_ones_of_those_that_stay(tmp_path):
    for step, best in [(2, 2), (4, 4), (6, 4), (8, 8), (10, 8)]:
        make(tmp_path, step, best=best)
        drop_old_checkpoints(tmp_path)
    assert steps(tmp_path) == {8, 10}
    make(tmp_path, 12, best=8)
    drop_old_checkpoints(tmp_path)
    assert steps(tmp_path) == {8, 10, 12}
    make(tmp_path, 14, best=14)  # were it lost, a run from 12 would still need 8
    drop_old_checkpoints(tmp_path)
    assert steps(tmp_path) == {8, 12, 14}


def test_a_checkpoint_whose_best_one_is_lost_is_not_used(tmp_path):
    older, best, newest = make(tmp_path, 2), make(tmp_path, 4, best=4), make(tmp_path, 6, best=4)
    assert newest_sealed_checkpoint(tmp_path, clean=False) == newest
    shutil.rmtree(best)
    assert newest_sealed_checkpoint(tmp_path, clean=False) == older
