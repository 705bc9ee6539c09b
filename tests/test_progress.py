"""How far a long step is: a line on a terminal, a few lines elsewhere, nothing for short steps."""

from types import SimpleNamespace

import pytest

from stages.lib import progress
from stages.lib.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Return the time, whose ``now`` a test moves."""
    time = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: time.now)
    return time


def steps(clock, number: int, seconds: float, total: int, done: int = 0) -> None:
    with Progress("train", total, done) as line:
        for step in range(number):
            clock.now += seconds
            line.update(note=f"loss {step}")


def test_a_log_gets_a_line_after_half_a_minute_and_a_tenth_of_the_work(clock, capsys):
    steps(clock, 100, 10, 100)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "train: 10%, loss 9, 0:15:00 left"
    assert lines[-1] == "train: 100%, loss 99, 0:00:00 left"


def test_a_short_step_leaves_nothing_in_a_log(clock, capsys):
    steps(clock, 29, 1, 29)
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_every_ten_minutes_of_a_very_long_step(clock, capsys):
    steps(clock, 60, 60, 60_000)
    assert len(capsys.readouterr().err.splitlines()) == 6


def test_the_time_left_of_a_resumed_run_does_not_count_what_was_done_before(clock, capsys):
    steps(clock, 10, 10, 100, done=80)
    assert capsys.readouterr().err.splitlines()[0] == "train: 90%, loss 9, 0:01:40 left"


def test_a_terminal_has_one_line_that_fits_it_and_is_gone_at_the_end(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    steps(clock, 5, 0.1, 5)
    written = capsys.readouterr().err
    assert "\n" not in written
    line, other, last = written.split("\r")[1:]
    assert line == "train: 40%, loss 1,\x1b[K" and other.startswith("train: 80%, loss 3")
    assert last == "\x1b[K"


def test_a_step_without_work_is_no_mistake(clock, capsys):
    steps(clock, 0, 1, 0)
    assert capsys.readouterr().err == ""
