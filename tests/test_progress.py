"""A bar for people, lines for log files."""

import io
import logging
import re
import sys

import pytest

from xseg_jax import progress
from xseg_jax.progress import Progress, log_to_terminal

LINE = re.compile(r"(.+): (\d+) of (\d+) (\w+), ([\d.]+) (\w+)/s, (\d+|inf) s left ?(.*)")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when told."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "xseg_jax.progress")

    def read():
        found = [LINE.fullmatch(record.message) for record in caplog.records]
        return [line.groups() if line else () for line in found]

    return read


def test_piped_gives_a_last_line_with_counts_and_rate_and_no_bar(clock, lines, capsys):
    with Progress("Reading", 40, "slice") as bar:
        assert bar.bar is None
        for _ in range(40):
            clock.now += 0.1
            bar.advance()
    assert lines() == [("Reading", "40", "40", "slices", "10.0", "slices", "0", "")]
    assert "\r" not in capsys.readouterr().err


def test_where_nothing_is_left_to_do_there_is_no_rate(clock, caplog):
    caplog.set_level(logging.INFO, "xseg_jax.progress")
    with Progress("Segmenting", 9, "image", done=9):
        clock.now += 3
    assert [record.message for record in caplog.records] == [
        "Segmenting: all 9 images are done already"
    ]


def test_of_nothing_there_is_no_line(clock, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "xseg_jax.progress")
    with Progress("Calibrating", 0, "slice"):
        clock.now += 1
    assert caplog.records == []
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    with Progress("Calibrating", 0, "slice") as bar:
        assert bar.bar is None
    assert caplog.records == []


def test_piped_gives_a_line_every_ten_seconds(clock, lines):
    with Progress("Training", 1000, "crop") as bar:
        for step in range(10):
            clock.now += 4
            bar.advance(20, f"loss {step}")
    found = lines()
    # After 12, 24 and 36 s, and at the end after 40 s; 5 crops a second.
    assert [int(line[1]) for line in found] == [60, 120, 180, 200]
    assert {line[4] for line in found} == {"5.0"}
    assert [int(line[6]) for line in found] == [188, 176, 164, 160]
    assert [line[7] for line in found] == ["loss 2", "loss 5", "loss 8", "loss 9"]


def test_rate_does_not_count_what_an_earlier_run_did(clock, lines):
    with Progress("Training", 1000, "crop", done=900) as bar:
        clock.now += 5
        bar.advance(50)
    assert lines() == [("Training", "950", "1000", "crops", "10.0", "crops", "5", "")]


def test_note_stays_until_the_next(clock, lines):
    with Progress("Training", 3, "crop") as bar:
        clock.now += 1
        bar.advance(note="loss 0.5")
        bar.advance()
    assert lines()[-1][7] == "loss 0.5"


def test_no_last_line_after_an_error(clock, lines):
    with pytest.raises(ValueError, match="broken"), Progress("Reading", 4, "slice"):
        raise ValueError("broken")
    assert lines() == []


def test_terminal_gives_a_bar_with_counts_and_no_lines(monkeypatch, lines):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress("Training", 40, "crop", done=10) as bar:
        assert bar.bar is not None
        bar.advance(30, "loss 0.25")
        assert bar.bar.n == 40
        bar.bar.refresh()
    shown = screen.getvalue()
    assert "Training" in shown
    assert "40/40" in shown
    assert "loss 0.25" in shown
    assert lines() == []


def test_bar_is_closed_after_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress("Training", 40, "crop")
    with pytest.raises(ValueError, match="broken"), bar:
        raise ValueError("broken")
    assert bar.bar is not None
    assert bar.bar.disable  # tqdm's word for closed.


def test_log_lines_go_to_stderr_once(monkeypatch):
    package = logging.getLogger("xseg_jax")
    before = package.handlers, package.level, package.propagate
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    try:
        log_to_terminal()
        log_to_terminal()
        logging.getLogger("xseg_jax.data.checks").info("read %d slices", 7)
        logging.getLogger("xseg_jax.data.checks").debug("not shown")
        assert screen.getvalue() == "read 7 slices\n"
    finally:
        package.handlers, package.level, package.propagate = before
