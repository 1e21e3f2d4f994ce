"""One process at a time in a folder, and none that is dead."""

import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys

import pytest

from xseg_jax import locks
from xseg_jax.errors import InputError, SaveError

HOLD = """
import sys, time
from pathlib import Path
from xseg_jax import locks
with locks.hold(Path(sys.argv[1]), "--workdir"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)


@pytest.fixture
def other(tmp_path):
    """Another process that is at work in the folder `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_in_use_is_refused_and_a_dead_process_holds_nothing(tmp_path, other):
    folder = tmp_path / "run"
    with (
        pytest.raises(InputError, match=rf"in use by process {other.pid} on .*; wait .* --workdir"),
        locks.hold(folder, "--workdir"),
    ):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (folder / locks.NAME).exists()  # It had no time to tidy up.
    with locks.hold(folder, "--workdir"):
        (folder / "work").write_text("")
    assert [path.name for path in folder.iterdir()] == ["work"]


def test_a_lock_that_is_removed_by_hand_holds_nobody(tmp_path, other):
    (tmp_path / "run" / locks.NAME).unlink()
    with locks.hold(tmp_path / "run", "--workdir"):
        said = (tmp_path / "run" / locks.NAME).read_text()
    assert said.startswith(f"process {os.getpid()} on ")
    assert other.poll() is None


def test_the_next_may_come_while_the_one_before_is_ending(tmp_path, other, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 20)
    tries = []

    def sleep(seconds):
        tries.append(seconds)
        other.kill()

    monkeypatch.setattr(locks.time, "sleep", sleep)
    with locks.hold(tmp_path / "run", "--workdir"):
        assert tries


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_and_works(tmp_path, monkeypatch, caplog, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING, "xseg_jax"), locks.hold(tmp_path, "--workdir"):
        (tmp_path / "work").write_text("")
    (said,) = [record.message for record in caplog.records]
    assert said.startswith(f"{tmp_path}: this file system has no locks ({os.strerror(number)})")


def test_folders_in_which_nothing_was_written_go_again(tmp_path):
    with pytest.raises(KeyboardInterrupt), locks.hold(tmp_path / "a" / "b", "--workdir"):
        raise KeyboardInterrupt
    assert not any(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with locks.hold(tmp_path / "mine" / "b", "--workdir"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


@pytest.mark.parametrize(
    ("call", "number"), [("mkdir", errno.EROFS), ("mkdir", errno.EACCES), ("write", errno.ENOSPC)]
)
def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path, monkeypatch, call, number):
    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*(("pathlib.Path.mkdir",) if call == "mkdir" else (os, "write")), fails)
    with (
        pytest.raises(SaveError, match=rf"run: this folder cannot .* \({os.strerror(number)}\); "),
        locks.hold(tmp_path / "run", "--workdir"),
    ):
        pass
