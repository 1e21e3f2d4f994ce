"""A volume that several processes segment: which are started, and what is said when some fail."""

import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from xseg_jax.errors import RunError
from xseg_jax.modes import parts


class Job(SimpleNamespace):
    """A prediction of some blocks, of which some are done."""

    def missing(self):
        return [n for n in range(len(self.blocks)) if n not in self.done]


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "identity_of", lambda job: {})
    monkeypatch.setattr(logging.getLogger("xseg_jax"), "propagate", True)
    return Job(blocks=list("abcde"), done={1, 3}, work=tmp_path, output=Path("a.tif"), finished=0)


def run(job, monkeypatch, jobs, works):
    """Runs shares, of which `works` says whether they do their part; gives their flags."""
    flags = []

    @contextlib.contextmanager
    def at_work(job, made_by):
        yield True

    def run_here(commands, at_once):
        assert at_once == len(commands)
        for command in commands:
            flags.append(command.arguments[-1])
            k, count = map(int, flags[-1].removeprefix("--share=").split("/"))
            command.log.write_text("0 of 5 blocks are done\n")
            if works(k):
                job.done |= {n for n in range(len(job.blocks)) if n % count == k}
            yield command

    def finish(job, made_by):
        job.finished += 1

    for name, function in (("at_work", at_work), ("run_here", run_here), ("finish", finish)):
        monkeypatch.setattr(parts, name, function)
    parts.run_in_parts(job, {}, [], executor="local", jobs=jobs, slurm={})
    return flags


@pytest.mark.parametrize(
    ("jobs", "flags"),
    [
        (1, ["--share=0/1"]),
        (2, ["--share=0/2"]),  # All odd blocks are done.
        (3, ["--share=0/3", "--share=1/3", "--share=2/3"]),
        (99, ["--share=0/5", "--share=2/5", "--share=4/5"]),  # No more than there are blocks.
    ],
)
def test_shares_are_those_in_which_a_block_is_missing(job, monkeypatch, jobs, flags):
    assert run(job, monkeypatch, jobs, lambda k: True) == flags
    assert job.finished == 1


def test_nothing_is_started_where_all_blocks_are_done(job, monkeypatch):
    job.done = set(range(5))
    assert run(job, monkeypatch, 3, lambda k: True) == []
    assert job.finished == 1


def test_who_failed_is_named_with_the_end_of_its_log(job, monkeypatch, capsys):
    message = r"a\.tif: 1 of 5 blocks are missing, for 1 of 3 processes failed"
    with pytest.raises(RunError, match=message):
        run(job, monkeypatch, 3, lambda k: k != 2)
    said = capsys.readouterr().out
    assert "part_2.log" in said
    assert "part_0.log" not in said
    assert "    0 of 5 blocks are done\n    (ended without a word, as one that is killed" in said
    assert job.finished == 0
    assert job.done == {0, 1, 3, 4}
